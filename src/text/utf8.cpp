// UTF-8 by table 3-7 of the Unicode standard: the first byte decides the length and the range of the second.
#include "src/text/utf8.h"

#include <cstring>

#include "src/base/error.h"

namespace dslite {
namespace {

struct FirstByte {
  size_t size_bytes;  // 0: cannot begin a character
  uint8_t second_low, second_high;
};

FirstByte first_byte(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// The longest beginning at `position` that can start a character. `complete`: it is a whole one.
struct Part {
  size_t size_bytes;
  bool complete;
};
Part part_at(std::string_view text, size_t position) {
  const FirstByte first = first_byte(static_cast<uint8_t>(text[position]));
  if (first.size_bytes == 0) return {0, false};
  size_t size = 1;
  for (; size < first.size_bytes && position + size < text.size(); ++size) {
    const uint8_t byte = static_cast<uint8_t>(text[position + size]);
    const uint8_t low = size == 1 ? first.second_low : 0x80, high = size == 1 ? first.second_high : 0xBF;
    if (byte < low || byte > high) break;
  }
  return {size, size == first.size_bytes};
}

// The first position from `position` on that is not ASCII, eight bytes at a time.
size_t skip_ascii(std::string_view text, size_t position) {
  for (; position + 8 <= text.size(); position += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + position, 8);
    if (word & 0x8080808080808080u) break;
  }
  while (position < text.size() && static_cast<uint8_t>(text[position]) < 0x80) ++position;
  return position;
}

// Past the three-byte characters without exceptions (all but E0 and ED): most of CJK.
size_t skip_plain_three(std::string_view text, size_t position) {
  for (; position + 4 <= text.size(); position += 3) {
    uint32_t word;
    std::memcpy(&word, text.data() + position, 4);  // little endian: the first byte is the lowest
    const uint32_t first = word & 0xFF;
    if ((word & 0xC0C0F0u) != 0x8080E0u || first == 0xE0 || first == 0xED) break;
  }
  return position;
}

size_t find_invalid_from(std::string_view text, size_t position) {
  while ((position = skip_plain_three(text, skip_ascii(text, position))) < text.size()) {
    const Part part = part_at(text, position);
    if (!part.complete) return position;
    position += part.size_bytes;
  }
  return std::string_view::npos;
}

}  // namespace

size_t find_invalid_utf8(std::string_view text) { return find_invalid_from(text, 0); }

void check_utf8(std::string_view text, const std::string& where) {
  const size_t position = find_invalid_utf8(text);
  if (position != std::string_view::npos) {
    fail_input("{}: not UTF-8 at byte {}: found 0x{:02X}", where, position, static_cast<uint8_t>(text[position]));
  }
}

void append_utf8(std::string& text, uint32_t code_point) {
  const auto tail = [&](int shift) { text += static_cast<char>(0x80 | (code_point >> shift & 0x3F)); };
  if (code_point < 0x80) {
    text += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    text += static_cast<char>(0xC0 | code_point >> 6);
    tail(0);
  } else if (code_point < 0x10000) {
    text += static_cast<char>(0xE0 | code_point >> 12);
    tail(6), tail(0);
  } else {
    text += static_cast<char>(0xF0 | code_point >> 18);
    tail(12), tail(6), tail(0);
  }
}

std::string repaired_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  size_t begin = 0;
  for (size_t bad; (bad = find_invalid_from(bytes, begin)) != std::string_view::npos;) {
    text.append(bytes, begin, bad - begin);
    text += "\xEF\xBF\xBD";
    begin = bad + std::max<size_t>(1, part_at(bytes, bad).size_bytes);
  }
  return text.append(bytes, begin);
}

size_t unfinished_utf8_bytes(std::string_view bytes) {
  for (size_t size = std::min<size_t>(3, bytes.size()); size > 0; --size) {
    const Part part = part_at(bytes, bytes.size() - size);
    if (part.size_bytes == size && !part.complete) return size;
  }
  return 0;
}

}  // namespace dslite
