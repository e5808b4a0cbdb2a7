// UTF-8 and patterns: the parts below the pre-tokenizer.
#include <gtest/gtest.h>

#include "src/text/byte_level.h"
#include "src/text/pattern.h"
#include "tests/text/support.h"

namespace dslite {
namespace {

std::vector<std::pair<size_t, size_t>> matches(const Pattern& pattern, std::string_view text) {
  Pattern::Scratch scratch;
  std::vector<std::pair<size_t, size_t>> found;
  Match match{0, 0};
  while (pattern.find(text, match.end, scratch, match)) found.emplace_back(match.begin, match.end);
  return found;
}

// [\s]+$ is not recognised as the special case and goes through PCRE2.
TEST(Pattern, TrailingSpaceInLinearTimeEqualsTheSearch) {
  const Pattern linear("\\s+$", "test"), searched("[\\s]+$", "test");
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    std::string text = testing::random_text(seed, 40);
    for (char& c : text) {
      if (seed % 2 && c >= 'c' && c <= 'f') c = " \n\t "[c - 'c'];
    }
    ASSERT_EQ(matches(linear, text), matches(searched, text)) << "seed " << seed;
  }
}

TEST(Pattern, WhiteSpaceIsUnicodes25) {
  const Pattern pattern("\\s", "test");
  int count = 0;
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_utf8(text, c);
    count += static_cast<int>(matches(pattern, text).size());
  }
  EXPECT_EQ(count, 25);
}

TEST(Pattern, ClassesAndRepeats) {
  using Found = std::vector<std::pair<size_t, size_t>>;
  EXPECT_EQ(matches(Pattern("[^a-c]", "t"), "abxc"), (Found{{2, 3}}));
  EXPECT_EQ(matches(Pattern("a?b", "t"), "abbaab"), (Found{{0, 2}, {2, 3}, {4, 6}}));
  EXPECT_EQ(matches(Pattern("ab*$", "t"), "abb\nab a"), (Found{{0, 3}, {7, 8}}));
  EXPECT_EQ(matches(Pattern("[-\\]]+", "t"), "a-]-b"), (Found{{1, 4}}));
  EXPECT_EQ(matches(Pattern("\\.", "t"), "a.b"), (Found{{1, 2}}));
}

TEST(Utf8, EveryCodePointIsReadAsWritten) {
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_utf8(text, c);
    const CodePoint read = code_point_at(text, 0);
    ASSERT_EQ(read.value, c);
    ASSERT_EQ(read.size_bytes, text.size());
    ASSERT_EQ(find_invalid_utf8(text), std::string::npos);
    for (size_t cut = 1; cut < text.size(); ++cut) ASSERT_EQ(unfinished_utf8_bytes(text.substr(0, cut)), cut);
  }
}

// The examples of the Unicode standard, section 3.9.
TEST(Utf8, RepairTakesMaximalParts) {
  const std::string r = "\uFFFD";
  EXPECT_EQ(repaired_utf8("a\xC0\xAF\xE0\x80\xBF\xF0\x81\x82"
                          "A"),
            "a" + r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(repaired_utf8("\xED\xA0\x80\xED\xBF\xBF\xED\xAF"
                          "A"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(repaired_utf8("\xF4\x91\x92\x93\xFF"
                          "A\x80\xBF"
                          "B"),
            r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(repaired_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF"
                          "A"),
            r + r + r + r + "A");
  EXPECT_EQ(repaired_utf8("\xE4\xBD"), r);
  EXPECT_EQ(repaired_utf8(""), "");
}

TEST(ByteLevel, EveryByteHasItsCharacter) {
  for (int b = 0; b < 256; ++b) {
    const std::string byte(1, static_cast<char>(b));
    EXPECT_EQ(from_byte_level(to_byte_level(byte)), byte);
  }
  EXPECT_EQ(to_byte_level(" \n!"), "\u0120\u010A!");
  EXPECT_EQ(from_byte_level("a｜b"), "a｜b");
  EXPECT_EQ(utf8_bytes_in_token_order().size(), 243u);
  EXPECT_EQ(utf8_bytes_in_token_order()[0], '!');
}

}  // namespace
}  // namespace dslite
