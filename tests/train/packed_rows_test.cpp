// A packed row is its documents: from a token file through packing and loader to the loss, neighbours change nothing.
#include <gtest/gtest.h>

#include "src/data/loader.h"
#include "src/train/loss_and_gradient.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_models.h"

namespace dslite::test {
namespace {

constexpr int64_t kRowTokens = 48;

void write_documents(const std::string& path, const std::vector<Document>& documents, int64_t vocab_size) {
  TokenFileInfo info;
  info.kind = TokenFileKind::kSft;
  info.tokenizer_sha256 = std::string(64, 'a');
  info.vocab_size = vocab_size;
  TokenStoreWriter writer(path, info);
  writer.begin_source("documents");
  for (const Document& document : documents)
    writer.add({.hash = 0, .tokens = document.ids, .loss_weight = document.loss_weight, .turns = {}});
  writer.end_source(std::string(64, 'b'), 1);
  writer.finish(Json::object(), {{"passed", true}});
  writer.commit();
}

// One row a batch, in the order of an epoch.
std::vector<Batch> rows_of(const std::string& path) {
  Loader loader(std::make_shared<Mixture>(
                    MixtureConfig{.sources = {{.path = path}}, .packing = {.sequence_tokens = kRowTokens, .seed = 5}}),
                {.per_step = 1, .per_micro_batch = 1});
  std::vector<Batch> rows;
  for (int64_t r = 0; r < loader.mixture().rows_per_epoch(); ++r) rows.push_back(loader.next().micro_batches.at(0));
  return rows;
}

// A segment of a row as the document that stands alone.
Batch alone(const Batch& row, size_t segment) {
  const int64_t begin = row.offsets[segment], end = row.offsets[segment + 1];
  const auto cut = [&](const auto& values) { return std::vector(values.begin() + begin, values.begin() + end); };
  return {.tokens = cut(row.tokens),
          .labels = cut(row.labels),
          .loss_weight = cut(row.loss_weight),
          .positions = cut(row.positions),
          .offsets = {0, end - begin}};
}

at::Tensor logits_of(const DeepseekV2& model, const Batch& batch) {
  const Sequence sequence = make_sequence(batch);
  return model.logits(model.forward({.tokens = batch.tokens, .sequence = &sequence}, nullptr).hidden);
}

class PackedRows : public testing::TestWithParam<TinyModel> {
 protected:
  void SetUp() override {
    documents = random_documents({7, 30, 2, 48, 49, 12, 19, 3, 44, 9, 25, 110, 5}, GetParam().config.vocab_size, 31);
    write_documents(folder / "t.h5", documents, GetParam().config.vocab_size);
    rows = rows_of(folder / "t.h5");
  }
  TempFolder folder{TempFolder::memory()};
  std::vector<Document> documents;
  std::vector<Batch> rows;
};

TEST_P(PackedRows, LossIsTheWeightedSumOfTheDocumentsAlone) {
  const auto model = make_model(GetParam().config, 31);
  double packed_weight = 0, packed_loss = 0;
  size_t shared_rows = 0;
  for (const Batch& row : rows) {
    const LossSum packed = loss_only(*model, row);
    LossSum separate;
    for (size_t s = 0; s + 1 < row.offsets.size(); ++s) separate += loss_only(*model, alone(row, s));
    EXPECT_NEAR(packed.cross_entropy, separate.cross_entropy, 1e-12 * packed.cross_entropy);
    EXPECT_NEAR(packed.target_weight, separate.target_weight, 1e-12 * packed.target_weight);
    EXPECT_EQ(packed.num_correct, separate.num_correct);
    EXPECT_EQ(packed.expert_tokens, separate.expert_tokens);
    packed_weight += packed.target_weight;
    packed_loss += packed.cross_entropy;
    shared_rows += row.offsets.size() > 2;
  }
  EXPECT_GE(shared_rows, 3u);
  // The same from the documents as they were given; those longer than a row are cut, which takes context from a label.
  double weight = 0, short_loss = 0;
  for (const Document& document : documents) {
    const LossSum one = loss_only(*model, pack({document}));
    weight += one.target_weight;
    short_loss += document.ids.size() <= kRowTokens + 1 ? one.cross_entropy : 0;
  }
  double long_loss = 0;
  for (const Document& document : documents) {
    const size_t length = document.ids.size();
    for (size_t begin = 0; length > kRowTokens + 1 && begin + 1 < length; begin += kRowTokens) {
      const size_t end = std::min(length, begin + kRowTokens + 1);
      long_loss +=
          loss_only(*model, pack({{{document.ids.begin() + begin, document.ids.begin() + end},
                                   {document.loss_weight.begin() + begin, document.loss_weight.begin() + end}}}))
              .cross_entropy;
    }
  }
  EXPECT_NEAR(packed_weight, weight, 1e-9 * weight);
  EXPECT_NEAR(packed_loss, short_loss + long_loss, 1e-9 * packed_loss);
}

TEST_P(PackedRows, ChangingOneDocumentLeavesTheOthersLogits) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const auto model = make_model(GetParam().config, 32, {.dtype = dtype});
    for (const Batch& row : rows) {
      const at::Tensor before = logits_of(*model, row);
      for (size_t changed = 0; changed + 1 < row.offsets.size(); ++changed) {
        Batch other = row;
        for (int64_t t = row.offsets[changed]; t < row.offsets[changed + 1]; ++t)
          other.tokens[t] = static_cast<int32_t>((other.tokens[t] + 1 + t) % GetParam().config.vocab_size);
        const at::Tensor after = logits_of(*model, other);
        for (size_t s = 0; s + 1 < row.offsets.size(); ++s) {
          const bool same = same_tensor(before.slice(0, row.offsets[s], row.offsets[s + 1]),
                                        after.slice(0, row.offsets[s], row.offsets[s + 1]));
          EXPECT_EQ(same, s != changed) << "segment " << s << " when " << changed << " changes";
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Configs, PackedRows, testing::ValuesIn(tiny_models()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace dslite::test
