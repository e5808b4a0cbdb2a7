// The whole model, forward and backward, against an independent fp64 model; packed documents, recomputation, replay and
// frozen weights.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>

#include "src/base/parallel_for.h"
#include "src/ops/linear_cross_entropy.h"
#include "tests/model/reference_model.h"
#include "tests/support/tiny_models.h"

namespace dslite::test {
namespace {

constexpr double kBalanceAlpha = 0.05;

struct Result {
  at::Tensor logits;
  double loss = 0;
  std::vector<MoeStatistics> moe;
  std::map<std::string, at::Tensor> gradients = {};  // of the trained; zeros when empty
};

// One micro-batch with gradients, scaled by its own totals.
Result run(DeepseekV2& model, const Batch& batch, const std::vector<Route>* replay = nullptr) {
  const Sequence sequence = sequence_of(batch);
  const BatchTotals totals = totals_of(batch);
  const auto saved = make_saved();
  model.begin_gradients();
  DeepseekV2::Output output =
      model.forward({.tokens = batch.tokens, .sequence = &sequence, .replay = replay}, saved.get());
  const ops::Targets targets{.labels_T = int_tensor(batch.labels),
                             .weight_T = at::empty({totals.num_tokens}, at::kFloat)};
  std::copy(batch.loss_weight.begin(), batch.loss_weight.end(), targets.weight_T.data_ptr<float>());
  const at::Tensor d_hidden = at::empty_like(output.hidden);
  const auto scale = static_cast<float>(1 / totals.target_weight);
  const ops::TokenLosses losses =
      ops::linear_cross_entropy_gradient(output.hidden, model.head_weight(), targets, scale, d_hidden);
  model.backward(*saved, d_hidden, static_cast<float>(kBalanceAlpha / static_cast<double>(totals.num_tokens)));
  Result result{.logits = model.logits(output.hidden), .moe = std::move(output.moe)};
  for (size_t t = 0; t < batch.tokens.size(); ++t) {
    result.loss +=
        static_cast<double>(batch.loss_weight[t]) * losses.loss_T.const_data_ptr<float>()[t] / totals.target_weight;
  }
  for (Parameter* parameter : model.parameters()) {
    if (parameter->trained())
      result.gradients[parameter->name] =
          parameter->grad_empty ? at::zeros_like(parameter->grad) : parameter->grad.clone();
  }
  return result;
}

std::map<std::string, at::Tensor> double_weights(DeepseekV2& model) {
  std::map<std::string, at::Tensor> weights;
  for (const Parameter* parameter : model.parameters()) weights[parameter->name] = parameter->value.to(at::kDouble);
  return weights;
}

std::vector<Document> documents_for(const ModelConfig& config) {
  return random_documents({1, 17, 40, 5}, config.vocab_size, 7);
}

class WholeModel : public testing::TestWithParam<TinyModel> {};

TEST_P(WholeModel, AgreesWithTheFp64ModelInEveryNumber) {
  const ModelConfig& config = GetParam().config;
  const auto model = make_model(config, 1);
  const std::vector<Document> documents = documents_for(config);
  const ReferenceResult expected = run_reference(config, double_weights(*model), documents, kBalanceAlpha);
  const Result actual = run(*model, pack(documents));

  EXPECT_TRUE(close(actual.logits, expected.logits, 1e-5));
  EXPECT_NEAR(actual.loss / expected.loss, 1, 1e-6);
  ASSERT_EQ(actual.moe.size(), expected.moe.size());
  for (size_t m = 0; m < expected.moe.size(); ++m) {
    const ReferenceLayer& layer = expected.moe[m];
    ASSERT_GT(layer.smallest_gap, 1e-6);
    const auto tokens = static_cast<double>(actual.logits.size(0));
    EXPECT_NEAR(actual.moe[m].balance_loss_sum / tokens / layer.balance_loss, 1, 1e-6);
    const auto* indices = actual.moe[m].route.indices.const_data_ptr<int32_t>();
    const auto* weights = actual.moe[m].weights.const_data_ptr<float>();
    for (const auto& chosen : layer.chosen) {
      for (const int64_t e : chosen) EXPECT_EQ(*indices++, e);
    }
    for (const auto& row : layer.weights) {
      for (const double w : row) EXPECT_NEAR(*weights++, w, 1e-5 * config.routed_scaling_factor);
    }
  }
  double worst = 0;
  for (const auto& [name, gradient] : expected.gradients) {
    const double error = relative_norm(actual.gradients.at(name), gradient);
    EXPECT_LT(error, 1e-5) << name;
    worst = std::max(worst, error);
  }
  RecordProperty("worst_gradient_error", std::to_string(worst));
}

TEST_P(WholeModel, PackedDocumentsEqualSeparateOnes) {
  const ModelConfig& config = GetParam().config;
  const auto model = make_model(config, 2);
  const std::vector<Document> documents = documents_for(config);
  const Batch packed = pack(documents);
  const Sequence sequence = sequence_of(packed);
  const DeepseekV2::Output together = model->forward({.tokens = packed.tokens, .sequence = &sequence}, nullptr);
  const at::Tensor logits = model->logits(together.hidden);
  for (size_t d = 0; d < documents.size(); ++d) {
    const Batch batch = pack({documents[d]});
    const Sequence alone_sequence = sequence_of(batch);
    const DeepseekV2::Output alone = model->forward({.tokens = batch.tokens, .sequence = &alone_sequence}, nullptr);
    const int64_t begin = packed.offsets[d], end = packed.offsets[d + 1];
    EXPECT_TRUE(same_tensor(logits.slice(0, begin, end), model->logits(alone.hidden)));
    for (size_t m = 0; m < alone.moe.size(); ++m) {
      EXPECT_TRUE(same_tensor(together.moe[m].route.indices.slice(0, begin, end), alone.moe[m].route.indices));
      EXPECT_TRUE(same_tensor(together.moe[m].weights.slice(0, begin, end), alone.moe[m].weights));
    }
  }
}

void expect_same_bits(const Result& a, const Result& b) {
  EXPECT_TRUE(same_tensor(a.logits, b.logits));
  EXPECT_EQ(a.loss, b.loss);
  ASSERT_EQ(a.gradients.size(), b.gradients.size());
  for (const auto& [name, gradient] : a.gradients) EXPECT_TRUE(same_tensor(gradient, b.gradients.at(name))) << name;
}

TEST_P(WholeModel, SameBitsAgainWithOneThreadWithRecomputationAndReplayed) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const Batch batch = pack(documents_for(GetParam().config));
    const auto model = make_model(GetParam().config, 3, {.dtype = dtype, .trained = {}});
    set_num_threads(2);
    const Result first = run(*model, batch);
    expect_same_bits(first, run(*model, batch));
    set_num_threads(1);
    expect_same_bits(first, run(*model, batch));
    set_num_threads(2);
    for (const Recompute recompute : {Recompute::kFeedForward, Recompute::kLayers}) {
      const auto recomputing =
          make_model(GetParam().config, 3, {.dtype = dtype, .trained = {}, .recompute = recompute});
      expect_same_bits(first, run(*recomputing, batch));
    }
    std::vector<Route> routes;
    for (const MoeStatistics& moe : first.moe) routes.push_back(moe.route);
    expect_same_bits(first, run(*model, batch, &routes));
  }
}

TEST_P(WholeModel, Bf16StaysNearFp32OfTheSameWeights) {
  const ModelConfig& config = GetParam().config;
  const Batch batch = pack(documents_for(config));
  const auto low = make_model(config, 4, {.dtype = at::kBFloat16, .trained = {}});
  const auto high = make_model(config, 4);
  for (Parameter* parameter : high->parameters()) parameter->value.copy_(low->parameter(parameter->name).value);
  const Result expected = run(*high, batch);
  std::vector<Route> routes;  // the same choices: a flipped one would not be an error
  for (const MoeStatistics& moe : expected.moe) routes.push_back(moe.route);
  const Result actual = run(*low, batch, &routes);
  EXPECT_LT(relative_norm(actual.logits, expected.logits), 2e-2);
  double error = 0, size = 0;
  for (const auto& [name, gradient] : expected.gradients) {
    error += (actual.gradients.at(name) - gradient).square().sum().item<double>();
    size += gradient.square().sum().item<double>();
  }
  EXPECT_LT(std::sqrt(error / size), 3e-2);
}

// A tensor that is not trained has no gradient, and takes nothing from the others: they are the same bits as when
// everything is trained.
TEST_P(WholeModel, FrozenTensorsChangeNoOtherGradient) {
  const ModelConfig& config = GetParam().config;
  const Batch batch = pack(documents_for(config));
  const Result all = run(*make_model(config, 5), batch);
  const std::vector<std::function<bool(const std::string&)>> choices = {
      [](const std::string& name) { return name == "model.embed_tokens.weight"; },
      [](const std::string& name) { return name == "model.norm.weight"; },
      [](const std::string& name) { return name.find("layers.1.") != std::string::npos; },
      [](const std::string& name) {
        return name.find("layers.2.mlp.experts.5.") != std::string::npos ||
               name.find("layers.1.mlp.experts.3.up") != std::string::npos;
      },
      [](const std::string& name) { return name.ends_with("layernorm.weight"); },
      [](const std::string& name) { return name.find("layers.2.mlp.") != std::string::npos; },
      [](const std::string& name) { return name.find("kv_b_proj") != std::string::npos; },
      [](const std::string& name) { return std::hash<std::string>{}(name) % 2 == 0; },
      [](const std::string&) { return false; },
  };
  for (const auto& trained : choices) {
    const auto model = make_model(config, 5, {.dtype = at::kFloat, .trained = trained});
    const Result some = run(*model, batch);
    for (Parameter* parameter : model->parameters()) {
      ASSERT_EQ(parameter->trained(), trained(parameter->name));
      if (!parameter->trained()) continue;
      EXPECT_TRUE(same_tensor(some.gradients.at(parameter->name), all.gradients.at(parameter->name)))
          << parameter->name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Configs, WholeModel, testing::ValuesIn(tiny_models()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace dslite::test
