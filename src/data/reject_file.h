// The rejected records as JSON lines: {"file", "line", "element", "reason", "message", "record"}.
#pragma once
#include <memory>
#include <string>

#include "src/base/files.h"
#include "src/data/readers.h"
#include "src/data/reject.h"

namespace dslite {

class RejectFile {
 public:
  explicit RejectFile(std::string path);  // Error when it cannot be written
  ~RejectFile();                          // removes what commit() has not put in place
  RejectFile(const RejectFile&) = delete;
  RejectFile& operator=(const RejectFile&) = delete;
  // `record` is the raw text, with U+FFFD where it is not UTF-8; null for one that was too large to keep.
  void add(const std::string& input, const RawRecord& record, RejectReason reason, const std::string& message);
  void commit();  // replaces `path` in one step

 private:
  std::string path_, temporary_;  // PATH.tmp: a killed run's is written over
  FileLock lock_;                 // two writers would mix their lines
  std::unique_ptr<DurableFile> file_;
};

}  // namespace dslite
