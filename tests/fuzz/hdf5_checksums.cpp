// Blocks are found by brute force.
#include "tests/fuzz/hdf5_checksums.h"

#include <cstring>

#include "src/data/hdf5_checksum.h"

namespace dslite::fuzz {
namespace {

constexpr size_t kMaxBlockBytes = 4096;

uint32_t checksum(std::string_view bytes) { return hdf5_checksum(std::as_bytes(std::span(bytes))); }

}  // namespace

std::vector<ChecksummedBlock> checksummed_blocks(std::string_view file) {
  std::vector<ChecksummedBlock> blocks;
  for (const std::string_view signature :
       {std::string_view("\x89HDF\r\n\x1a\n"), std::string_view("OHDR"), std::string_view("OCHK")}) {
    for (size_t at = 0; (at = file.find(signature, at)) != std::string_view::npos; ++at) {
      for (size_t size = signature.size(); size <= kMaxBlockBytes && at + size + 4 <= file.size(); ++size) {
        uint32_t stored;
        std::memcpy(&stored, file.data() + at + size, 4);
        if (checksum(file.substr(at, size)) != stored) continue;
        blocks.push_back({at, size});
        break;
      }
    }
  }
  return blocks;
}

void repair_checksums(std::string& file, const std::vector<ChecksummedBlock>& blocks) {
  for (const ChecksummedBlock& block : blocks) {
    const uint32_t sum = checksum(std::string_view(file).substr(block.begin, block.size));
    std::memcpy(file.data() + block.begin + block.size, &sum, 4);
  }
}

}  // namespace dslite::fuzz
