// Containers: text, lines, array.
#include "src/data/readers.h"

#include <algorithm>
#include <filesystem>

#include "src/base/error.h"
#include "src/base/hash.h"

namespace dslite {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

bool is_text_name(const std::string& path) {
  const std::string extension = std::filesystem::path(path).extension().string();
  return extension == ".txt" || extension == ".md";
}
bool is_json_name(const std::string& path) {
  const std::string extension = std::filesystem::path(path).extension().string();
  return extension == ".json" || extension == ".jsonl" || extension == ".ndjson";
}

}  // namespace

std::string RawRecord::where(const std::string& path) const {
  return index < 0 ? fmt::format("{}:{}", path, line) : fmt::format("{}:{} (element {})", path, line, index);
}

InputFile::InputFile(const std::string& path, std::optional<RawFormat> forced) : file_(path) {
  text_ = {reinterpret_cast<const char*>(file_.bytes().data()), file_.bytes().size()};
  if (text_.starts_with("\x1f\x8b") || text_.starts_with("\x28\xb5\x2f\xfd") || text_.starts_with("BZh") ||
      text_.starts_with("\xfd"
                        "7zXZ")) {
    fail_input("{}: the file is compressed; unpack it first", path);
  }
  if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
  const bool text_name = is_text_name(path), json_name = is_json_name(path);
  if (text_name || (!json_name && forced == RawFormat::kText)) {
    if (forced && *forced != RawFormat::kText)
      fail_input("{}: --format {} needs a .json or .jsonl file", path, raw_format_name(*forced));
    container_ = Container::kText;
    return;
  }
  if (!json_name && !forced)
    fail_input("{}: unknown kind of file; expected .txt, .md, .json or .jsonl, or --format", path);
  skip_spaces();
  container_ = position_ < text_.size() && text_[position_] == '[' ? Container::kArray : Container::kLines;
  rewind();
  format_ = forced ? *forced : detected();
  rewind();
}

std::string InputFile::name() const { return std::filesystem::path(path()).filename().string(); }
std::string InputFile::sha256() const {
  file_.check_unchanged();
  return sha256_hex(file_.bytes());
}

void InputFile::rewind() {
  position_ = 0;
  line_ = 1;
  index_ = 0;
  done_ = false;
}

// The format of the first record that is sound JSON. When there is none, every record is going to be rejected for that.
RawFormat InputFile::detected() {
  RawRecord record;
  while (next(record)) {
    const std::string where = record.where(path());
    Json json;
    try {
      json = parse_json(record.bytes, path(), {}, record.line);
    } catch (const UserError&) {
      continue;
    }
    if (!json.is_object()) continue;
    if (const auto format = detect_format(json, where)) return *format;
    std::string keys;
    for (const auto& [key, value] : json.items()) keys += (keys.empty() ? "" : ", ") + shown(key);
    fail_input(
        "{}: unknown format: found the keys {}, expected messages, conversations, instruction and output, or text; or "
        "choose with --format ({})",
        where, keys.empty() ? "(none)" : keys, fmt::join(raw_format_names(), ", "));
  }
  return RawFormat::kMessages;
}

bool InputFile::next(RawRecord& record) {
  switch (container_) {
    case Container::kText:
      if (done_) return false;
      done_ = true;
      record = {text_, 1, -1};
      position_ = text_.size();
      return true;
    case Container::kLines:
      return next_line(record);
    case Container::kArray:
      return next_element(record);
  }
  return false;
}

bool InputFile::next_line(RawRecord& record) {
  while (position_ < text_.size()) {
    const size_t end = std::min(text_.find('\n', position_), text_.size());
    record = {text_.substr(position_, end - position_), line_++, -1};
    position_ = std::min(end + 1, text_.size());
    if (!std::all_of(record.bytes.begin(), record.bytes.end(), is_space)) return true;
  }
  return false;
}

void InputFile::skip_spaces() {
  for (; position_ < text_.size() && is_space(text_[position_]); ++position_) line_ += text_[position_] == '\n';
}

void InputFile::fail_at(const std::string& what) const {
  fail_input("{}:{}: damaged JSON array: {}", path(), line_, what);
}

// Follows strings and nesting only; whether the element is sound JSON is seen when it is parsed.
bool InputFile::next_element(RawRecord& record) {
  if (done_) return false;
  skip_spaces();
  if (index_ == 0) {
    ++position_;  // the bracket
    skip_spaces();
    if (position_ < text_.size() && text_[position_] == ']') done_ = true;
  }
  const size_t begin = position_;
  record.line = line_;
  int64_t depth = 0;
  bool in_string = false;
  for (; !done_; ++position_) {
    if (position_ >= text_.size()) fail_at(fmt::format("it ends within element {}", index_));
    const char c = text_[position_];
    line_ += c == '\n';
    if (in_string) {
      if (c == '\\' && position_ + 1 < text_.size()) {
        line_ += text_[++position_] == '\n';
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (depth == 0 && (c == ',' || c == ']')) {
      done_ = c == ']';
      record.bytes = text_.substr(begin, position_++ - begin);
      record.index = index_++;
      if (done_) break;
      return true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  const bool found = index_ > 0;
  if (!found) ++position_;
  skip_spaces();
  if (position_ < text_.size()) fail_at("something follows its closing bracket");
  return found;
}

}  // namespace dslite
