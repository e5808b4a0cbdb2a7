// The checksummed blocks of an HDF5 file (superblock version 3, object headers version 2 and their continuations):
// where they lie, and how their checksums are made right after a change.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dslite::fuzz {

struct ChecksummedBlock {
  size_t begin, size;  // the checksum, 4 bytes, follows
};
// Found by their signatures and by trying sizes, so no structure of the file has to be understood.
std::vector<ChecksummedBlock> checksummed_blocks(std::string_view file);
void repair_checksums(std::string& file, const std::vector<ChecksummedBlock>& blocks);

}  // namespace dslite::fuzz
