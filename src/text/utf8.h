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
CodePoint code_point_at(std::string_view text, size_t position);

void append_utf8(std::string& text, uint32_t code_point);

// Ill-formed parts become U+FFFD, one for each maximal part of a character (Unicode 17, section 3.9, "Substitution of
// Maximal Subparts").
std::string repaired_utf8(std::string_view bytes);

// Length of the longest end of `bytes` that more bytes could complete to a character: 0 to 3.
size_t unfinished_utf8_bytes(std::string_view bytes);

}  // namespace dslite
