// Segments, rows and the loader: every label exactly once, weights kept, one global order for any number of ranks and
// any interruption.
#include "src/data/packing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "src/base/error.h"
#include "src/base/random.h"
#include "src/data/loader.h"
#include "tests/data/token_files.h"

namespace dslite {
namespace {

// Offsets of documents with `lengths` tokens.
std::vector<uint64_t> offsets_of(const std::vector<uint64_t>& lengths) {
  std::vector<uint64_t> offsets = {0};
  for (const uint64_t length : lengths) offsets.push_back(offsets.back() + length);
  return offsets;
}

std::vector<uint64_t> random_lengths(size_t count, uint64_t most, uint64_t seed) {
  const RandomStream random(seed, RandomPurpose::kTest);
  std::vector<uint64_t> lengths(count);
  for (size_t i = 0; i < count; ++i) {
    const double u = random.uniform(i);
    lengths[i] = 1 + static_cast<uint64_t>(u * u * u * static_cast<double>(most - 1));  // many short, some long
  }
  return lengths;
}

TEST(Packing, EveryTokenButTheFirstIsALabelOnce) {
  for (const int64_t length : {1, 2, 7, 64, 100, 4096, 5000}) {
    const auto offsets = offsets_of(random_lengths(500, 300, 1));
    const Packing packing = pack_documents(offsets, length, 5);
    std::vector<int> label(offsets.back()), document_of(offsets.back());
    for (size_t d = 0; d + 1 < offsets.size(); ++d)
      std::fill(document_of.begin() + offsets[d], document_of.begin() + offsets[d + 1], d);
    for (int64_t r = 0; r < packing.num_rows(); ++r) {
      uint64_t inputs = 0;
      for (const Segment& segment : packing.row(r)) {
        inputs += segment.num_inputs;
        ASSERT_GE(segment.num_inputs, 1u);
        for (uint64_t i = segment.begin + 1; i <= segment.begin + segment.num_inputs; ++i) {
          ++label[i];
          ASSERT_EQ(document_of[i], document_of[segment.begin]);  // a segment lies in one document
        }
      }
      ASSERT_LE(inputs, static_cast<uint64_t>(length));
      ASSERT_GE(inputs, 1u);
    }
    for (size_t d = 0; d + 1 < offsets.size(); ++d) {
      for (uint64_t i = offsets[d]; i < offsets[d + 1]; ++i)
        ASSERT_EQ(label[i], i == offsets[d] ? 0 : 1) << "token " << i << " L " << length;
    }
  }
}

TEST(Packing, LongDocumentsAreCutEveryLLabels) {
  const Packing packing = pack_documents(offsets_of({11}), 4, 0);  // 10 labels: 4, 4, 2
  ASSERT_EQ(packing.segments.size(), 3u);
  std::vector<std::pair<uint64_t, uint32_t>> cuts;
  for (const Segment& segment : packing.segments) cuts.emplace_back(segment.begin, segment.num_inputs);
  std::sort(cuts.begin(), cuts.end());
  EXPECT_EQ(cuts, (std::vector<std::pair<uint64_t, uint32_t>>{{0, 4}, {4, 4}, {8, 2}}));
  EXPECT_EQ(packing.num_rows(), 3);
}

TEST(Packing, FillsRowsAndDependsOnNothingElse) {
  const auto offsets = offsets_of(random_lengths(20000, 3000, 2));
  const Packing packing = pack_documents(offsets, 2048, 5), again = pack_documents(offsets, 2048, 5),
                other = pack_documents(offsets, 2048, 6);
  uint64_t inputs = 0;
  for (const Segment& segment : packing.segments) inputs += segment.num_inputs;
  EXPECT_GT(static_cast<double>(inputs) / (2048.0 * static_cast<double>(packing.num_rows())), 0.995);
  const auto same = [](const Packing& a, const Packing& b) {
    return a.row_offsets == b.row_offsets && std::equal(a.segments.begin(), a.segments.end(), b.segments.begin(),
                                                        b.segments.end(), [](const Segment& x, const Segment& y) {
                                                          return x.begin == y.begin && x.num_inputs == y.num_inputs;
                                                        });
  };
  EXPECT_TRUE(same(packing, again));
  EXPECT_FALSE(same(packing, other));
}

// The first-fitting row by exhaustive search, with the same rule: the bucket search must find rooms as small as this
// does.
TEST(Packing, IsBestFitDecreasing) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto offsets = offsets_of(random_lengths(300, 200, seed));
    const int64_t length = 64 + static_cast<int64_t>(seed) * 31;
    const Packing packing = pack_documents(offsets, length, seed);
    std::vector<uint64_t> sizes;
    for (const Segment& segment : packing.segments) sizes.push_back(segment.num_inputs);
    std::sort(sizes.rbegin(), sizes.rend());
    std::multiset<uint64_t> rooms;
    size_t rows = 0;
    for (const uint64_t size : sizes) {
      auto room = rooms.lower_bound(size);
      uint64_t left = static_cast<uint64_t>(length);
      if (room != rooms.end()) {
        left = *room;
        rooms.erase(room);
      } else {
        ++rows;
      }
      rooms.insert(left - size);
    }
    EXPECT_EQ(static_cast<size_t>(packing.num_rows()), rows) << seed;
  }
}

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
  LoaderConfig config(double sft_weight = 1, double text_weight = 1) const {
    return {.sources = {{folder / "sft.h5", sft_weight}, {folder / "text.h5", text_weight}},
            .sequence_tokens = 64,
            .rows_per_step = 6,
            .rows_per_micro_batch = 2,
            .seed = 3};
  }
  TempFolder folder;
  std::vector<TestDocument> sft, text;
};

TEST_F(LoaderTest, LabelsAndWeightsOfAnEpochAreThoseOfTheDocuments) {
  LoaderConfig one = config();
  one.rows_per_step = one.rows_per_micro_batch = 1;
  Loader loader(one);
  std::map<std::pair<int32_t, float>, int64_t> found, expected;
  for (int64_t i = 0; i < loader.rows_per_epoch(); ++i) {
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
    Loader alone(config());
    std::vector<std::unique_ptr<Loader>> ranks;
    for (int r = 0; r < num_ranks; ++r) ranks.push_back(std::make_unique<Loader>(config()));
    for (int step = 0; step < 60; ++step) {  // crosses epochs
      const GlobalBatch whole = alone.next();
      std::vector<GlobalBatch> parts;
      for (int r = 0; r < num_ranks; ++r) parts.push_back(ranks[r]->next(r, num_ranks));
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
    for (const auto& loader : ranks) EXPECT_EQ(loader->position(), alone.position());
  }
}

// Row i of the global order is row i / n of rank i % n.
TEST_F(LoaderTest, RanksInterleaveRows) {
  LoaderConfig single = config();
  single.rows_per_step = single.rows_per_micro_batch = 1;
  Loader order(single);
  LoaderConfig sharded = config();
  sharded.rows_per_micro_batch = 1;
  Loader first(sharded), second(sharded), third(sharded);
  Loader* ranks[] = {&first, &second, &third};
  for (int step = 0; step < 40; ++step) {
    std::vector<GlobalBatch> parts;
    for (int r = 0; r < 3; ++r) parts.push_back(ranks[r]->next(r, 3));
    for (int i = 0; i < 6; ++i)
      EXPECT_EQ(row_key(order.next().micro_batches[0]), row_key(parts[i % 3].micro_batches[i / 3]));
  }
}

TEST_F(LoaderTest, ContinuesAnywhere) {
  Loader undisturbed(config());
  const RandomStream random(1, RandomPurpose::kTest);
  auto loader = std::make_unique<Loader>(config());
  for (uint64_t step = 0; step < 100; ++step) {
    const GlobalBatch expected = undisturbed.next();
    if (random.below(step, 3) == 0) {  // killed here
      const LoaderPosition saved = loader->position();
      loader = std::make_unique<Loader>(config());
      loader->seek(saved);
    }
    const GlobalBatch found = loader->next();
    ASSERT_EQ(found.micro_batches.size(), expected.micro_batches.size());
    for (size_t b = 0; b < found.micro_batches.size(); ++b)
      ASSERT_EQ(row_key(found.micro_batches[b]), row_key(expected.micro_batches[b])) << step;
  }
  EXPECT_THROW(loader->seek({0, loader->rows_per_epoch()}), UserError);
  EXPECT_THROW(loader->seek({-1, 0}), UserError);
}

TEST(Loader, HundredThousandSamplesOnceEachThroughKills) {
  const TempFolder folder;
  // 1,000 documents of 101 tokens are 100,000 rows at L = 1; a row is known by its input and label.
  std::vector<TestDocument> documents(1000);
  for (size_t d = 0; d < documents.size(); ++d) {
    for (size_t i = 0; i <= 100; ++i)
      documents[d].tokens.push_back(static_cast<int32_t>(i % 2 == 0 ? d : (d + i * 7) % kTestVocab));
  }
  write_token_file(folder / "t.h5", TokenFileKind::kPretrain, documents);
  const LoaderConfig config{.sources = {{folder / "t.h5", 1}},
                            .sequence_tokens = 1,
                            .rows_per_step = 50,
                            .rows_per_micro_batch = 50,
                            .seed = 9};
  auto loader = std::make_unique<Loader>(config);
  Loader undisturbed(config);
  ASSERT_EQ(loader->rows_per_epoch(), 100000);
  std::map<std::pair<int32_t, int32_t>, int> expected, found;
  for (const TestDocument& document : documents) {
    for (int i = 0; i < 100; ++i) ++expected[{document.tokens[i], document.tokens[i + 1]}];
  }
  const RandomStream random(2, RandomPurpose::kTest);
  for (uint64_t step = 0; step < 2000; ++step) {
    if (random.below(step, 100) == 0) {
      const LoaderPosition saved = loader->position();
      loader = std::make_unique<Loader>(config);
      loader->seek(saved);
    }
    const GlobalBatch batch = loader->next(), same = undisturbed.next();
    ASSERT_EQ(batch.micro_batches[0].tokens, same.micro_batches[0].tokens);
    ASSERT_EQ(batch.micro_batches[0].labels, same.micro_batches[0].labels);
    for (size_t i = 0; i < 50; ++i) ++found[{batch.micro_batches[0].tokens[i], batch.micro_batches[0].labels[i]}];
  }
  EXPECT_EQ(loader->position(), (LoaderPosition{1, 0}));
  EXPECT_EQ(found, expected);
}

TEST_F(LoaderTest, WeightsAreEpochsPerEpoch) {
  LoaderConfig text_only = config();
  text_only.sources = {{folder / "text.h5", 1}};
  const int64_t text_rows = Loader(text_only).rows_per_epoch();
  for (const double weight : {0.25, 0.5, 1.0, 1.5, 2.0, 3.25}) {
    LoaderConfig weighted = text_only;
    weighted.sources[0].weight = weight;
    weighted.rows_per_step = weighted.rows_per_micro_batch = 1;
    Loader loader(weighted);
    EXPECT_EQ(loader.rows_per_epoch(), std::llround(weight * static_cast<double>(text_rows)));
    std::map<std::string, int> all;
    const int epochs = 8;
    for (int epoch = 0; epoch < epochs; ++epoch) {
      std::map<std::string, int> times;
      for (int64_t i = 0; i < loader.rows_per_epoch(); ++i) {
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

TEST_F(LoaderTest, EpochsDifferAndSeedsDiffer) {
  LoaderConfig other_seed = config();
  other_seed.seed = 4;
  Loader loader(config()), other(other_seed);
  const std::string first = row_key(loader.next().micro_batches[0]);
  EXPECT_NE(first, row_key(other.next().micro_batches[0]));
  loader.seek({1, 0});
  EXPECT_NE(first, row_key(loader.next().micro_batches[0]));
}

TEST_F(LoaderTest, ValidationShowsEveryRowOnceInOrder) {
  const std::vector<DataSource> sources = {{folder / "sft.h5", 1}, {folder / "text.h5", 0.5}};
  const auto batches = validation_batches(sources, 64, 3), again = validation_batches(sources, 64, 3);
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
  const auto refused = [](const LoaderConfig& bad, const std::string& text) {
    try {
      Loader loader(bad);
      ADD_FAILURE() << "accepted: " << text;
    } catch (const UserError& error) {
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    }
  };
  LoaderConfig bad = config(0, 1);
  refused(bad, "weight");
  bad = config(std::nan(""), 1);
  refused(bad, "weight");
  bad = config();
  bad.sequence_tokens = 0;
  refused(bad, "sequence_tokens");
  bad = config();
  bad.sources.clear();
  refused(bad, "no data");
  bad = config();
  bad.rows_per_step = 0;
  refused(bad, "rows of a step");
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
