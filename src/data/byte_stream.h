// A file's bytes from the first to the last, gzip unpacked on the way; memory does not grow with the file.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "src/base/hash.h"

namespace dslite {

class ByteStream {
 public:
  // UserError: not a readable regular file, or packed by something else than gzip.
  explicit ByteStream(const std::string& path);
  ~ByteStream();
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;
  // Fills the front of `out`; 0 only at the end. UserError for damaged gzip data and a file that changes meanwhile.
  size_t read(std::span<char> out);
  int64_t file_bytes() const { return file_bytes_; }
  int64_t file_bytes_read() const { return file_bytes_read_; }
  std::string sha256() const { return sha256_.hex(); }  // of the file's bytes read so far

 private:
  struct Inflater;
  size_t read_file(std::span<char> out);
  size_t inflate(std::span<char> out);
  std::string path_;
  int descriptor_ = -1;
  int64_t file_bytes_ = 0, file_bytes_read_ = 0;
  Sha256 sha256_;
  std::unique_ptr<Inflater> inflater_;  // null: the bytes as they are
};

}  // namespace dslite
