// Cached inference equals the training forward: token by token in the absorbed form, and in chunks that expand the
// prefix.
#include <ATen/ops/cat.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numeric>

#include "tests/support/tiny_models.h"

namespace dslite::test {
namespace {

constexpr int64_t kPageTokens = 4;

// The caches of some documents: scattered pages, one table of blocks for all layers.
class Caches {
 public:
  Caches(const ModelConfig& config, at::ScalarType dtype, const std::vector<Document>& documents) {
    int64_t longest = 1;
    for (const Document& d : documents) longest = std::max(longest, static_cast<int64_t>(d.ids.size()));
    max_pages_ = (longest + kPageTokens - 1) / kPageTokens;
    const auto num_pages = static_cast<int64_t>(documents.size()) * max_pages_;
    for (int64_t i = 0; i < num_pages; ++i) pages_.push_back(static_cast<int32_t>(i * 7 % num_pages));
    if (num_pages % 7 == 0) std::iota(pages_.begin(), pages_.end(), 0);
    layers_.resize(config.num_hidden_layers);
    for (LatentCacheView& layer : layers_) {
      layer.pages = at::empty({num_pages, kPageTokens, config.kv_lora_rank + config.qk_rope_head_dim}, dtype);
      layer.pages.fill_(NAN);  // what was not written must not be read
    }
  }
  // Feeds `counts[d]` further tokens of each document (0: none) and returns their hidden rows, document after document.
  at::Tensor feed(const DeepseekV2& model, const std::vector<Document>& documents, const std::vector<int64_t>& done,
                  const std::vector<int64_t>& counts) {
    std::vector<int32_t> ids, positions, table;
    std::vector<int64_t> lengths;
    Sequence sequence{.positions = {}, .q_offsets = {0}, .kv_offsets = {0}};
    for (size_t d = 0; d < documents.size(); ++d) {
      if (counts[d] == 0) continue;
      for (int64_t t = done[d]; t < done[d] + counts[d]; ++t) {
        ids.push_back(documents[d].ids[t]);
        positions.push_back(static_cast<int32_t>(t));
      }
      for (int64_t p = 0; p < max_pages_; ++p) table.push_back(pages_[d * max_pages_ + p]);
      lengths.push_back(done[d] + counts[d]);
      sequence.q_offsets.push_back(sequence.q_offsets.back() + counts[d]);
      sequence.kv_offsets.push_back(sequence.kv_offsets.back() + lengths.back());
    }
    sequence.positions = int_tensor(positions);
    for (LatentCacheView& layer : layers_) {
      layer.block_table = int_tensor(table).view({-1, max_pages_});
      layer.kv_lengths = lengths;
    }
    return model.forward({.tokens = ids, .sequence = &sequence, .caches = &layers_}, nullptr).hidden;
  }

 private:
  int64_t max_pages_ = 0;
  std::vector<int32_t> pages_;
  std::vector<LatentCacheView> layers_;
};

using ChunkSize = std::function<int64_t(size_t document, int64_t done)>;

// Logits [T, V] of all documents, fed in chunks of the given sizes.
at::Tensor cached_logits(const DeepseekV2& model, const std::vector<Document>& documents, const ChunkSize& chunk_size) {
  Caches caches(model.config(), model.dtype(), documents);
  std::vector<std::vector<at::Tensor>> rows(documents.size());
  std::vector<int64_t> done(documents.size(), 0);
  while (true) {
    std::vector<int64_t> counts(documents.size(), 0);
    for (size_t d = 0; d < documents.size(); ++d) {
      const int64_t left = static_cast<int64_t>(documents[d].ids.size()) - done[d];
      if (left > 0) counts[d] = std::min(left, chunk_size(d, done[d]));
    }
    if (std::accumulate(counts.begin(), counts.end(), int64_t{0}) == 0) break;
    const at::Tensor logits = model.logits(caches.feed(model, documents, done, counts));
    int64_t row = 0;
    for (size_t d = 0; d < documents.size(); ++d) {
      if (counts[d] > 0) rows[d].push_back(logits.slice(0, row, row + counts[d]));
      row += counts[d];
      done[d] += counts[d];
    }
  }
  std::vector<at::Tensor> all;
  for (const auto& document : rows) all.insert(all.end(), document.begin(), document.end());
  return at::cat(all);
}

at::Tensor training_logits(const DeepseekV2& model, const std::vector<Document>& documents) {
  const Batch batch = pack(documents);
  const Sequence sequence = sequence_of(batch);
  return model.logits(model.forward({.tokens = batch.tokens, .sequence = &sequence}, nullptr).hidden);
}

class Cache : public testing::TestWithParam<TinyModel> {};

TEST_P(Cache, DecodingAndChunksEqualTheTrainingForward) {
  const ModelConfig& config = GetParam().config;
  const auto model = make_model(config, 11);
  const std::vector<Document> documents = random_documents({1, 17, 40, 5}, config.vocab_size, 8);
  const at::Tensor expected = training_logits(*model, documents);
  EXPECT_TRUE(close(cached_logits(*model, documents, [](size_t, int64_t) { return 1; }), expected, 1e-5));
  EXPECT_TRUE(
      close(cached_logits(*model, documents, [](size_t d, int64_t done) { return 1 + (done * 5 + int64_t(d)) % 6; }),
            expected, 1e-5));
  EXPECT_TRUE(
      close(cached_logits(*model, documents, [](size_t d, int64_t) { return d == 2 ? 9 : 1; }), expected, 1e-5));
  // A whole prompt at once is the training forward itself.
  EXPECT_TRUE(same_tensor(cached_logits(*model, documents, [](size_t, int64_t) { return 1000; }), expected));
}

TEST_P(Cache, AReplyDoesNotDependOnItsNeighbours) {
  const ModelConfig& config = GetParam().config;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const auto model = make_model(config, 12, {.dtype = dtype, .trained = {}});
    const std::vector<Document> documents = random_documents({6, 30, 13}, config.vocab_size, 9);
    const ChunkSize one = [](size_t, int64_t) { return 1; };
    std::vector<at::Tensor> alone;
    for (const Document& document : documents) alone.push_back(cached_logits(*model, {document}, one));
    EXPECT_TRUE(same_tensor(cached_logits(*model, documents, one), at::cat(alone)));
  }
}

INSTANTIATE_TEST_SUITE_P(Configs, Cache, testing::ValuesIn(tiny_models()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace dslite::test
