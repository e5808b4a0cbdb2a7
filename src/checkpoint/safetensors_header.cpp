// header: {"__metadata__": {text: text, ...}, name: {"dtype": text, "shape": [n, ...], "data_offsets": [begin, end]},
// ...} spaces
#include "src/checkpoint/safetensors_header.h"

#include <array>
#include <optional>
#include <unordered_set>

#include "src/base/error.h"
#include "src/base/json.h"

namespace dslite {
namespace {

constexpr uint64_t kMaxNumber = uint64_t{1} << 53;

// Length of the UTF-8 character at the start of `text`, 0 when it is malformed (RFC 3629: no overlong forms, no
// surrogates, up to U+10FFFF).
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto follows = [&](size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const bool second = byte(1) >= (first == 0xE0 ? 0xA0u : 0x80u) && byte(1) <= (first == 0xED ? 0x9Fu : 0xBFu);
    return second && follows(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const bool second = byte(1) >= (first == 0xF0 ? 0x90u : 0x80u) && byte(1) <= (first == 0xF4 ? 0x8Fu : 0xBFu);
    return second && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

void append_utf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
    return;
  }
  const int following = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  constexpr std::array<uint32_t, 4> kLead = {0, 0xC0, 0xE0, 0xF0};
  out += static_cast<char>(kLead[static_cast<size_t>(following)] | (code >> (6 * following)));
  for (int i = following - 1; i >= 0; --i) out += static_cast<char>(0x80 | ((code >> (6 * i)) & 0x3F));
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& path) : text_(text), path_(path) {}

  SafetensorsHeader parse() {
    if (text_.empty() || text_[0] != '{') refuse("expected the header to begin with '{'");
    bool saw_metadata = false;
    object([&](const std::string& key, size_t at) {
      if (key == "__metadata__") {
        if (saw_metadata) refuse_at(at, "duplicate key \"__metadata__\"");
        saw_metadata = true;
        metadata();
      } else {
        tensor(key, at);
      }
    });
    for (; at_ < text_.size(); ++at_) {
      if (text_[at_] != ' ') refuse("found more after the header's object, expected only spaces");
    }
    return std::move(header_);
  }

 private:
  [[noreturn]] void refuse_at(size_t at, const std::string& what) const {
    fail_input("{}: header byte {}: {}", path_, at, what);
  }
  [[noreturn]] void refuse(const std::string& what) const { refuse_at(at_, what); }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void spaces() {
    while (peek() == ' ' || peek() == '\n' || peek() == '\r' || peek() == '\t') ++at_;
  }
  void expect(char wanted) {
    spaces();
    if (at_ >= text_.size()) refuse(fmt::format("the header ends early, expected '{}'", wanted));
    if (text_[at_] != wanted) refuse(fmt::format("found {}, expected '{}'", shown(text_.substr(at_, 1)), wanted));
    ++at_;
  }
  bool take(char wanted) {
    spaces();
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }

  // member(key, where the key began) parses the value.
  template <class Member>
  void object(const Member& member) {
    expect('{');
    if (take('}')) return;
    do {
      spaces();
      const size_t begin = at_;
      const std::string key = string();
      expect(':');
      spaces();
      member(key, begin);
    } while (take(','));
    expect('}');
  }

  uint32_t hexadecimal() {
    uint32_t code = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = peek();
      const bool digit = c >= '0' && c <= '9', lower = c >= 'a' && c <= 'f', upper = c >= 'A' && c <= 'F';
      if (!digit && !lower && !upper) refuse("expected four hexadecimal digits after \\u");
      code = code * 16 + static_cast<uint32_t>(digit ? c - '0' : lower ? c - 'a' + 10 : c - 'A' + 10);
    }
    return code;
  }
  void escape(std::string& out) {
    constexpr std::string_view kLetters = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    const char letter = peek();
    ++at_;
    if (const size_t i = kLetters.find(letter); i != std::string_view::npos) {
      out += kMeanings[i];
      return;
    }
    if (letter != 'u') refuse_at(at_ - 1, "unknown escape in a string");
    uint32_t code = hexadecimal();
    if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_, 2) == "\\u") {
      at_ += 2;
      const uint32_t low = hexadecimal();
      if (low < 0xDC00 || low > 0xDFFF) refuse("a lone surrogate in a string");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    } else if (code >= 0xD800 && code <= 0xDFFF) {
      refuse("a lone surrogate in a string");
    }
    append_utf8(out, code);
  }
  std::string string() {
    if (peek() != '"') refuse(at_ < text_.size() ? "expected a string" : "the header ends early, expected a string");
    ++at_;
    std::string out;
    while (peek() != '"') {
      if (at_ >= text_.size()) refuse("the header ends inside a string");
      if (static_cast<unsigned char>(text_[at_]) < 0x20) refuse("a control character in a string");
      if (text_[at_] == '\\') {
        ++at_;
        escape(out);
        continue;
      }
      const size_t length = utf8_length(text_.substr(at_, 4));
      if (length == 0) refuse("not UTF-8");
      out.append(text_.substr(at_, length));
      at_ += length;
    }
    ++at_;
    return out;
  }
  int64_t number() {
    const size_t begin = at_;
    uint64_t value = 0;
    while (peek() >= '0' && peek() <= '9') {
      value = value * 10 + static_cast<uint64_t>(peek() - '0');
      if (value > kMaxNumber) refuse_at(begin, "a number above 2^53");
      ++at_;
    }
    const char next = peek();
    if (at_ == begin || next == '.' || next == 'e' || next == 'E')
      refuse_at(begin, "expected a whole number that is not negative");
    if (text_[begin] == '0' && at_ > begin + 1) refuse_at(begin, "a number with a leading zero");
    return static_cast<int64_t>(value);
  }
  std::vector<int64_t> numbers(size_t max_count, const char* what) {
    std::vector<int64_t> out;
    expect('[');
    if (take(']')) return out;
    do {
      if (out.size() == max_count) refuse(fmt::format("more than {} {}", max_count, what));
      spaces();
      out.push_back(number());
    } while (take(','));
    expect(']');
    return out;
  }

  void metadata() {
    object([&](const std::string& key, size_t at) {
      if (!header_.metadata.emplace(key, string()).second)
        refuse_at(at, "duplicate key " + shown(key) + " in __metadata__");
    });
  }
  void check_name(const std::string& name, size_t at) {
    if (name.size() > kMaxTensorNameBytes)
      refuse_at(at, fmt::format("a tensor name of {} bytes, expected at most {}", name.size(), kMaxTensorNameBytes));
    for (const char c : name) {
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
        refuse_at(at, "a control character in the tensor name " + shown(name));
    }
    if (!names_.insert(name).second) refuse_at(at, "duplicate tensor " + shown(name));
    if (names_.size() > static_cast<size_t>(kMaxTensors))
      refuse_at(at, fmt::format("more than {} tensors", kMaxTensors));
  }
  void tensor(const std::string& name, size_t at) {
    check_name(name, at);
    std::optional<TensorType> type;
    std::optional<std::vector<int64_t>> shape, offsets;
    object([&](const std::string& field, size_t field_at) {
      const auto once = [&](bool seen) {
        if (seen) refuse_at(field_at, fmt::format("duplicate field {} of tensor {}", shown(field), shown(name)));
      };
      if (field == "dtype") {
        once(type.has_value());
        const size_t value_at = at_;
        const std::string text = string();
        type = tensor_type_named(text);
        if (!type) refuse_at(value_at, fmt::format("tensor {}: unknown dtype {}", shown(name), shown(text)));
      } else if (field == "shape") {
        once(shape.has_value());
        shape = numbers(kMaxTensorRank, "dimensions");
      } else if (field == "data_offsets") {
        once(offsets.has_value());
        offsets = numbers(2, "data_offsets");
      } else {
        refuse_at(field_at, fmt::format("tensor {}: unknown field {}, expected dtype, shape, data_offsets", shown(name),
                                        shown(field)));
      }
    });
    const char* missing = !type ? "dtype" : !shape ? "shape" : !offsets ? "data_offsets" : nullptr;
    if (missing) refuse_at(at, fmt::format("tensor {}: field \"{}\" is missing", shown(name), missing));
    if (offsets->size() != 2)
      refuse_at(at, fmt::format("tensor {}: found {} data_offsets, expected 2", shown(name), offsets->size()));
    add(at, {.name = name, .type = *type, .shape = std::move(*shape), .begin = (*offsets)[0], .end = (*offsets)[1]});
  }
  void add(size_t at, TensorInfo info) {
    int64_t bytes = tensor_type_bytes(info.type);
    for (const int64_t size : info.shape) {
      if (__builtin_mul_overflow(bytes, size, &bytes))
        refuse_at(at, fmt::format("tensor {}: the product of its shape overflows", shown(info.name)));
    }
    if (info.end < info.begin)
      refuse_at(at, fmt::format("tensor {}: data_offsets end at {} before they begin at {}", shown(info.name), info.end,
                                info.begin));
    if (info.end - info.begin != bytes) {
      refuse_at(at, fmt::format("tensor {}: data_offsets hold {} bytes, its shape and dtype need {}", shown(info.name),
                                info.end - info.begin, bytes));
    }
    header_.tensors.push_back(std::move(info));
  }

  std::string_view text_;
  const std::string& path_;
  size_t at_ = 0;
  std::unordered_set<std::string> names_;
  SafetensorsHeader header_;
};

std::string quoted(const std::string& text) { return nlohmann::json(text).dump(); }

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view text, const std::string& path) {
  return Parser(text, path).parse();
}

std::string safetensors_header_text(const std::vector<TensorInfo>& tensors,
                                    const std::map<std::string, std::string>& metadata) {
  std::string text = "{";
  const auto separate = [&] {
    if (text.back() != '{') text += ',';
  };
  if (!metadata.empty()) {
    text += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      separate();
      text += quoted(key) + ":" + quoted(value);
    }
    text += '}';
  }
  for (const TensorInfo& info : tensors) {
    separate();
    text += quoted(info.name) + ":{\"dtype\":\"" + tensor_type_name(info.type) + "\",\"shape\":[";
    for (size_t i = 0; i < info.shape.size(); ++i) {
      if (i > 0) text += ',';
      text += std::to_string(info.shape[i]);
    }
    text += fmt::format("],\"data_offsets\":[{},{}]}}", info.begin, info.end);
  }
  text += '}';
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace dslite
