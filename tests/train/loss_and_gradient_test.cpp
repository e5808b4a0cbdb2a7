// Losses and gradients belong to the global batch: neither micro-batches nor the order of the documents change them.
#include "src/train/loss_and_gradient.h"

#include <gtest/gtest.h>

#include <map>

#include "src/base/random.h"
#include "tests/support/tiny_models.h"

namespace dslite::test {
namespace {

constexpr double kAlpha = 0.05;

struct Result {
  LossSum sum = {};
  std::map<std::string, at::Tensor> gradients = {};
};

Result run(DeepseekV2& model, const std::vector<Batch>& micro_batches, const BatchTotals& totals,
           double alpha = kAlpha) {
  Result result{};
  model.begin_gradients();
  for (const Batch& batch : micro_batches) {
    result.sum += loss_and_gradient(model, batch, totals, {.balance_alpha = alpha, .replay = nullptr});
  }
  for (const Parameter* parameter : model.parameters()) {
    if (!parameter->trained()) continue;
    result.gradients[parameter->name] =
        parameter->grad_empty ? at::zeros_like(parameter->grad) : parameter->grad.clone();
  }
  return result;
}

// The documents in a random order, cut into a random number of micro-batches.
std::vector<Batch> random_split(std::vector<Document> documents, uint64_t round) {
  const RandomStream random(round, RandomPurpose::kTest);
  for (size_t i = documents.size(); i > 1; --i) std::swap(documents[i - 1], documents[random.below(i, i)]);
  std::vector<Batch> batches;
  std::vector<Document> group;
  for (size_t i = 0; i < documents.size(); ++i) {
    group.push_back(documents[i]);
    if (i + 1 == documents.size() || random.below(100 + i, 3) == 0) batches.push_back(pack(std::exchange(group, {})));
  }
  return batches;
}

void expect_near(const Result& actual, const Result& expected, double loss_tolerance, double gradient_tolerance) {
  EXPECT_NEAR(actual.sum.cross_entropy, expected.sum.cross_entropy, loss_tolerance * expected.sum.cross_entropy);
  EXPECT_NEAR(actual.sum.target_weight, expected.sum.target_weight, 1e-9 * expected.sum.target_weight);
  EXPECT_EQ(actual.sum.num_correct, expected.sum.num_correct);
  EXPECT_EQ(actual.sum.num_trained_tokens, expected.sum.num_trained_tokens);
  EXPECT_EQ(actual.sum.num_tokens, expected.sum.num_tokens);
  EXPECT_EQ(actual.sum.expert_tokens, expected.sum.expert_tokens);
  ASSERT_EQ(actual.sum.balance_loss.size(), expected.sum.balance_loss.size());
  for (size_t m = 0; m < expected.sum.balance_loss.size(); ++m) {
    EXPECT_NEAR(actual.sum.balance_loss[m] / expected.sum.balance_loss[m], 1, 1e-6);
  }
  for (const auto& [name, gradient] : expected.gradients) {
    EXPECT_LT(relative_norm(actual.gradients.at(name), gradient), gradient_tolerance) << name;
  }
}

TEST(LossAndGradient, TwoHundredSplitsLeaveLossBalanceLossAndGradients) {
  const std::vector<TinyModel> models = tiny_models();
  const std::vector<Document> documents = random_documents({3, 11, 1, 19, 7, 2, 14}, 61, 21);
  const BatchTotals totals = totals_of(pack(documents));
  for (const size_t m : {0, 2}) {
    const auto model = make_model(models[m].config, 21);
    const Result whole = run(*model, {pack(documents)}, totals);
    for (uint64_t round = 0; round < 100; ++round) {
      expect_near(run(*model, random_split(documents, round), totals), whole, 1e-6, 1e-5);
    }
  }
}

// With no trained label only the balance loss has a gradient: its own 1e-6.
TEST(LossAndGradient, SplitsLeaveTheGradientOfTheBalanceLossAlone) {
  std::vector<Document> documents = random_documents({3, 11, 1, 19, 7}, 61, 22);
  for (Document& document : documents) document.loss_weight.assign(document.ids.size(), 0);
  const BatchTotals totals = totals_of(pack(documents));
  const auto model = make_model(tiny_config(), 22);
  const Result whole = run(*model, {pack(documents)}, totals, 1);
  EXPECT_EQ(whole.sum.cross_entropy, 0);
  for (uint64_t round = 0; round < 20; ++round) {
    const Result split = run(*model, random_split(documents, round), totals, 1);
    for (const auto& [name, gradient] : whole.gradients) {
      const bool router = name.ends_with(".gate.weight");
      EXPECT_LT(relative_norm(split.gradients.at(name), gradient), router ? 1e-6 : 1e-5) << name;
    }
  }
  // Nothing reaches the head, nor what comes after the last router.
  EXPECT_EQ(whole.gradients.at("lm_head.weight").abs().max().item<float>(), 0);
  EXPECT_EQ(whole.gradients.at("model.norm.weight").abs().max().item<float>(), 0);
  EXPECT_EQ(whole.gradients.at("model.layers.2.mlp.shared_experts.up_proj.weight").abs().max().item<float>(), 0);
  EXPECT_GT(whole.gradients.at("model.layers.2.mlp.gate.weight").abs().max().item<float>(), 0);
}

TEST(LossAndGradient, TheLossAloneIsTheSameAndMakesNoGradient) {
  const auto model = make_model(tiny_config(), 23);
  const Batch batch = pack(random_documents({3, 500, 411}, 61, 23));
  const BatchTotals totals = totals_of(batch);
  model->begin_gradients();
  const LossSum alone = loss_only(*model, batch);
  for (const Parameter* parameter : model->parameters()) EXPECT_TRUE(parameter->grad_empty);
  const LossSum with_gradient = loss_and_gradient(*model, batch, totals, {});
  EXPECT_EQ(alone.cross_entropy, with_gradient.cross_entropy);
  EXPECT_EQ(alone.num_correct, with_gradient.num_correct);
  EXPECT_EQ(alone.balance_loss, with_gradient.balance_loss);
}

// An expert that no token chose keeps an empty gradient; the next step's first use overwrites what is left there.
TEST(LossAndGradient, ExpertsWithoutTokensStayEmptyAndStepsBeginAfresh) {
  const auto model = make_model(tiny_config(), 24);
  const std::vector<Document> one_token = random_documents({2}, 61, 24), many = random_documents({50, 30}, 61, 25);
  const Batch small = pack(one_token), large = pack(many);
  const LossSum sum = run(*model, {small}, totals_of(small)).sum;
  for (size_t m = 0; m < sum.expert_tokens.size(); ++m) {
    for (size_t e = 0; e < sum.expert_tokens[m].size(); ++e) {
      const std::string prefix = "model.layers." + std::to_string(m + 1) + ".mlp.experts." + std::to_string(e) + ".";
      for (const char* part : {"gate_proj.weight", "up_proj.weight", "down_proj.weight"}) {
        EXPECT_EQ(model->parameter(prefix + part).grad_empty, sum.expert_tokens[m][e] == 0) << prefix << part;
      }
    }
  }
  const Result again = run(*model, {large}, totals_of(large));
  const Result fresh = run(*make_model(tiny_config(), 24), {large}, totals_of(large));
  for (const auto& [name, gradient] : fresh.gradients) {
    EXPECT_TRUE(same_tensor(again.gradients.at(name), gradient)) << name;
  }
}

}  // namespace
}  // namespace dslite::test
