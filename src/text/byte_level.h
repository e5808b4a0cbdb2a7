// The byte-level alphabet of GPT-2: every byte has one printable character, so that tokens can be written as JSON
// strings. Printable Latin-1 bytes stand for themselves; the other 68 bytes get U+0100 onwards in ascending order.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dslite {

// The character that a byte is written as.
uint32_t byte_level_character(uint8_t byte);
std::string to_byte_level(std::string_view bytes);
// The bytes of a token's text. A text with a character outside the alphabet (an added token, say) stays as it is.
std::string from_byte_level(std::string_view token);

// False for C0, C1 and F5..FF, which occur in no UTF-8 text.
bool occurs_in_utf8(uint8_t byte);
// The 243 others, ordered by their characters: the order of DeepSeek-V2's first tokens.
std::vector<uint8_t> utf8_bytes_in_token_order();

}  // namespace dslite
