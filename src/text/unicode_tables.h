// Code point tables that the pre-tokenizers need, of a named Unicode version (unicode_tables.cpp is written by
// tools/make_unicode_tables.py).
#pragma once
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>

namespace dslite {

struct CodePointRange {
  uint32_t first, last;  // both included
};

// Ascending, apart from each other.
std::span<const CodePointRange> numeric_ranges();

// What the general categories have gained since Unicode 14.
struct NewerCategory {
  const char* name;  // "Lu", "Ll", "Lm", "Lo", "M", "N", "P" or "S"
  std::span<const CodePointRange> ranges;
};
std::span<const NewerCategory> newer_categories();

// The 25 code points of the property White_Space: what \s matches.
constexpr CodePointRange kWhiteSpaceRanges[] = {{0x09, 0x0D},     {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},
                                                {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F},
                                                {0x205F, 0x205F}, {0x3000, 0x3000}};

inline bool in_ranges(std::span<const CodePointRange> ranges, uint32_t c) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), c,
                                      [](uint32_t value, const CodePointRange& range) { return value < range.first; });
  return after != ranges.begin() && c <= std::prev(after)->last;
}
inline bool is_white_space(uint32_t c) { return in_ranges(kWhiteSpaceRanges, c); }
inline bool is_numeric(uint32_t c) { return in_ranges(numeric_ranges(), c); }

}  // namespace dslite
