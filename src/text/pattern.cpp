// Compiled once, searched with JIT; \s+$ has a search of its own.
#include "src/text/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "src/base/error.h"
#include "src/text/pattern_translator.h"
#include "src/text/unicode_tables.h"
#include "src/text/utf8.h"

namespace dslite {
namespace {

// \s+$ in linear time: a run of white space matches up to its last place that the end or a line feed follows.
// `settled`: no run that touches the end, as more text might lengthen it.
bool find_trailing_space(std::string_view text, size_t from, bool settled, Match& match) {
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
    if (at == text.size() && settled) return false;
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
  const std::string translated = translated_pattern(oniguruma, where);
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
  pcre2_jit_compile(
      code_->code,
      PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);  // without JIT pcre2_match interprets: slower, the same matches
  uint32_t matches_empty = 0;
  pcre2_pattern_info(code_->code, PCRE2_INFO_MATCHEMPTY, &matches_empty);
  if (matches_empty)
    fail_input("{}: key \"Regex\": {} may match the empty text, which is not supported", where, shown(oniguruma));
}
Pattern::~Pattern() = default;
Pattern::Pattern(Pattern&&) noexcept = default;

bool Pattern::find(std::string_view text, size_t from, Scratch& scratch, Match& match) const {
  if (trailing_space_) return find_trailing_space(text, from, false, match);
  return search(text, from, 0, scratch, match);
}

bool Pattern::find_settled(std::string_view text, size_t from, Scratch& scratch, Match& match) const {
  if (trailing_space_) return find_trailing_space(text, from, true, match);
  return search(text, from, PCRE2_PARTIAL_HARD, scratch, match);
}

bool Pattern::search(std::string_view text, size_t from, uint32_t options, Scratch& scratch, Match& match) const {
  pcre2_match_data* data = scratch.state_->data;
  const auto attempt = [&](uint32_t more) {
    return pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                       PCRE2_NO_UTF_CHECK | options | more, data, nullptr);
  };
  int result = attempt(0);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = attempt(PCRE2_NO_JIT);
  if (result == PCRE2_ERROR_NOMATCH || result == PCRE2_ERROR_PARTIAL) return false;
  if (result < 0) fail_work("the search of a tokenizer's pattern failed: PCRE2 error {}", result);
  const size_t* ends = pcre2_get_ovector_pointer(data);
  match = {ends[0], ends[1]};
  return true;
}

}  // namespace dslite
