// Training: equal to a trainer that counts everything anew at each merge, and to its own definition.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "src/text/byte_level.h"
#include "src/text/v2_pre_tokenizer.h"
#include "tests/text/support.h"

namespace dslite {
namespace {

using Words = std::map<std::string, int64_t>;

// The definition: count all pairs, merge the most frequent (then the smaller ids); bytes that are a token already
// become that token, and a pair that comes back is merged without a second line.
TrainedBpe reference_train(const Words& words, int64_t num_tokens) {
  TrainedBpe bpe;
  for (const uint8_t byte : utf8_bytes_in_token_order()) bpe.tokens.emplace_back(1, static_cast<char>(byte));
  const auto id_of = [&](const std::string& token) {
    return static_cast<int32_t>(std::find(bpe.tokens.begin(), bpe.tokens.end(), token) - bpe.tokens.begin());
  };
  std::vector<std::pair<std::vector<int32_t>, int64_t>> split;
  for (const auto& [word, count] : words) {
    std::vector<int32_t> ids;
    for (const char byte : word) ids.push_back(id_of(std::string(1, byte)));
    split.emplace_back(ids, count);
  }
  while (static_cast<int64_t>(bpe.tokens.size()) < num_tokens) {
    std::map<std::pair<int32_t, int32_t>, int64_t> counts;
    for (const auto& [ids, count] : split) {
      for (size_t i = 0; i + 1 < ids.size(); ++i) counts[{ids[i], ids[i + 1]}] += count;
    }
    const std::pair<const std::pair<int32_t, int32_t>, int64_t>* best = nullptr;
    for (const auto& entry : counts) {
      if (!best || entry.second > best->second) best = &entry;
    }
    if (!best) break;
    const auto [left, right] = best->first;
    const std::string token = bpe.tokens[left] + bpe.tokens[right];
    const int32_t merged = id_of(token);
    if (merged == static_cast<int32_t>(bpe.tokens.size())) bpe.tokens.push_back(token);
    const TrainedMerge line{left, right, merged};
    if (std::find(bpe.merges.begin(), bpe.merges.end(), line) == bpe.merges.end()) bpe.merges.push_back(line);
    for (auto& [ids, count] : split) {
      for (size_t i = 0; i + 1 < ids.size(); ++i) {
        if (ids[i] != left || ids[i + 1] != right) continue;
        ids[i] = merged;
        ids.erase(ids.begin() + static_cast<ptrdiff_t>(i) + 1);
      }
    }
  }
  return bpe;
}

TEST(BpeTrainer, EqualsTheDefinitionOnSmallCorpora) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const RandomStream random(seed, RandomPurpose::kTest);
    Words words;
    for (uint64_t i = 0; i < 30; ++i) {  // two or three letters: many overlapping, equal and re-made pairs
      std::string word;
      for (uint64_t k = 0; k < 1 + random.below(100 * i, 14); ++k)
        word += static_cast<char>('a' + random.below(100 * i + 1 + k, 2 + seed % 2));
      words[word] += 1 + static_cast<int64_t>(random.below(100 * i + 50, 4));
    }
    BpeTrainer trainer;
    for (const auto& [word, count] : words) trainer.add_piece(word, count);
    const TrainedBpe trained = trainer.train(243 + 60), expected = reference_train(words, 243 + 60);
    ASSERT_EQ(trained.merges, expected.merges) << "seed " << seed;
    ASSERT_EQ(trained.tokens, expected.tokens) << "seed " << seed;
  }
}

TEST(BpeTrainer, EqualsTheDefinitionOnText) {
  BpeTrainer trainer;
  Words words;
  const PreTokenizer pre_tokenizer(deepseek_v2_pre_tokenizer(), "test");
  Pattern::Scratch scratch;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const std::string text = testing::random_text(seed, 200);
    trainer.add_text(text);
    pre_tokenizer.split(text, scratch, [&](std::string_view piece) { ++words[std::string(piece)]; });
  }
  EXPECT_EQ(trainer.train(243 + 120).merges, reference_train(words, 243 + 120).merges);
}

TEST(BpeTrainer, PiecesJoinToTheText) {
  const PreTokenizer pre_tokenizer(deepseek_v2_pre_tokenizer(), "test");
  Pattern::Scratch scratch;
  for (uint64_t seed = 0; seed < 500; ++seed) {
    const std::string text = testing::random_text(seed, 100);
    std::string joined;
    pre_tokenizer.split(text, scratch, [&](std::string_view piece) {
      EXPECT_FALSE(piece.empty());
      joined += piece;
    });
    ASSERT_EQ(joined, text);
  }
}

TEST(BpeTrainer, TokensAreDistinctAndTheOrderOfTextsDoesNotMatter) {
  BpeTrainer forward, backward;
  for (uint64_t i = 0; i < 50; ++i) {
    forward.add_text(testing::random_text(i, 200));
    backward.add_text(testing::random_text(49 - i, 200));
  }
  const TrainedBpe bpe = forward.train(600);
  EXPECT_EQ(bpe.merges, backward.train(600).merges);
  EXPECT_EQ(bpe.tokens.size(), 600u);
  EXPECT_GE(bpe.merges.size(), 600u - 243);
  EXPECT_EQ(std::set<std::string>(bpe.tokens.begin(), bpe.tokens.end()).size(), 600u);
}

TEST(BpeTrainer, GivesFewerTokensWhereTheTextHasNoMore) {
  BpeTrainer trainer;
  trainer.add_text("abab ab");
  EXPECT_EQ(trainer.train(1000).tokens.size(), 243u + 3);  // ab, abab, " ab"
  EXPECT_EQ(BpeTrainer().train(1000).tokens.size(), 243u);
}

}  // namespace
}  // namespace dslite
