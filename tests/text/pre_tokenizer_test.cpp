// Steps of other tokenizers: split behaviors, digits, prefix spaces, patterns with categories. The expected pieces are
// those of `tokenizers` 0.23.
#include "src/text/pre_tokenizer.h"

#include <gtest/gtest.h>

#include "src/base/error.h"
#include "src/text/added_tokens.h"
#include "src/text/normalizer.h"
#include "tests/text/support.h"

namespace dslite {
namespace {

using Pieces = std::vector<std::string>;

Json byte_level(bool prefix_space, bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", prefix_space}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

Json sequence(Json step, const Json& last = byte_level(false, false)) {
  return {{"type", "Sequence"}, {"pretokenizers", Json::array({std::move(step), last})}};
}

Json split(const Json& pattern, const std::string& behavior, bool invert = false) {
  return {{"type", "Split"}, {"pattern", pattern}, {"behavior", behavior}, {"invert", invert}};
}

Pieces pieces(const Json& pre_tokenizer, const std::string& text) {
  const PreTokenizer made(pre_tokenizer, "test");
  Pattern::Scratch scratch;
  Pieces found;
  made.split(text, scratch, [&](std::string_view piece) { found.emplace_back(piece); });
  return found;
}

TEST(PreTokenizer, Behaviors) {
  struct Case {
    const char* behavior;
    bool invert;
    const char* text;
    Pieces expected;
  };
  const Case cases[] = {
      {"Isolated", false, "--a--bc-d-", {"-", "-", "a", "-", "-", "bc", "-", "d", "-"}},
      {"Isolated", true, "--a--bc-d-", {"-", "-", "a", "-", "-", "bc", "-", "d", "-"}},
      {"Removed", false, "--a--bc-d-", {"a", "bc", "d"}},
      {"Removed", false, "-", {}},
      {"Removed", true, "--a--bc-d-", {"-", "-", "-", "-", "-", "-"}},
      {"Removed", true, "a", {}},
      {"MergedWithPrevious", false, "--a--bc-d-", {"-", "-", "a-", "-", "bc-", "d-"}},
      {"MergedWithPrevious", true, "--a--bc-d-", {"-", "-a", "-", "-bc", "-d", "-"}},
      {"MergedWithPrevious", true, "-a", {"-a"}},
      {"MergedWithNext", false, "--a--bc-d-", {"-", "-a", "-", "-bc", "-d", "-"}},
      {"MergedWithNext", true, "--a--bc-d-", {"-", "-", "a-", "-", "bc-", "d-"}},
      {"MergedWithNext", true, "-a", {"-", "a"}},
      {"Contiguous", false, "--a--bc-d-", {"--", "a", "--", "bc", "-", "d", "-"}},
      {"Contiguous", true, "--a--bc-d-", {"--", "a", "--", "bc", "-", "d", "-"}},
  };
  for (const Case& c : cases) {
    for (const Json& pattern : {Json{{"String", "-"}}, Json{{"Regex", "-"}}}) {
      EXPECT_EQ(pieces(sequence(split(pattern, c.behavior, c.invert)), c.text), c.expected)
          << c.behavior << (c.invert ? " inverted: " : ": ") << c.text;
    }
  }
}

TEST(PreTokenizer, DigitsAndPrefixSpaces) {
  const auto digits = [](bool individual) { return Json{{"type", "Digits"}, {"individual_digits", individual}}; };
  EXPECT_EQ(pieces(sequence(digits(false)), "a12½b3"), (Pieces{"a", "12½", "b", "3"}));
  EXPECT_EQ(pieces(sequence(digits(true)), "a12½b3"), (Pieces{"a", "1", "2", "½", "b", "3"}));
  EXPECT_EQ(pieces(byte_level(true, true), "it's 12  x"), (Pieces{" it", "'s", " 12", " ", " x"}));
  EXPECT_EQ(pieces(byte_level(true, true), " x"), (Pieces{" x"}));
  EXPECT_EQ(pieces(sequence(digits(true), byte_level(true, false)), "it 12 "), (Pieces{" it ", " 1", " 2", " "}));
  EXPECT_EQ(pieces(byte_level(true, false), ""), (Pieces{}));
}

TEST(PreTokenizer, Patterns) {
  const auto by = [](const std::string& regex, const std::string& text) {
    return pieces(sequence(split({{"Regex", regex}}, "Isolated")), text);
  };
  EXPECT_EQ(by("\\p{N}{1,3}", "12345x"), (Pieces{"123", "45", "x"}));
  EXPECT_EQ(by("(?i:'s|'ll)", "it'S we'Ll"), (Pieces{"it", "'S", " we", "'Ll"}));
  EXPECT_EQ(by("\\s+(?!\\S)|\\s+", "a   b "), (Pieces{"a", "  ", " ", "b", " "}));
  EXPECT_EQ(by("[^\\s\\p{L}]+", "ab!?c 7"), (Pieces{"ab", "!?", "c ", "7"}));
  EXPECT_EQ(by("(a|b)+?", "aab"), (Pieces{"a", "a", "b"}));
  EXPECT_EQ(by("\\P{L}\\S", "a 1b"), (Pieces{"a", " 1", "b"}));
}

// The categories of the package: 1,430 letters more than PCRE2 knows, and so on.
TEST(PreTokenizer, CategoriesHaveThePackagesCounts) {
  const std::pair<const char*, int> kCounts[] = {{"L", 141028},  {"Lu", 1858}, {"Ll", 2258}, {"Lt", 31},  {"Lm", 404},
                                                 {"Lo", 136477}, {"N", 1911},  {"P", 855},   {"S", 8514}, {"M", 2501}};
  std::string all;
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c < 0xD800 || c >= 0xE000) append_utf8(all, c);
  }
  for (const auto& [name, count] : kCounts) {
    const Pattern pattern(fmt::format("\\p{{{}}}", name), "test");
    Pattern::Scratch scratch;
    int found = 0;
    for (Match match{0, 0}; pattern.find(all, match.end, scratch, match);) ++found;
    EXPECT_EQ(found, count) << name;
  }
}

TEST(Normalizer, FormsOfUnicode9) {
  const auto normalized = [](const char* form, const std::string& text) {
    const Normalizer normalizer(Json{{"type", form}}, "test");
    std::string buffer;
    return std::string(normalizer.apply(text, buffer));
  };
  EXPECT_EQ(normalized("NFC", "e\u0301 ac\u0327\u0301"), "\u00E9 a\u1E09");
  EXPECT_EQ(normalized("NFD", "\u00E9\uAC01"), "e\u0301\u1100\u1161\u11A8");
  EXPECT_EQ(normalized("NFKC", "\uFB01\u2460\uFF21"), "fi1A");
  EXPECT_EQ(normalized("NFKD", "\u00BD"), "1\u20442");
  EXPECT_EQ(normalized("NFC", "a\u07FD\u0323"),
            "a\u07FD\u0323");                         // U+07FD came with Unicode 11: it parts a and the dot
  EXPECT_EQ(normalized("NFKC", "\u32FF"), "\u32FF");  // Unicode 12.1
  EXPECT_EQ(Normalizer(Json(), "test").empty(), true);
}

TEST(AddedTokens, TakeWhiteSpaceAroundThem) {
  const AddedTokens tokens({{.text = "<m>", .id = 1, .special = true, .lstrip = true},
                            {.text = "<n>", .id = 2, .special = false, .rstrip = true},
                            {.text = "<m><n>", .id = 3, .special = true}});
  const auto split = [&](std::string_view text, bool parse_special) {
    std::string found;
    tokens.split(
        text, parse_special, [&](int32_t id) { found += fmt::format("[{}]", id); },
        [&](std::string_view rest) { found += rest; });
    return found;
  };
  EXPECT_EQ(split("a \u3000<m> b<n> \n c<m", true), "a[1] b[2]c<m");
  EXPECT_EQ(split("a <m> b<n>  <m>", false), "a <m> b[2]<m>");
  EXPECT_EQ(split("x <n>  <m>", true), "x [2][1]");  // the space is taken once
  EXPECT_EQ(split(" <m><n> <m>", true), " [3][1]");
  EXPECT_EQ(split(" <m><n>", false), " <m><n>");
}

}  // namespace
}  // namespace dslite
