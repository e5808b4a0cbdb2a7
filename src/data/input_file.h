// A text, JSONL or JSON array file as a stream of records.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "src/data/byte_stream.h"
#include "src/data/readers.h"

namespace dslite {

class InputFile : public Input {
 public:
  InputFile(const std::string& path, std::optional<RawFormat> forced);
  bool next(RecordBatch& batch) override;
  int64_t bytes_done() const override { return stream_->file_bytes_read(); }
  int64_t size_bytes() const override { return stream_->file_bytes(); }
  std::string sha256() const override { return stream_->sha256(); }

 private:
  enum class Container { kText, kLines, kArray };
  struct Cut {  // a record in buffer_
    size_t begin, end;
    int64_t line, index;
    bool too_large;
  };
  void open();
  bool more();
  bool available() { return position_ < buffer_.size() || more(); }
  bool cut(Cut& cut);
  bool cut_text(Cut& cut);
  bool cut_line(Cut& cut);
  bool cut_element(Cut& cut);
  bool begin_element();
  bool end_array();
  Cut finished(size_t end, int64_t line, int64_t index) const { return {begin_, end, line, index, too_large_}; }
  void begin_record();
  void skip_spaces();
  RawFormat detected();
  [[noreturn]] void fail_at(const std::string& what) const;

  std::unique_ptr<ByteStream> stream_;
  Container container_ = Container::kLines;
  std::string buffer_;
  size_t begin_ = 0, position_ = 0;  // of the record that is being cut, and how far it was looked at
  size_t last_end_ = 0;              // of the batch's last record; white space behind it need not be kept
  bool too_large_ = false;           // its bytes so far were dropped
  int64_t line_ = 1, index_ = 0;
  bool done_ = false;
};

}  // namespace dslite
