// An unnamed temporary file that grows by appending and is then read back in order: nothing is left of it when the
// process dies.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace dslite {

class SpillFile {
 public:
  explicit SpillFile(const std::string& folder);
  ~SpillFile();
  SpillFile(const SpillFile&) = delete;
  SpillFile& operator=(const SpillFile&) = delete;
  void append(std::span<const std::byte> bytes);
  uint64_t size_bytes() const { return size_bytes_; }
  // Exactly [offset, offset + bytes.size()).
  void read(uint64_t offset, std::span<std::byte> bytes);

 private:
  void flush();
  std::string folder_;
  std::vector<std::byte> buffer_;
  uint64_t size_bytes_ = 0;
  int descriptor_ = -1;
};

}  // namespace dslite
