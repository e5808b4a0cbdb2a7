// A folder whose files are text documents, in the order of their paths.
#pragma once
#include <string>
#include <vector>

#include "src/base/hash.h"
#include "src/data/readers.h"

namespace dslite {

class SourceTree : public Input {
 public:
  explicit SourceTree(const std::string& path);
  bool next(RecordBatch& batch) override;
  int64_t bytes_done() const override { return bytes_done_; }
  int64_t size_bytes() const override { return size_bytes_; }
  // Of names, sizes and contents.
  std::string sha256() const override { return sha256_.hex(); }

 private:
  struct File {
    std::string name;  // below the folder
    int64_t bytes;
  };
  std::vector<File> files_;
  size_t next_ = 0;
  int64_t bytes_done_ = 0, size_bytes_ = 0;
  Sha256 sha256_;
};

}  // namespace dslite
