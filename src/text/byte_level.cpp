// The byte-level alphabet and its inverse.
#include "src/text/byte_level.h"

#include <algorithm>
#include <array>

#include "src/text/utf8.h"

namespace dslite {
namespace {

constexpr uint32_t kNumCharacters = 0x100 + 68;

struct Alphabet {
  std::array<uint32_t, 256> character;
  std::array<int, kNumCharacters> byte;  // -1: not of the alphabet

  Alphabet() {
    byte.fill(-1);
    uint32_t next = 0x100;
    for (uint32_t b = 0; b < 256; ++b) {
      const bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      character[b] = printable ? b : next++;
      byte[character[b]] = static_cast<int>(b);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet table;
  return table;
}

}  // namespace

uint32_t byte_level_character(uint8_t byte) { return alphabet().character[byte]; }

std::string to_byte_level(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) append_utf8(text, byte_level_character(static_cast<uint8_t>(byte)));
  return text;
}

std::string from_byte_level(std::string_view token) {
  std::string bytes;
  for (size_t i = 0; i < token.size();) {
    const CodePoint c = code_point_at(token, i);
    if (c.value >= kNumCharacters || alphabet().byte[c.value] < 0) return std::string(token);
    bytes += static_cast<char>(alphabet().byte[c.value]);
    i += c.size_bytes;
  }
  return bytes;
}

bool occurs_in_utf8(uint8_t byte) { return byte != 0xC0 && byte != 0xC1 && byte < 0xF5; }

std::vector<uint8_t> utf8_bytes_in_token_order() {
  std::vector<uint8_t> bytes;
  for (int b = 0; b < 256; ++b) {
    if (occurs_in_utf8(static_cast<uint8_t>(b))) bytes.push_back(static_cast<uint8_t>(b));
  }
  std::sort(bytes.begin(), bytes.end(),
            [](uint8_t a, uint8_t b) { return byte_level_character(a) < byte_level_character(b); });
  return bytes;
}

}  // namespace dslite
