// The scanner's tables and its two speeds: ASCII words by bytes, all else by pairs of characters.
#include "src/text/v2_scanner.h"

#include "src/text/utf8.h"
#include "src/text/v2_pre_tokenizer.h"

namespace dslite {
namespace {

constexpr uint8_t kLetter = 1, kPunctuation = 2, kSpace = 4, kCjk = 8, kNumeric = 16, kLineEnd = 32;
enum Action : uint8_t { kJoin, kCut, kLookAhead };

// Splits 1 to 3 as far as the two characters alone decide.
bool cut_by_pair(uint8_t before, uint8_t after) {
  const auto begins = [&](uint8_t c) { return !(before & c) && (after & c) && !(before & kSpace); };
  const auto ends = [&](uint8_t c) { return (before & c) && !(after & c); };
  return ((before | after) & kLineEnd) || begins(kLetter) || ends(kLetter) || begins(kPunctuation) ||
         ends(kPunctuation);
}

Action action_between(uint8_t before, uint8_t after) {
  if (cut_by_pair(before, after) || ((before ^ after) & kCjk) || ((before | after) & kNumeric)) return kCut;
  return after & kSpace ? kLookAhead : kJoin;
}

}  // namespace

V2Scanner::V2Scanner() : classes_(0x110000) {
  const auto mark = [&](std::span<const CodePointRange> ranges, uint8_t bit) {
    for (const CodePointRange& range : ranges) {
      for (uint32_t c = range.first; c <= range.last; ++c) classes_[c] |= bit;
    }
  };
  mark(v2_letters(), kLetter);
  mark(v2_punctuation(), kPunctuation);
  mark(kWhiteSpaceRanges, kSpace);
  mark(v2_cjk(), kCjk);
  mark(numeric_ranges(), kNumeric);
  classes_['\r'] = classes_['\n'] = kLineEnd;
  for (size_t before = 0; before < 64; ++before) {
    for (size_t after = 0; after < 64; ++after)
      actions_[before * 64 + after] = action_between(static_cast<uint8_t>(before), static_cast<uint8_t>(after));
  }
}

// The end of the text cuts like a line end.
V2Scanner::Character V2Scanner::character(std::string_view text, size_t at) const {
  if (at >= text.size()) return {kLineEnd, at};
  const CodePoint c = code_point_at(text, at);
  return {classes_[c.value], at + c.size_bytes};
}

// Whether splits 1 to 3 cut before the character at `at`: letters and punctuation take one white space before them.
bool V2Scanner::cut_of_first_three(uint8_t before, std::string_view text, size_t at) const {
  const Character here = character(text, at);
  if (cut_by_pair(before, here.classes)) return true;
  if (!(here.classes & kSpace)) return false;
  const Character next = character(text, here.end);
  if (next.classes & kLetter) return true;
  if ((here.classes & kPunctuation) || !(next.classes & kPunctuation)) return false;
  const bool next_goes_with_letters =
      (next.classes & kSpace) && (character(text, next.end).classes & kLetter);  // U+3000 before a letter
  return !next_goes_with_letters;
}

// Before white space that no pair has cut off: splits 2 and 3 for the word after it, split 4 where it ends a piece.
bool V2Scanner::cut_before_space(uint8_t before, std::string_view text, size_t at) const {
  if (cut_of_first_three(before, text, at)) return true;
  if (before & kSpace) return false;  // inside a run, whose begin has been judged
  while (true) {
    const Character space = character(text, at);
    if (cut_of_first_three(space.classes, text, space.end)) return true;
    if (!(character(text, space.end).classes & kSpace)) return false;
    at = space.end;
  }
}

size_t V2Scanner::settled_bytes(std::string_view text) {
  size_t at = text.size();
  const auto back = [&] {
    do --at;
    while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80);
  };
  for (int characters = 0; characters < 4; ++characters) {
    if (at == 0) return 0;
    back();
  }
  while (at > 0 && is_white_space(code_point_at(text, at).value)) back();
  return is_white_space(code_point_at(text, at).value) ? 0 : at;
}

size_t V2Scanner::piece_end(std::string_view text, size_t begin) const {
  size_t at = begin;
  const auto ascii = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  uint8_t here = ascii(at) < 0x80 ? classes_[ascii(at)] : 0;
  if (here == kSpace && at + 1 < text.size() && ascii(at + 1) < 0x80 &&
      (classes_[ascii(at + 1)] & (kLetter | kPunctuation))) {
    here = classes_[ascii(++at)];
  }
  if (here & kPunctuation) {  // ASCII letters (kLetter | kPunctuation) or punctuation: both end at any other ASCII
    do ++at;
    while (at < text.size() && ascii(at) < 0x80 && classes_[ascii(at)] == here);
    if (at == text.size() || ascii(at) < 0x80) return at;
  } else {
    const Character first = character(text, at);
    here = first.classes;
    at = first.end;
  }
  while (at < text.size()) {
    const Character next = character(text, at);
    const uint8_t action = actions_[here * 64 + next.classes];
    if (action == kCut || (action == kLookAhead && cut_before_space(here, text, at))) break;
    here = next.classes;
    at = next.end;
  }
  return at;
}

}  // namespace dslite
