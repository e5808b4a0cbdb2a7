// A recursive descent over the expression. PCRE2's own \s differs (it takes U+180E) and its categories are those of an
// older Unicode, so both are written out in code points where needed.
#include "src/text/pattern_translator.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "src/base/error.h"
#include "src/text/unicode_tables.h"
#include "src/text/utf8.h"

namespace dslite {
namespace {

std::string hex(uint32_t character) { return fmt::format("\\x{{{:x}}}", character); }

// The inside of a class.
std::string ranges_class(std::span<const CodePointRange> ranges) {
  std::string text;
  for (const CodePointRange& range : ranges) text += hex(range.first) + '-' + hex(range.last);
  return text;
}

std::string category_class(std::string_view name) {
  std::string text = fmt::format("\\p{{{}}}", name);
  for (const NewerCategory& newer : newer_categories()) {
    if (name == newer.name || (name == "L" && newer.name[0] == 'L')) text += ranges_class(newer.ranges);
  }
  return text;
}

// Letters that some single character folds to, such as U+FB06 to "st": engines differ in them.
bool folds_together(char a, char b) {
  constexpr std::array<std::string_view, 5> kFolded = {"ss", "st", "ff", "fi", "fl"};
  const char pair[] = {static_cast<char>(a | 0x20), static_cast<char>(b | 0x20)};
  return std::find(kFolded.begin(), kFolded.end(), std::string_view(pair, 2)) != kFolded.end();
}

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : pattern_(pattern), where_(where) {}

  std::string run() {
    alternatives();
    if (at_ < pattern_.size()) refuse(")");
    return std::move(out_);
  }

 private:
  // A character, or a set of them as the inside of a class.
  struct Item {
    uint32_t character = 0;
    std::string set;
    bool negated = false;  // the set's complement
  };

  [[noreturn]] void refuse(std::string_view construct) const {
    fail_input("{}: key \"Regex\": {} at byte {} of the pattern is not supported", where_, shown(construct), at_);
  }
  char peek(size_t ahead = 0) const { return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0'; }
  bool take(std::string_view text) {
    if (pattern_.substr(at_, text.size()) != text) return false;
    at_ += text.size();
    return true;
  }

  // Up to the end or a closing parenthesis.
  void alternatives() {
    while (at_ < pattern_.size() && peek() != ')') {
      if (take("|")) {
        out_ += '|';
      } else if (take("$")) {
        out_ += '$';
      } else {
        single();
      }
    }
  }

  // A group, a class or a character, with its repeat.
  void single() {
    bool repeatable = true;
    if (peek() == '(') {
      repeatable = group();
    } else if (take("[")) {
      char_class();
    } else {
      const Item item = next_item("^.?*+{}]");
      out_ += item.set.empty() ? hex(item.character) : fmt::format("[{}{}]", item.negated ? "^" : "", item.set);
    }
    if (repeatable) repeat();
  }

  // False for a look-ahead, which is not repeated.
  bool group() {
    if (++depth_ > kMaxDepth) refuse("a deeper nesting");
    const bool caseless = pattern_.substr(at_, 4) == "(?i:";
    const bool ahead = pattern_.substr(at_, 3) == "(?=" || pattern_.substr(at_, 3) == "(?!";
    if (caseless) {
      check_caseless();
      out_ += "(?i:";
      at_ += 4;
    } else if (ahead) {
      out_ += pattern_.substr(at_, 3);
      at_ += 3;
    } else {
      out_ += "(?:";
      if (!take("(?:")) {
        if (peek(1) == '?') refuse(pattern_.substr(at_, 3));
        ++at_;
      }
    }
    alternatives();
    if (!take(")")) refuse("the end");
    out_ += ')';
    --depth_;
    return !ahead;
  }

  // (?i: ASCII characters and | ), for which all engines agree.
  void check_caseless() {
    const size_t begin = at_;
    for (at_ += 4; peek() != ')'; ++at_) {
      const char c = peek();
      if (c < ' ' || c > '~' || std::string_view("[](\\^.?*+{}$").find(c) != std::string_view::npos ||
          folds_together(c, peek(1)))
        refuse("(?i: around " + std::string(pattern_.substr(at_, 2)));
    }
    at_ = begin;
  }

  void repeat() {
    if (peek() == '{') {
      const size_t end = pattern_.find('}', at_);
      const std::string_view counts = pattern_.substr(at_, end == std::string_view::npos ? end : end + 1 - at_);
      if (counts.size() < 3 || counts.find_first_not_of("0123456789,", 1) != counts.size() - 1 || counts[1] == ',' ||
          std::count(counts.begin(), counts.end(), ',') > 1)
        refuse(counts);
      out_ += counts;
      at_ += counts.size();
    } else if (peek() == '?' || peek() == '*' || peek() == '+') {
      out_ += pattern_[at_++];
      if (peek() == '?' || peek() == '+') out_ += pattern_[at_++];
    }
    if (peek() == '?' || peek() == '*' || peek() == '+' || peek() == '{') refuse(pattern_.substr(at_, 1));
  }

  // \p{..} or \P{..} behind the letter.
  Item category(bool negated) {
    const size_t end = pattern_.find('}', at_);
    if (peek() != '{' || end == std::string_view::npos) refuse("\\p");
    const std::string_view name = pattern_.substr(at_ + 1, end - at_ - 1);
    constexpr std::array<std::string_view, 10> kNames = {"L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "N", "P", "S"};
    if (std::find(kNames.begin(), kNames.end(), name) == kNames.end()) refuse(fmt::format("\\p{{{}}}", name));
    at_ = end + 1;
    return {.set = category_class(name), .negated = negated};
  }

  // A character or an escape; `special` are the characters that would mean something else here.
  Item next_item(std::string_view special) {
    if (at_ == pattern_.size()) refuse("the end");
    if (take("\\")) {
      const char name = peek();
      const bool punctuation = name > ' ' && name < 0x7F && !isalnum(static_cast<unsigned char>(name));
      const size_t simple = std::string_view("rnt").find(name);
      if (!punctuation && simple == std::string_view::npos &&
          std::string_view("sSpP").find(name) == std::string_view::npos)
        refuse(pattern_.substr(at_ - 1, 2));
      ++at_;
      if (name == 's' || name == 'S') return {.set = ranges_class(kWhiteSpaceRanges), .negated = name == 'S'};
      if (name == 'p' || name == 'P') return category(name == 'P');
      return {.character = static_cast<uint32_t>(punctuation ? name : "\r\n\t"[simple])};
    }
    const CodePoint c = code_point_at(pattern_, at_);
    if (c.value < 0x80 && special.find(static_cast<char>(c.value)) != std::string_view::npos)
      refuse(pattern_.substr(at_, 1));
    at_ += c.size_bytes;
    return {.character = c.value};
  }

  void char_class() {
    out_ += '[';
    if (take("^")) out_ += '^';
    if (peek() == ']') refuse("[]");
    while (!take("]")) {
      if (pattern_.substr(at_, 2) == "&&") refuse("&&");
      const Item first = next_item("[");
      const bool range = peek() == '-' && peek(1) != ']';
      if (!first.set.empty()) {
        if (first.negated) refuse("a negated set in a class");
        if (range) refuse("a range from a set");
        out_ += first.set;
        continue;
      }
      out_ += hex(first.character);
      if (!range) continue;
      ++at_;
      const Item last = next_item("[");
      if (!last.set.empty() || last.character < first.character) refuse("a range that does not ascend");
      out_ += '-' + hex(last.character);
    }
    out_ += ']';
  }

  std::string_view pattern_;
  const std::string& where_;
  static constexpr int kMaxDepth = 100;
  int depth_ = 0;
  size_t at_ = 0;
  std::string out_;
};

}  // namespace

std::string translated_pattern(std::string_view oniguruma, const std::string& where) {
  return Translator(oniguruma, where).run();
}

}  // namespace dslite
