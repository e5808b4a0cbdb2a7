// The scanner of DeepSeek-V2's splits against the six regular expressions in PCRE2, step after step.
#include <gtest/gtest.h>

#include "src/text/pre_tokenizer.h"
#include "src/text/v2_pre_tokenizer.h"
#include "tests/text/support.h"

namespace dslite {
namespace {

// The same sequence with its first step twice: equal pieces, but not the scanner's sequence.
Json searched_sequence() {
  Json sequence = deepseek_v2_pre_tokenizer();
  Json& steps = sequence["pretokenizers"];
  steps.insert(steps.begin(), steps[0]);
  return sequence;
}

class V2ScannerTest : public ::testing::Test {
 protected:
  std::vector<std::string_view> pieces(const PreTokenizer& pre_tokenizer, std::string_view text) {
    std::vector<std::string_view> found;
    pre_tokenizer.split(text, scratch_, [&](std::string_view piece) { found.push_back(piece); });
    return found;
  }
  void expect_equal(const std::string& text) {
    ASSERT_EQ(pieces(scanned_, text), pieces(searched_, text)) << ::testing::PrintToString(text);
  }
  const PreTokenizer scanned_{deepseek_v2_pre_tokenizer(), "scanned"}, searched_{searched_sequence(), "searched"};
  Pattern::Scratch scratch_;
};

// One character for each set of classes that occurs, ASCII and not.
constexpr uint32_t kRepresentatives[] = {'\n',   '\r',   ' ',    '\t',   'a',  '!',    '7',    0x01,  // ASCII
                                         0x85,   0x2003, 0x3000,          // white space: plain, CJK, punctuation too
                                         0xE9,   0x10D0, 0xFF21, 0x1E00,  // letters: plain, numeric plane, full width
                                         0x2019, 0x3002, 0xFF0C, 0x4E00, 0xBD, 0x0966, 0x3007, 0x301, 0x1F600};

TEST_F(V2ScannerTest, EveryTextOfUpToFourRepresentatives) {
  std::vector<std::string> characters;
  for (const uint32_t c : kRepresentatives) append_utf8(characters.emplace_back(), c);
  const size_t n = characters.size();
  for (size_t index = 0; index < n * n * n * n; ++index) {
    const std::string text = characters[index / (n * n * n)] + characters[index / (n * n) % n] +
                             characters[index / n % n] + characters[index % n];
    for (size_t begin = 0; begin < text.size(); begin += code_point_at(text, begin).size_bytes) {
      ASSERT_NO_FATAL_FAILURE(expect_equal(text.substr(begin)));
      if (index % n) break;  // a shorter text once
    }
  }
}

TEST_F(V2ScannerTest, LongTextsOfRepresentatives) {
  for (uint64_t seed = 0; seed < 20000; ++seed) {
    const RandomStream random(seed, RandomPurpose::kTest);
    std::string text;
    // Some texts of white space mostly: its runs are what looks ahead.
    const uint64_t kinds = seed % 3 == 0 ? 11 : std::size(kRepresentatives);
    for (uint64_t i = 0; i < 1 + seed % 40; ++i) append_utf8(text, kRepresentatives[random.below(i, kinds)]);
    ASSERT_NO_FATAL_FAILURE(expect_equal(text));
  }
}

TEST_F(V2ScannerTest, EveryCodePointBetweenOthers) {
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text = " ";
    append_utf8(text, c);
    text += "b";
    append_utf8(text, c);
    append_utf8(text, c >= 0x80 && c % 2 ? 0x4E00 : ' ');
    ASSERT_NO_FATAL_FAILURE(expect_equal(text));
  }
}

TEST_F(V2ScannerTest, RandomTexts) {
  for (uint64_t seed = 0; seed < 20000; ++seed) ASSERT_NO_FATAL_FAILURE(expect_equal(testing::random_text(seed, 60)));
}

}  // namespace
}  // namespace dslite
