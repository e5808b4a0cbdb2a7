// DeepSeek-V2's six splits in one pass. Each split cuts the pieces that the one before left, so together they are a set
// of cuts, and every cut can be told from a few characters around it:
//   1 [\r\n]       before and after a line end
//   2 \s?[L]+      where letters begin or end; one white space before them goes with them
//   3 \s?[P]+      the same for punctuation, inside the pieces of 2
//   4 \s+$         before white space that ends a piece of 3
//   5 [C]+, 6 digits   where CJK begins or ends; around each numeric character
// The classes overlap (ASCII letters are both L and P, U+3000 is white space, P and C), which is why a table of pairs
// decides and why a cut before white space looks up to three characters ahead.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace dslite {

class V2Scanner {
 public:
  V2Scanner();
  // The end of the piece that begins at `begin`, which is a piece's begin and less than the text's size. The text is
  // well-formed UTF-8.
  size_t piece_end(std::string_view text, size_t begin) const;

  // A piece that ends here or before stays as it is whatever follows the text: a cut is told from white space, the
  // first other character and three more.
  static size_t settled_bytes(std::string_view text);

 private:
  struct Character {
    uint8_t classes;
    size_t end;
  };
  Character character(std::string_view text, size_t at) const;
  bool cut_of_first_three(uint8_t before, std::string_view text, size_t at) const;
  bool cut_before_space(uint8_t before, std::string_view text, size_t at) const;

  std::vector<uint8_t> classes_;          // [0x110000] bits of the classes of a code point
  std::array<uint8_t, 64 * 64> actions_;  // [classes before, classes after] what is between them
};

}  // namespace dslite
