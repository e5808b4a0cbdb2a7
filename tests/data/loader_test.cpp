// The loader: weights kept, each row once an epoch, one global order for any number of ranks and any interruption.
#include "src/data/loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "src/base/error.h"
#include "src/base/random.h"
#include "tests/data/token_files.h"

namespace dslite {
namespace {

constexpr BatchRows kOneRow{.per_step = 1, .per_micro_batch = 1};

// A row as one comparable value.
std::string row_key(const Batch& batch) {
  std::string key;
  for (size_t i = 0; i < batch.tokens.size(); ++i)
    key += fmt::format("{}>{}*{}@{} ", batch.tokens[i], batch.labels[i], batch.loss_weight[i], batch.positions[i]);
  for (const int64_t offset : batch.offsets) key += fmt::format("|{}", offset);
  return key;
}

class LoaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    sft = random_documents(TokenFileKind::kSft, 300, 120, 1);
    text = random_documents(TokenFileKind::kPretrain, 40, 400, 2);
    write_token_file(folder / "sft.h5", TokenFileKind::kSft, sft);
    write_token_file(folder / "text.h5", TokenFileKind::kPretrain, text);
  }
  MixtureConfig config(double sft_weight = 1, double text_weight = 1) const {
    return {.sources = {{folder / "sft.h5", sft_weight}, {folder / "text.h5", text_weight}},
            .packing = {.sequence_tokens = 64, .seed = 3}};
  }
  // Opened anew.
  Loader open(const BatchRows& rows = {.per_step = 6, .per_micro_batch = 2}) const {
    return {std::make_shared<Mixture>(config()), rows};
  }
  TempFolder folder;
  std::vector<TestDocument> sft, text;
};

TEST(PermutationTest, HoldsEveryIndexOnceInAllOrders) {
  for (const uint64_t size : {1, 2, 3, 5, 64, 1000, 4097}) {
    const Permutation order(size, RandomStream(7, RandomPurpose::kTest, size));
    std::set<uint64_t> seen;
    for (uint64_t i = 0; i < size; ++i) seen.insert(order(i));
    ASSERT_EQ(seen.size(), size);
    EXPECT_EQ(*seen.rbegin(), size - 1);
  }
  // All 24 orders of four come equally often: chi-squared of 23 degrees of freedom, 0.01 % above 55.
  std::map<std::vector<uint64_t>, int> orders;
  constexpr int kRuns = 24 * 500;
  for (uint64_t run = 0; run < kRuns; ++run) {
    const Permutation order(4, RandomStream(7, RandomPurpose::kTest, 0, run));
    ++orders[{order(0), order(1), order(2), order(3)}];
  }
  ASSERT_EQ(orders.size(), 24u);
  double chi_squared = 0;
  for (const auto& [order, count] : orders) chi_squared += (count - 500.0) * (count - 500.0) / 500.0;
  EXPECT_LT(chi_squared, 55);
  // Neighbours of a large order are no more alike than chance: mean distance n / 3.
  const Permutation large(uint64_t{1} << 32, RandomStream(7, RandomPurpose::kTest));
  double distance = 0;
  for (uint64_t i = 0; i < 10000; ++i)
    distance += std::abs(static_cast<double>(large(i)) - static_cast<double>(large(i + 1)));
  EXPECT_NEAR(distance / 10000 / 0x1p32, 1.0 / 3, 0.02);
}

TEST_F(LoaderTest, LabelsAndWeightsOfAnEpochAreThoseOfTheDocuments) {
  Loader loader = open(kOneRow);
  std::map<std::pair<int32_t, float>, int64_t> found, expected;
  for (int64_t i = 0; i < loader.mixture().rows_per_epoch(); ++i) {
    const GlobalBatch global = loader.next();
    ASSERT_EQ(global.micro_batches.size(), 1u);
    const Batch& batch = global.micro_batches[0];
    ASSERT_EQ(batch.offsets.back(), static_cast<int64_t>(batch.tokens.size()));
    for (size_t s = 0; s + 1 < batch.offsets.size(); ++s) {
      for (int64_t t = batch.offsets[s]; t < batch.offsets[s + 1]; ++t) {
        EXPECT_EQ(batch.positions[t], t - batch.offsets[s]);
        if (t + 1 < batch.offsets[s + 1]) {
          EXPECT_EQ(batch.labels[t], batch.tokens[t + 1]);
        }
        ++found[{batch.labels[t], batch.loss_weight[t]}];
      }
    }
  }
  EXPECT_EQ(loader.position(), (LoaderPosition{1, 0}));
  for (const auto* documents : {&sft, &text}) {
    for (const TestDocument& document : *documents) {
      for (size_t i = 1; i < document.tokens.size(); ++i)
        ++expected[{document.tokens[i], document.loss_weight.empty() ? 1.0f : document.loss_weight[i]}];
    }
  }
  EXPECT_EQ(found, expected);
}

TEST_F(LoaderTest, AnyNumberOfRanksReadsTheSameOrderAndTotals) {
  for (const int num_ranks : {1, 2, 3, 4, 7}) {
    Loader alone = open();
    std::vector<Loader> ranks;
    for (int r = 0; r < num_ranks; ++r) ranks.push_back(open());
    for (int step = 0; step < 60; ++step) {  // crosses epochs
      const GlobalBatch whole = alone.next();
      std::vector<GlobalBatch> parts;
      for (int r = 0; r < num_ranks; ++r) parts.push_back(ranks[r].next(r, num_ranks));
      BatchTotals sum;
      int64_t tokens = 0;
      for (const GlobalBatch& part : parts) {
        EXPECT_EQ(part.totals.target_weight, whole.totals.target_weight);
        EXPECT_EQ(part.totals.num_tokens, whole.totals.num_tokens);
        EXPECT_EQ(part.totals.num_trained_tokens, whole.totals.num_trained_tokens);
        for (const Batch& batch : part.micro_batches) {
          tokens += static_cast<int64_t>(batch.tokens.size());
          for (size_t t = 0; t < batch.labels.size(); ++t) {
            sum.target_weight += batch.loss_weight[t];
            sum.num_trained_tokens += batch.loss_weight[t] > 0;
          }
        }
      }
      EXPECT_EQ(tokens, whole.totals.num_tokens);
      EXPECT_EQ(sum.num_trained_tokens, whole.totals.num_trained_tokens);
      EXPECT_NEAR(sum.target_weight, whole.totals.target_weight, 1e-9);
      if (num_ranks == 1) {
        EXPECT_EQ(parts[0].micro_batches.size(), 3u);
        for (size_t b = 0; b < 3; ++b) EXPECT_EQ(row_key(parts[0].micro_batches[b]), row_key(whole.micro_batches[b]));
      }
    }
    for (const Loader& loader : ranks) EXPECT_EQ(loader.position(), alone.position());
  }
}

// Row i of the global order is row i / n of rank i % n.
TEST_F(LoaderTest, RanksInterleaveRows) {
  Loader order = open(kOneRow);
  const BatchRows sharded{.per_step = 6, .per_micro_batch = 1};
  std::vector<Loader> ranks;
  for (int r = 0; r < 3; ++r) ranks.push_back(open(sharded));
  for (int step = 0; step < 40; ++step) {
    std::vector<GlobalBatch> parts;
    for (int r = 0; r < 3; ++r) parts.push_back(ranks[r].next(r, 3));
    for (int i = 0; i < 6; ++i)
      EXPECT_EQ(row_key(order.next().micro_batches[0]), row_key(parts[i % 3].micro_batches[i / 3]));
  }
}

TEST_F(LoaderTest, RefusesPositionsThatDoNotExist) {
  Loader loader = open();
  EXPECT_THROW(loader.seek({0, loader.mixture().rows_per_epoch()}), UserError);
  EXPECT_THROW(loader.seek({-1, 0}), UserError);
  EXPECT_THROW(loader.seek({0, -1}), UserError);
}

// A million rows of one token each; a row is known by its input.
class MillionRows : public ::testing::Test {
 protected:
  static constexpr int64_t kDocuments = 1000, kRowsOfEach = 1000, kRows = kDocuments * kRowsOfEach, kStep = 120;
  void SetUp() override {
    TokenFileInfo info = test_info(TokenFileKind::kPretrain);
    info.vocab_size = kRows + 1;
    TokenStoreWriter writer(folder / "t.h5", info);
    writer.begin_source("t");
    for (int64_t d = 0; d < kDocuments; ++d) {
      std::vector<int32_t> tokens(kRowsOfEach + 1);
      for (int64_t i = 0; i <= kRowsOfEach; ++i) tokens[i] = static_cast<int32_t>(d * kRowsOfEach + i);
      writer.add({.hash = static_cast<uint64_t>(d), .tokens = tokens, .loss_weight = {}, .turns = {}});
    }
    writer.end_source(std::string(64, 'b'), 1);
    writer.finish(Json::object(), {{"passed", true}});
    writer.commit();
  }
  std::shared_ptr<const Mixture> open() const {
    return std::make_shared<Mixture>(
        MixtureConfig{.sources = {{folder / "t.h5", 1}}, .packing = {.sequence_tokens = 1, .seed = 9}});
  }
  // The next step's rows in the global order, put together from all ranks.
  static void next_step(std::vector<Loader>& ranks, std::vector<int32_t>& order) {
    const auto num_ranks = static_cast<int>(ranks.size());
    std::vector<GlobalBatch> parts;
    for (int r = 0; r < num_ranks; ++r) parts.push_back(ranks[r].next(r, num_ranks));
    for (int64_t i = 0; i < kStep; ++i) order.push_back(parts[i % num_ranks].micro_batches[0].tokens.at(i / num_ranks));
    for (const GlobalBatch& part : parts) {
      ASSERT_EQ(part.totals.num_tokens, kStep);
      ASSERT_EQ(part.totals.target_weight, kStep);
    }
    for (const Loader& loader : ranks) ASSERT_EQ(loader.position(), ranks[0].position());
  }
  TempFolder folder{TempFolder::memory()};
};

// What a run does: it saves now and then, dies at any moment, and goes on from the last save with any number of ranks;
// what came after the save comes again. Each of the 500 resumes has new loaders, each 25th also opens the file anew.
TEST_F(MillionRows, OnceEachAndInOrderThroughFiveHundredKills) {
  auto mixture = open();
  ASSERT_EQ(mixture->rows_per_epoch(), kRows);
  const auto ranks_of = [&](uint64_t count) {
    return std::vector<Loader>(count, Loader(mixture, {.per_step = kStep, .per_micro_batch = kStep}));
  };
  std::vector<int32_t> undisturbed;
  for (auto alone = ranks_of(1); undisturbed.size() < kRows + kStep;) next_step(alone, undisturbed);

  const RandomStream random(2, RandomPurpose::kTest);
  auto ranks = ranks_of(1);
  LoaderPosition saved;
  std::vector<int32_t> order;
  size_t saved_rows = 0;
  uint64_t kills = 0, repeated = 0;
  for (uint64_t draw = 0; order.size() < undisturbed.size(); draw += 3) {
    next_step(ranks, order);
    if (random.below(draw, 6) == 0) {
      saved = ranks[0].position();
      saved_rows = order.size();
    }
    if (kills == 500 || random.below(draw + 1, 18) != 0) continue;
    if (++kills % 25 == 0) mixture = open();
    ranks = ranks_of(1 + random.below(draw + 2, 4));
    for (Loader& loader : ranks) loader.seek(saved);
    repeated += order.size() - saved_rows;
    ASSERT_TRUE(std::equal(order.begin(), order.end(), undisturbed.begin()));
    order.resize(saved_rows);
  }
  EXPECT_EQ(kills, 500u);
  EXPECT_GT(repeated, 100000u);
  EXPECT_TRUE(order == undisturbed);
  EXPECT_EQ(ranks[0].position(), (LoaderPosition{1, static_cast<int64_t>(order.size()) - kRows}));
  std::vector<int> times(kRows);
  for (int64_t i = 0; i < kRows; ++i) ++times[order[i]];
  EXPECT_EQ(std::count(times.begin(), times.end(), 1), kRows);
}

TEST_F(LoaderTest, WeightsAreEpochsPerEpoch) {
  const auto open_text = [&](double weight) {
    return Loader(std::make_shared<Mixture>(MixtureConfig{.sources = {{folder / "text.h5", weight}},
                                                          .packing = {.sequence_tokens = 64, .seed = 3}}),
                  kOneRow);
  };
  const int64_t text_rows = open_text(1).mixture().rows_per_epoch();
  for (const double weight : {0.25, 0.5, 1.0, 1.5, 2.0, 3.25}) {
    Loader loader = open_text(weight);
    EXPECT_EQ(loader.mixture().rows_per_epoch(), std::llround(weight * static_cast<double>(text_rows)));
    std::map<std::string, int> all;
    const int epochs = 8;
    for (int epoch = 0; epoch < epochs; ++epoch) {
      std::map<std::string, int> times;
      for (int64_t i = 0; i < loader.mixture().rows_per_epoch(); ++i) {
        const std::string key = row_key(loader.next().micro_batches[0]);
        ++times[key];
        ++all[key];
      }
      for (const auto& [key, count] : times) {
        EXPECT_GE(count, std::floor(weight));
        EXPECT_LE(count, std::ceil(weight));
      }
    }
    // Over epochs every row comes equally often, up to one.
    ASSERT_EQ(static_cast<int64_t>(all.size()), text_rows);
    const auto [low, high] =
        std::minmax_element(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    EXPECT_LE(high->second - low->second, 1) << weight;
  }
}

// Every epoch of a mixture holds exactly round(weight * rows) rows of each file.
TEST_F(LoaderTest, ProportionsOfAMixtureAreExactInEveryEpoch) {
  const auto rows_of = [&](const char* name) {
    const Mixture alone({.sources = {{folder / name}}, .packing = config().packing});
    std::set<std::string> keys;
    for (const Row& row : alone.file_rows()) {
      Batch batch;
      append_row(row, batch);
      keys.insert(row_key(batch));
    }
    return keys;
  };
  const std::set<std::string> of_text = rows_of("text.h5");
  const auto text_rows = static_cast<double>(of_text.size());
  const auto sft_rows = static_cast<double>(rows_of("sft.h5").size());
  for (const auto& [sft_weight, text_weight] : {std::pair{1.0, 1.0}, {0.3, 2.6}, {1.7, 0.01}}) {
    const auto mixture = std::make_shared<Mixture>(config(sft_weight, text_weight));
    const int64_t expected_text = std::max<int64_t>(1, std::llround(text_weight * text_rows)),
                  expected_sft = std::llround(sft_weight * sft_rows);
    EXPECT_EQ(mixture->rows_per_epoch(), expected_text + expected_sft);
    Loader loader(mixture, kOneRow);
    for (int epoch = 0; epoch < 5; ++epoch) {
      int64_t found_text = 0;
      for (int64_t i = 0; i < mixture->rows_per_epoch(); ++i) {
        found_text += of_text.contains(row_key(loader.next().micro_batches[0]));
      }
      EXPECT_EQ(found_text, expected_text) << "epoch " << epoch;
    }
    EXPECT_EQ(loader.position(), (LoaderPosition{5, 0}));
  }
}

TEST_F(LoaderTest, EpochsDifferAndSeedsDiffer) {
  MixtureConfig other_seed = config();
  other_seed.packing.seed = 4;
  Loader loader = open(), other(std::make_shared<Mixture>(other_seed), {.per_step = 6, .per_micro_batch = 2});
  const std::string first = row_key(loader.next().micro_batches[0]);
  EXPECT_NE(first, row_key(other.next().micro_batches[0]));
  loader.seek({1, 0});
  EXPECT_NE(first, row_key(loader.next().micro_batches[0]));
}

TEST_F(LoaderTest, ValidationShowsEveryRowOnceInOrder) {
  const std::vector<DataSource> sources = {{folder / "sft.h5", 1}, {folder / "text.h5", 0.5}};
  const auto batches = validation_batches({.sources = sources, .packing = {.sequence_tokens = 64}}, 3),
             again = validation_batches({.sources = sources, .packing = {.sequence_tokens = 64}}, 3);
  double weight = 0, expected = 0;
  for (size_t b = 0; b < batches.size(); ++b) {
    EXPECT_EQ(row_key(batches[b]), row_key(again[b]));
    for (const float w : batches[b].loss_weight) weight += w;
  }
  for (const TestDocument& document : sft) {
    for (size_t i = 1; i < document.tokens.size(); ++i) expected += document.loss_weight[i];
  }
  for (const TestDocument& document : text) expected += 0.5 * static_cast<double>(document.tokens.size() - 1);
  EXPECT_NEAR(weight, expected, 1e-6);
}

TEST_F(LoaderTest, RefusesWhatDoesNotFit) {
  const auto refused = [](const MixtureConfig& bad, const std::string& text, const BatchRows& rows = kOneRow) {
    try {
      Loader loader(std::make_shared<Mixture>(bad), rows);
      ADD_FAILURE() << "accepted: " << text;
    } catch (const UserError& error) {
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    }
  };
  refused(config(0, 1), "weight");
  refused(config(std::nan(""), 1), "weight");
  refused(config(), "rows of a step", {.per_step = 0, .per_micro_batch = 1});
  refused(config(), "rows of a micro-batch", {.per_step = 1, .per_micro_batch = 0});
  MixtureConfig bad = config();
  bad.packing.sequence_tokens = 0;
  refused(bad, "sequence_tokens");
  bad = config();
  bad.sources.clear();
  refused(bad, "no data");
  TokenFileInfo other = test_info(TokenFileKind::kPretrain);
  other.tokenizer_sha256 = std::string(64, 'd');
  for (const bool passed : {true, false}) {
    TokenStoreWriter writer(folder / "other.h5", other);
    writer.begin_source("x");
    const std::vector<int32_t> tokens = {1, 2, 3};
    writer.add({.hash = 1, .tokens = tokens, .loss_weight = {}, .turns = {}});
    writer.end_source(std::string(64, 'b'), 3);
    writer.finish(Json::object(), {{"passed", passed}});
    writer.commit();
    bad = config();
    bad.sources.push_back({folder / "other.h5", 1});
    refused(bad, passed ? "another tokenizer" : "verdict");
  }
}

}  // namespace
}  // namespace dslite
