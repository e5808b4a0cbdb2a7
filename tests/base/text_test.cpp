// Hashes (known answers), texts of numbers, suggestions, shown values.
#include <gtest/gtest.h>

#include "src/base/error.h"
#include "src/base/hash.h"
#include "src/base/progress.h"

namespace dslite {
namespace {

// FIPS 180-2, appendix B; XXH3: the reference implementation's value of the empty input.
TEST(Hash, KnownAnswers) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(xxh3_64(""), 0x2D06800538D394C2u);
}

TEST(Hash, PiecesGiveTheSameHash) {
  const std::string text(1000, 'a');
  for (const size_t cut : {0, 1, 63, 64, 65, 999, 1000}) {
    Sha256 hash;
    hash.add(text.substr(0, cut));
    EXPECT_EQ(hash.hex(), sha256_hex(text.substr(0, cut)));  // reading it does not end it
    hash.add(text.substr(cut));
    EXPECT_EQ(hash.hex(), sha256_hex(text));
  }
}

TEST(Text, Durations) {
  EXPECT_EQ(duration_text(0), "0s");
  EXPECT_EQ(duration_text(59.4), "59s");
  EXPECT_EQ(duration_text(59.6), "1m00s");
  EXPECT_EQ(duration_text(83), "1m23s");
  EXPECT_EQ(duration_text(3700), "1h01m");
  EXPECT_EQ(duration_text(3 * 86400), "3d00h");
  EXPECT_EQ(duration_text(-1), "?");
  EXPECT_EQ(duration_text(1e300 * 1e300), "?");
}

TEST(Text, CountsAndBytes) {
  EXPECT_EQ(count_text(0), "0");
  EXPECT_EQ(count_text(999), "999");
  EXPECT_EQ(count_text(1.5), "1.5");
  EXPECT_EQ(count_text(1234567), "1.23M");
  EXPECT_EQ(count_text(15706484224.0), "15.7B");
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(1023), "1023 B");
  EXPECT_EQ(bytes_text(1610612736), "1.50 GiB");
}

TEST(Text, Suggestions) {
  const std::vector<std::string> known = {"learning_rate", "weight_decay", "eps"};
  EXPECT_EQ(suggestion("learning_rte", known), " (did you mean \"learning_rate\"?)");
  EXPECT_EQ(suggestion("wieght_decay", known), " (did you mean \"weight_decay\"?)");
  EXPECT_EQ(suggestion("ep", known), " (did you mean \"eps\"?)");
  EXPECT_EQ(suggestion("something_else", known), "");
  EXPECT_EQ(suggestion("x", {}), "");
  EXPECT_EQ(suggestion("", known), "");
}

TEST(Text, ShownValues) {
  EXPECT_EQ(shown("plain"), "\"plain\"");
  EXPECT_EQ(shown("a\"b\\c\n"), "\"a\\\"b\\\\c\\x0a\"");
  EXPECT_EQ(shown(std::string(80, 'x')), "\"" + std::string(80, 'x') + "\"");
  EXPECT_EQ(shown(std::string(81, 'x')), "\"" + std::string(80, 'x') + "\"...");
  const std::string nul("a\0b", 3);
  EXPECT_EQ(shown(nul), "\"a\\x00b\"");
}

TEST(Error, AssertionsAreOurBugs) {
  EXPECT_THROW(DSLITE_ASSERT(1 == 2), std::logic_error);
  EXPECT_NO_THROW(DSLITE_ASSERT(true));
}

}  // namespace
}  // namespace dslite
