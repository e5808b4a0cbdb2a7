// Raw input cut into records: a text file is one record, so is each file of a source tree; a JSONL file has one a line,
// a JSON array one an element. Inputs are streamed, so memory is bounded by the largest record. Cutting is cheap and
// done in order; parsing the records is left to the caller, who may do it on several threads.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/data/raw_format.h"

namespace dslite {

constexpr size_t kMaxJsonBytes = size_t{256} << 20;  // of a record; it is held several times over while it is parsed
constexpr size_t kMaxTextBytes = size_t{1} << 30;    // of a text file

struct RawRecord {
  std::string_view bytes;  // empty when too_large
  int64_t line = 1;        // of its first byte
  int64_t index = -1;      // of an array's element
  std::string file;        // of a source tree
  bool too_large = false;  // more than kMaxJsonBytes or kMaxTextBytes
  // "chat.jsonl:17", "chat.json:17 (element 3)" or "tree/a.c:1"
  std::string where(const std::string& path) const;
};

struct RecordBatch {
  std::vector<RawRecord> records;
  std::string text;  // that their bytes point into
};

// One input of `prepare`.
class Input {
 public:
  virtual ~Input() = default;
  const std::string& path() const { return path_; }
  std::string name() const;  // without folders
  RawFormat format() const { return format_; }
  bool whole_text() const { return whole_text_; }  // records are text, not JSON
  // The next records, a few megabytes of them; false at the end. UserError for a damaged container (an array or gzip
  // data that is cut off, or something after it).
  virtual bool next(RecordBatch& batch) = 0;
  virtual int64_t bytes_done() const = 0;
  virtual int64_t size_bytes() const = 0;
  virtual std::string sha256() const = 0;  // after the last record

 protected:
  explicit Input(std::string path) : path_(std::move(path)) {}
  std::string path_;
  RawFormat format_ = RawFormat::kText;
  bool whole_text_ = true;
};

// `forced` overrides the detection; a folder is a source tree and needs it to be text. UserError: unreadable, packed by
// something else than gzip, of unknown or ambiguous format.
std::unique_ptr<Input> open_input(const std::string& path, std::optional<RawFormat> forced = std::nullopt);

}  // namespace dslite
