// UTF-8 as Unicode defines it (no surrogates, no overlong forms, at most U+10FFFF): checking, reading, writing,
// repairing.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dslite {

// Offset of the first byte that is not part of a well-formed character, or npos.
size_t find_invalid_utf8(std::string_view text);

// UserError "where: not UTF-8 at byte N" for text that is not well-formed.
void check_utf8(std::string_view text, const std::string& where);

struct CodePoint {
  uint32_t value;
  size_t size_bytes;
};
// The character at `position`; the text is well-formed.
inline CodePoint code_point_at(std::string_view text, size_t position) {
  const auto first = static_cast<uint8_t>(text[position]);
  const auto next = [&](size_t i) { return static_cast<uint32_t>(text[position + i] & 0x3F); };
  if (first < 0x80) return {first, 1};
  if (first < 0xE0) return {(first & 0x1Fu) << 6 | next(1), 2};
  if (first < 0xF0) return {(first & 0x0Fu) << 12 | next(1) << 6 | next(2), 3};
  return {(first & 0x07u) << 18 | next(1) << 12 | next(2) << 6 | next(3), 4};
}

void append_utf8(std::string& text, uint32_t code_point);

// Ill-formed parts become U+FFFD, one for each maximal part of a character (Unicode 17, section 3.9, "Substitution of
// Maximal Subparts").
std::string repaired_utf8(std::string_view bytes);

// Length of the longest end of `bytes` that more bytes could complete to a character: 0 to 3.
size_t unfinished_utf8_bytes(std::string_view bytes);

}  // namespace dslite
