// Oniguruma to PCRE2. PCRE2's own \s differs (it takes U+180E), so every class is spelled out in code points.
#include "src/text/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "src/base/error.h"
#include "src/text/unicode_tables.h"
#include "src/text/utf8.h"

namespace dslite {
namespace {

// The inside of a class of the white space.
std::string white_space_class() {
  std::string text;
  for (const CodePointRange& range : kWhiteSpaceRanges)
    text += fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", range.first, range.last);
  return text;
}

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : pattern_(pattern), where_(where) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      if (take("$")) {
        out_ += '$';
        continue;
      }
      if (take("[")) {
        char_class();
      } else {
        const Item item = next_item("^.|()?*+{}[]");
        out_ += item.white_space ? fmt::format("[{}]", white_space_class()) : hex(item.character);
      }
      if (at_ < pattern_.size() && std::string_view("?*+").find(pattern_[at_]) != std::string_view::npos)
        out_ += pattern_[at_++];
    }
    return out_;
  }

 private:
  struct Item {
    bool white_space;
    uint32_t character;
  };

  static std::string hex(uint32_t character) { return fmt::format("\\x{{{:x}}}", character); }
  [[noreturn]] void refuse(std::string_view construct) const {
    fail_input("{}: key \"Regex\": {} at byte {} of the pattern is not supported", where_, shown(construct), at_);
  }
  bool take(std::string_view text) {
    if (pattern_.substr(at_, text.size()) != text) return false;
    at_ += text.size();
    return true;
  }

  // A character or an escape; `special` are the characters that would mean something else here.
  Item next_item(std::string_view special) {
    if (at_ == pattern_.size()) refuse("the end");
    if (take("\\")) {
      const char name = at_ < pattern_.size() ? pattern_[at_] : '\0';
      const bool punctuation = name > ' ' && name < 0x7F && !isalnum(static_cast<unsigned char>(name));
      const uint32_t character = name == 'r'   ? '\r'
                                 : name == 'n' ? '\n'
                                 : name == 't' ? '\t'
                                 : punctuation ? static_cast<uint32_t>(name)
                                               : 0;
      if (name != 's' && character == 0) refuse(pattern_.substr(at_ - 1, 2));
      ++at_;
      return {name == 's', character};
    }
    const CodePoint c = code_point_at(pattern_, at_);
    if (c.value < 0x80 && special.find(static_cast<char>(c.value)) != std::string_view::npos)
      refuse(pattern_.substr(at_, 1));
    at_ += c.size_bytes;
    return {false, c.value};
  }

  void char_class() {
    out_ += '[';
    if (take("^")) out_ += '^';
    if (pattern_.substr(at_, 1) == "]") refuse("[]");
    while (!take("]")) {
      if (pattern_.substr(at_, 2) == "&&") refuse("&&");
      const Item first = next_item("[");
      if (first.white_space) {
        out_ += white_space_class();
        if (pattern_.substr(at_, 1) == "-" && pattern_.substr(at_, 2) != "-]") refuse("\\s-");
        continue;
      }
      out_ += hex(first.character);
      if (pattern_.substr(at_, 1) != "-" || pattern_.substr(at_, 2) == "-]") continue;
      ++at_;
      const Item last = next_item("[");
      if (last.white_space || last.character < first.character) refuse("a range that does not ascend");
      out_ += '-' + hex(last.character);
    }
    out_ += ']';
  }

  std::string_view pattern_;
  const std::string& where_;
  size_t at_ = 0;
  std::string out_;
};

// \s+$ in linear time: a run of white space matches up to its last place that the end or a line feed follows.
bool find_trailing_space(std::string_view text, size_t from, Match& match) {
  for (size_t at = from; at < text.size();) {
    const CodePoint first = code_point_at(text, at);
    if (!is_white_space(first.value)) {
      at += first.size_bytes;
      continue;
    }
    const size_t begin = at;
    size_t end = begin;  // no place yet
    while (at < text.size()) {
      const CodePoint c = code_point_at(text, at);
      if (!is_white_space(c.value)) break;
      if (c.value == '\n') end = at;
      at += c.size_bytes;
    }
    if (at == text.size()) end = at;
    if (end > begin) {
      match = {begin, end};
      return true;
    }
  }
  return false;
}

}  // namespace

struct Pattern::Code {
  pcre2_code* code = nullptr;
  ~Code() { pcre2_code_free(code); }
};

struct Pattern::Scratch::State {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  ~State() { pcre2_match_data_free(data); }
};

Pattern::Scratch::Scratch() : state_(std::make_unique<State>()) {}
Pattern::Scratch::~Scratch() = default;

Pattern::Pattern(std::string_view oniguruma, const std::string& where)
    : code_(std::make_unique<Code>()), trailing_space_(oniguruma == "\\s+$") {
  const std::string translated = Translator(oniguruma, where).run();
  int error = 0;
  size_t error_at = 0;
  std::unique_ptr<pcre2_compile_context, void (*)(pcre2_compile_context*)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  code_->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                              PCRE2_UTF | PCRE2_MULTILINE, &error, &error_at, context.get());
  if (!code_->code) {
    PCRE2_UCHAR message[128] = {};
    pcre2_get_error_message(error, message, sizeof message);
    fail_input("{}: key \"Regex\": {}", where, reinterpret_cast<const char*>(message));
  }
  pcre2_jit_compile(code_->code, PCRE2_JIT_COMPLETE);  // without JIT pcre2_match interprets: slower, the same matches
  Scratch scratch;
  if (pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(""), 0, 0, 0, scratch.state_->data, nullptr) >= 0) {
    fail_input("{}: key \"Regex\": {} matches the empty text, which is not supported", where, shown(oniguruma));
  }
}
Pattern::~Pattern() = default;
Pattern::Pattern(Pattern&&) noexcept = default;

bool Pattern::find(std::string_view text, size_t from, Scratch& scratch, Match& match) const {
  if (trailing_space_) return find_trailing_space(text, from, match);
  pcre2_match_data* data = scratch.state_->data;
  const auto search = [&](uint32_t options) {
    return pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                       PCRE2_NO_UTF_CHECK | options, data, nullptr);
  };
  int result = search(0);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = search(PCRE2_NO_JIT);
  if (result == PCRE2_ERROR_NOMATCH) return false;
  if (result < 0) fail_work("the search of a tokenizer's pattern failed: PCRE2 error {}", result);
  const size_t* ends = pcre2_get_ovector_pointer(data);
  match = {ends[0], ends[1]};
  return true;
}

}  // namespace dslite
