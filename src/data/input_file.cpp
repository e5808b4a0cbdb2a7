// Containers: text, lines, array.
#include "src/data/input_file.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "src/base/error.h"

namespace dslite {
namespace {

// Records that are handed out together: enough for the threads, little enough for the memory.
constexpr size_t kBatchRecords = 4096;
constexpr size_t kBatchBytes = size_t{8} << 20;
// Read at once: as much as is there already, so that little files cost little.
constexpr size_t kMinReadBytes = size_t{1} << 14, kMaxReadBytes = size_t{1} << 20;

constexpr int64_t kMostUnsound = 100;  // records that are looked at to find the format

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// ".jsonl" of "chat.jsonl" and of "chat.jsonl.gz".
std::string extension_of(const std::string& path) {
  std::filesystem::path name(path);
  if (name.extension() == ".gz") name = name.stem();
  return name.extension().string();
}

}  // namespace

InputFile::InputFile(const std::string& path, std::optional<RawFormat> forced) : Input(path) {
  const std::string extension = extension_of(path);
  const bool text_name = extension == ".txt" || extension == ".md";
  const bool json_name = extension == ".json" || extension == ".jsonl" || extension == ".ndjson";
  open();
  if (text_name || (!json_name && forced == RawFormat::kText)) {
    if (forced && *forced != RawFormat::kText)
      fail_input("{}: --format {} needs a .json or .jsonl file", path, raw_format_name(*forced));
    container_ = Container::kText;
    return;
  }
  if (!json_name && !forced)
    fail_input("{}: unknown kind of file; expected .txt, .md, .json or .jsonl (also with .gz), or --format", path);
  whole_text_ = false;
  skip_spaces();
  container_ = available() && buffer_[position_] == '[' ? Container::kArray : Container::kLines;
  open();
  format_ = forced ? *forced : detected();
  open();
}

// At the beginning, behind a byte order mark.
void InputFile::open() {
  stream_ = std::make_unique<ByteStream>(path_);
  buffer_.clear();
  begin_ = position_ = last_end_ = 0;
  line_ = 1;
  index_ = 0;
  done_ = too_large_ = false;
  while (buffer_.size() < 3 && more()) {
  }
  if (buffer_.starts_with("\xEF\xBB\xBF")) buffer_.erase(0, 3);
}

// Appends what comes next, once all was looked at; drops white space between records, and a record that has become too
// large.
bool InputFile::more() {
  buffer_.erase(last_end_, begin_ - last_end_);
  position_ -= begin_ - last_end_;
  begin_ = last_end_;
  const size_t limit = container_ == Container::kText ? kMaxTextBytes : kMaxJsonBytes;
  if (too_large_ || position_ - begin_ > limit) {
    too_large_ = true;
    buffer_.erase(begin_, position_ - begin_);
    position_ = begin_;
  }
  const size_t size = buffer_.size();
  buffer_.resize(size + std::clamp(size, kMinReadBytes, kMaxReadBytes));
  const size_t got = stream_->read(std::span(buffer_).subspan(size));
  buffer_.resize(size + got);
  return got > 0;
}

void InputFile::begin_record() {
  begin_ = position_;
  too_large_ = false;
}

// The format of the first record that is a JSON object. When a short file has none, every record is going to be
// rejected for that.
RawFormat InputFile::detected() {
  int64_t unsound = 0;
  for (RecordBatch batch; next(batch);) {
    for (const RawRecord& record : batch.records) {
      if (unsound++ == kMostUnsound) {
        fail_input(
            "{}: none of its first {} records is a JSON object, so its format is unknown; choose with --format ({})",
            path_, kMostUnsound, fmt::join(raw_format_names(), ", "));
      }
      Json json;
      try {
        json = parse_json(record.bytes, path_, {}, record.line);
      } catch (const UserError&) {
        continue;
      }
      if (!json.is_object()) continue;
      if (const auto format = detect_format(json, record.where(path_))) return *format;
      std::string keys;
      for (const auto& [key, value] : json.items()) keys += (keys.empty() ? "" : ", ") + shown(key);
      fail_input("{}: unknown format: found the keys {}, expected {}; or choose with --format ({})",
                 record.where(path_), keys.empty() ? "(none)" : keys, detected_keys(),
                 fmt::join(raw_format_names(), ", "));
    }
  }
  return RawFormat::kMessages;
}

bool InputFile::next(RecordBatch& batch) {
  batch.records.clear();
  std::vector<Cut> cuts;
  for (Cut one; cuts.size() < kBatchRecords && last_end_ < kBatchBytes && cut(one); last_end_ = one.end)
    cuts.push_back(one);
  batch.text = std::move(buffer_);
  buffer_ = batch.text.substr(begin_);
  position_ -= begin_;
  begin_ = last_end_ = 0;
  for (const Cut& one : cuts) {
    RawRecord record{.line = one.line, .index = one.index, .too_large = one.too_large};
    if (!one.too_large) record.bytes = std::string_view(batch.text).substr(one.begin, one.end - one.begin);
    batch.records.push_back(std::move(record));
  }
  return !cuts.empty();
}

bool InputFile::cut(Cut& cut) {
  switch (container_) {
    case Container::kText:
      return cut_text(cut);
    case Container::kLines:
      return cut_line(cut);
    case Container::kArray:
      return cut_element(cut);
  }
  return false;
}

bool InputFile::cut_text(Cut& cut) {
  if (done_) return false;
  done_ = true;
  while (available()) position_ = buffer_.size();
  cut = finished(position_, 1, -1);
  begin_record();
  return true;
}

bool InputFile::cut_line(Cut& cut) {
  while (available()) {
    const void* found = std::memchr(buffer_.data() + position_, '\n', buffer_.size() - position_);
    position_ = found ? static_cast<size_t>(static_cast<const char*>(found) - buffer_.data()) : buffer_.size();
    if (!found && more()) continue;
    cut = finished(position_, line_++, -1);
    const bool blank = !cut.too_large && std::all_of(buffer_.begin() + static_cast<std::ptrdiff_t>(cut.begin),
                                                     buffer_.begin() + static_cast<std::ptrdiff_t>(cut.end), is_space);
    position_ += found != nullptr;
    begin_record();
    if (!blank) return true;
  }
  return false;
}

void InputFile::skip_spaces() {
  for (; available() && is_space(buffer_[position_]); ++position_) {
    line_ += buffer_[position_] == '\n';
    begin_ = position_ + 1;
  }
  begin_record();
}

void InputFile::fail_at(const std::string& what) const {
  fail_input("{}:{}: damaged JSON array: {}", path_, line_, what);
}

// Goes to the element's first byte; false for an array without elements.
bool InputFile::begin_element() {
  skip_spaces();
  if (index_ > 0) return true;
  ++position_;  // the bracket
  skip_spaces();
  if (!available() || buffer_[position_] != ']') return true;
  ++position_;
  return end_array();
}

bool InputFile::end_array() {
  done_ = true;
  begin_record();
  skip_spaces();
  if (available()) fail_at("something follows its closing bracket");
  return false;
}

// Follows strings and nesting only; whether the element is sound JSON is seen when it is parsed.
bool InputFile::cut_element(Cut& cut) {
  if (done_ || !begin_element()) return false;
  const int64_t first_line = line_;
  int64_t depth = 0;
  bool in_string = false, escaped = false;
  for (; available(); ++position_) {
    const char c = buffer_[position_];
    line_ += c == '\n';
    if (in_string) {
      in_string = escaped || c != '"';
      escaped = !escaped && c == '\\';
    } else if (c == '"') {
      in_string = true;
    } else if (depth == 0 && (c == ',' || c == ']')) {
      cut = finished(position_++, first_line, index_++);
      last_end_ = cut.end;
      begin_record();
      if (c == ']') end_array();
      return true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  fail_at(fmt::format("it ends within element {}", index_));
}

}  // namespace dslite
