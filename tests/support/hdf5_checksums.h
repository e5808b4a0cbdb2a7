// The checksummed blocks of an HDF5 file (superblock version 3, object headers version 2 and their continuations):
// where they lie, and how their checksums are made right after a change, so that the change reaches a reader.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "src/data/hdf5_checksum.h"

namespace dslite {

struct ChecksummedBlock {
  size_t begin, size;  // the checksum, 4 bytes, follows
};

inline uint32_t checksum_of(std::string_view bytes) { return hdf5_checksum(std::as_bytes(std::span(bytes))); }

// Found by their signatures and by trying sizes, so no structure of the file has to be understood.
inline std::vector<ChecksummedBlock> checksummed_blocks(std::string_view file) {
  constexpr size_t kMaxBlockBytes = 4096;
  std::vector<ChecksummedBlock> blocks;
  for (const std::string_view signature : {"\x89HDF\r\n\x1a\n", "OHDR", "OCHK"}) {
    for (size_t at = 0; (at = file.find(signature, at)) != std::string_view::npos; ++at) {
      for (size_t size = signature.size(); size <= kMaxBlockBytes && at + size + 4 <= file.size(); ++size) {
        uint32_t stored;
        std::memcpy(&stored, file.data() + at + size, sizeof stored);
        if (checksum_of(file.substr(at, size)) != stored) continue;
        blocks.push_back({at, size});
        break;
      }
    }
  }
  return blocks;
}

inline void repair_checksums(std::string& file, const std::vector<ChecksummedBlock>& blocks) {
  for (const ChecksummedBlock& block : blocks) {
    const uint32_t sum = checksum_of(std::string_view(file).substr(block.begin, block.size));
    std::memcpy(file.data() + block.begin + block.size, &sum, sizeof sum);
  }
}

}  // namespace dslite
