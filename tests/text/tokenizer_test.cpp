// Encoding and decoding: round trips, the two merge strategies, special tokens, streaming, invalid UTF-8.
#include "src/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "src/base/error.h"
#include "src/base/files.h"
#include "src/text/bpe.h"
#include "tests/text/support.h"

namespace dslite {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::random_text;
using testing::small_bpe;
using testing::small_tokenizer;

const std::string kSharedData = DSLITE_SOURCE_DIR "/../shared/data";

// Byte-pair merging as it is defined: the lowest rank, then the leftmost, one merge at a time.
std::vector<int32_t> naive_merge(const TrainedBpe& bpe, std::string_view piece) {
  std::vector<int32_t> ids;
  for (const char byte : piece) {
    ids.push_back(static_cast<int32_t>(std::find(bpe.tokens.begin(), bpe.tokens.end(), std::string(1, byte)) -
                                       bpe.tokens.begin()));
  }
  for (size_t rank = 0; rank < bpe.merges.size(); ++rank) {
    const auto [left, right, id] = bpe.merges[rank];
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      if (ids[i] != left || ids[i + 1] != right) continue;
      ids[i] = id;
      ids.erase(ids.begin() + i + 1);
      rank = static_cast<size_t>(-1);  // a new pair may have a lower rank
      break;
    }
  }
  return ids;
}

Bpe small_model(const TrainedBpe& bpe) {
  std::array<int32_t, 256> byte_ids;
  byte_ids.fill(-1);
  for (int32_t id = 0; id < 243; ++id) byte_ids[static_cast<uint8_t>(bpe.tokens[id][0])] = id;
  MergeTable merges(bpe.merges.size());
  for (size_t rank = 0; rank < bpe.merges.size(); ++rank) {
    const TrainedMerge& merge = bpe.merges[rank];
    merges.insert(merge.left, merge.right, {static_cast<int32_t>(rank), merge.id});
  }
  return Bpe(bpe.tokens, byte_ids, std::move(merges));
}

TEST(Tokenizer, DecodeInvertsEncode) {
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    const std::string text = random_text(seed, 60);
    ASSERT_EQ(small_tokenizer()->decode(small_tokenizer()->encode(text)), text) << "seed " << seed;
  }
}

TEST(Tokenizer, ShortAndLongMergesEqualTheNaiveOne) {
  const TrainedBpe bpe = small_bpe();
  const Bpe model = small_model(bpe);
  PieceCache cache;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    std::string piece = random_text(seed, 5 + seed % 60);
    if (seed % 2)
      std::erase_if(piece, [](char c) { return c < 'a' || c > 'c'; });  // few letters: many equal and overlapping pairs
    std::vector<int32_t> ids;
    if (piece.empty()) continue;
    model.encode(piece, cache, ids);
    ASSERT_EQ(ids, naive_merge(bpe, piece)) << "seed " << seed << ", " << piece.size() << " bytes";
  }
}

// Merges across the edges of characters come before, between and after those inside: merging may then not start from
// the characters.
TEST(Tokenizer, MergesAcrossTheEdgesOfCharacters) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const RandomStream random(seed, RandomPurpose::kTest);
    uint64_t draw = 0;
    // Many characters share their first bytes, or their last.
    const auto below_nine = [&] { return static_cast<uint32_t>(random.below(draw++, 9)); };
    const uint32_t step = seed % 2 ? 1 : 64;
    static constexpr uint32_t first[] = {'a', 0xC8, 0x4000, 0x8E2D};
    const auto word = [&](uint64_t max_characters) {
      std::string text;
      for (uint64_t left = 1 + random.below(draw++, max_characters); left > 0; --left)
        append_utf8(text, first[random.below(draw++, 4)] + step * below_nine());
      return text;
    };
    BpeTrainer trainer;
    for (int i = 0; i < 40; ++i) trainer.add_piece(word(6), 1 + static_cast<int64_t>(random.below(draw++, 5)));
    TrainedBpe bpe = trainer.train(243 + 20 + static_cast<int64_t>(seed));
    for (size_t i = bpe.merges.size(); seed % 3 == 0 && i > 1; --i)  // ranks that do not ascend
      std::swap(bpe.merges[i - 1], bpe.merges[random.below(draw++, i)]);
    const Bpe model = small_model(bpe);
    PieceCache cache;
    for (int i = 0; i < 60; ++i) {
      const std::string piece = word(i % 2 ? 6 : 70);
      std::vector<int32_t> ids;
      model.encode(piece, cache, ids);
      ASSERT_EQ(ids, naive_merge(bpe, piece)) << "seed " << seed << ": " << piece;
    }
  }
}

TEST(Tokenizer, AMegabyteWithoutSpacesIsNotQuadratic) {
  std::string text;
  const RandomStream random(5, RandomPurpose::kTest);
  for (int i = 0; i < 350000; ++i) append_utf8(text, 0x4E00 + static_cast<uint32_t>(random.below(i, 40)));
  EXPECT_EQ(small_tokenizer()->decode(small_tokenizer()->encode(text)), text);
  const std::string spaces = std::string(1 << 20, ' ') + "b";
  EXPECT_EQ(small_tokenizer()->decode(small_tokenizer()->encode(spaces)), spaces);
}

TEST(Tokenizer, SpecialTokensAreTextUnlessParsed) {
  const Tokenizer& tokenizer = *small_tokenizer();
  const std::string text = std::string("a") + kBosText + "b" + kEosText;
  const std::vector<int32_t> plain = tokenizer.encode(text);
  EXPECT_EQ(std::count_if(plain.begin(), plain.end(), [&](int32_t id) { return tokenizer.is_special(id); }), 0);
  EXPECT_EQ(tokenizer.decode(plain, true), text);
  const int32_t bos = *tokenizer.bos_id(), eos = *tokenizer.eos_id();
  const int32_t a = tokenizer.encode("a")[0], b = tokenizer.encode("b")[0];
  EXPECT_THAT(tokenizer.encode(text, {.parse_special = true}), ElementsAre(a, bos, b, eos));
  EXPECT_THAT(tokenizer.encode("a", {.add_special = true}), ElementsAre(bos, a));
  EXPECT_THAT(tokenizer.encode("", {.add_special = true}), ElementsAre(bos));
  EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{a, bos, b, eos}), text);
  EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{a, bos, b, eos}, true), "ab");
  EXPECT_EQ(bos, tokenizer.vocab_size() - 2);
  EXPECT_EQ(tokenizer.special_id(kEosText), eos);
  EXPECT_EQ(tokenizer.special_id("a"), std::nullopt);
}

TEST(Tokenizer, StreamEqualsWholeDecode) {
  const Tokenizer& tokenizer = *small_tokenizer();
  const RandomStream random(3, RandomPurpose::kTest);
  for (uint64_t run = 0; run < 2000; ++run) {
    std::vector<int32_t> ids;  // random ids: most of them cut characters
    for (uint64_t i = 0; i < 12; ++i)
      ids.push_back(static_cast<int32_t>(random.below(run * 12 + i, tokenizer.vocab_size())));
    StreamDecoder stream(tokenizer);
    std::string text;
    for (const int32_t id : ids) {
      const std::string part = stream.push(id);
      EXPECT_EQ(find_invalid_utf8(part), std::string::npos);
      text += part;
    }
    text += stream.finish();
    ASSERT_EQ(text, tokenizer.decode(ids, true));
  }
}

TEST(Tokenizer, StreamHoldsBackACutCharacter) {
  const Tokenizer& tokenizer = *small_tokenizer();
  const std::vector<int32_t> ids = tokenizer.encode("\U0001F600");
  ASSERT_GE(ids.size(), 2u);
  StreamDecoder stream(tokenizer);
  for (size_t i = 0; i + 1 < ids.size(); ++i) EXPECT_EQ(stream.push(ids[i]), "");
  EXPECT_EQ(stream.push(ids.back()), "\U0001F600");
  EXPECT_EQ(stream.push(ids[0]), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
}

TEST(Tokenizer, InvalidUtf8NamesTheByte) {
  for (const char* bad : {"ab\xff", "ab\xc3", "ab\xc0\x80", "ab\xed\xa0\x80", "ab\xf4\x90\x80\x80", "ab\x80",
                          "ab\xe4\xbd", "ab\xf8\x88\x80\x80\x80"}) {
    try {
      small_tokenizer()->encode(bad);
      FAIL() << bad;
    } catch (const UserError& error) {
      EXPECT_THAT(error.what(), HasSubstr("not UTF-8 at byte 2"));
    }
  }
}

TEST(Tokenizer, UnknownIdsAreRefused) {
  for (const int32_t id : {-1, 702, INT32_MAX})
    EXPECT_THROW(small_tokenizer()->decode(std::vector<int32_t>{id}), UserError) << id;
  EXPECT_EQ(small_tokenizer()->vocab_size(), 702);
}

TEST(Tokenizer, EdgeCasesOfTheRealTokenizer) {
  const std::string folder = kSharedData + "/tokenizer";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is absent";
  const auto tokenizer = Tokenizer::load(folder);
  const std::string lines = read_file(folder + "/edge_cases.jsonl");
  int cases = 0;
  for (size_t begin = 0; begin < lines.size(); ++cases) {
    const size_t end = std::min(lines.find('\n', begin), lines.size());
    const Json edge = parse_json(std::string_view(lines).substr(begin, end - begin), "edge_cases.jsonl");
    const std::string text = edge["text"].get<std::string>();
    EXPECT_EQ(tokenizer->encode(text), edge["ids"].get<std::vector<int32_t>>()) << text;
    begin = end + 1;
  }
  EXPECT_EQ(cases, 65);
  EXPECT_EQ(tokenizer->vocab_size(), 100002);
  EXPECT_EQ(tokenizer->bos_id(), 100000);
  EXPECT_EQ(tokenizer->eos_id(), 100001);
}

}  // namespace
}  // namespace dslite
