// Strips from both ends, character by character.
#include "src/text/strip.h"

#include <cstdint>

#include "src/text/utf8.h"

namespace dslite {
namespace {

// Python's str.isspace(): the bidirectional types WS, B and S and the category Zs.
bool is_white_space(uint32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

// Size of the white space that begins at `position`, 0 for anything else; the text need not be well-formed.
size_t white_space_bytes(std::string_view text, size_t position) {
  const auto first = static_cast<uint8_t>(text[position]);
  const size_t size = first < 0x80 ? 1 : first < 0xE0 ? 2 : 3;  // none has four bytes
  if (size > text.size() - position || first >= 0xF0) return 0;
  return is_white_space(code_point_at(text, position).value) ? size : 0;
}

// Where the character that ends at `end` begins.
size_t character_before(std::string_view text, size_t end) {
  size_t begin = end - 1;
  while (begin > 0 && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
  return begin;
}

}  // namespace

std::string_view stripped(std::string_view text) {
  while (!text.empty()) {
    const size_t size = white_space_bytes(text, 0);
    if (size == 0) break;
    text.remove_prefix(size);
  }
  while (!text.empty()) {
    const size_t begin = character_before(text, text.size());
    if (white_space_bytes(text, begin) == 0) break;
    text.remove_suffix(text.size() - begin);
  }
  return text;
}

}  // namespace dslite
