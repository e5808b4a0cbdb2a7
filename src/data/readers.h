// Raw input files cut into records: a text file is one record, a JSONL file one a line, a JSON array one an element.
// Cutting is cheap and done in order; parsing the records is left to the caller, who may do it on several threads.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "src/base/files.h"
#include "src/data/conversation.h"

namespace dslite {

struct RawRecord {
  std::string_view bytes;
  int64_t line = 1;    // of its first byte
  int64_t index = -1;  // of an array's element
  // "chat.jsonl:17" or "chat.json:17 (element 3)"
  std::string where(const std::string& path) const;
};

class InputFile {
 public:
  // `forced` overrides the detection. UserError: unreadable, compressed, of unknown or ambiguous format.
  explicit InputFile(const std::string& path, std::optional<RawFormat> forced = std::nullopt);
  const std::string& path() const { return file_.path(); }
  std::string name() const;  // without folders
  RawFormat format() const { return format_; }
  bool whole_text() const { return container_ == Container::kText; }  // records are text, not JSON
  // The next record, or false at the end; UserError for a damaged container (an array that is cut off, or something
  // after it).
  bool next(RawRecord& record);
  int64_t bytes_done() const { return static_cast<int64_t>(position_); }
  int64_t size_bytes() const { return static_cast<int64_t>(file_.bytes().size()); }
  std::string sha256() const;

 private:
  enum class Container { kText, kLines, kArray };
  bool next_line(RawRecord& record);
  bool next_element(RawRecord& record);
  void skip_spaces();
  void rewind();
  RawFormat detected();
  [[noreturn]] void fail_at(const std::string& what) const;

  MappedFile file_;
  std::string_view text_;  // without a byte order mark
  Container container_ = Container::kLines;
  RawFormat format_ = RawFormat::kText;
  size_t position_ = 0;
  int64_t line_ = 1, index_ = 0;
  bool done_ = false;
};

}  // namespace dslite
