#include "src/train/loss_and_gradient.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "src/base/error.h"
#include "src/ops/linear_cross_entropy.h"

namespace dslite {
namespace {

template <class T>
at::Tensor tensor_of(const std::vector<T>& values, at::ScalarType dtype) {
  at::Tensor out = at::empty({static_cast<int64_t>(values.size())}, dtype);
  std::copy(values.begin(), values.end(), out.data_ptr<T>());
  return out;
}

ops::Targets make_targets(const Batch& batch) {
  DSLITE_ASSERT(batch.labels.size() == batch.tokens.size() && batch.loss_weight.size() == batch.tokens.size());
  return {.labels_T = tensor_of(batch.labels, at::kInt), .weight_T = tensor_of(batch.loss_weight, at::kFloat)};
}

// Sums in ascending tokens, in fp64.
LossSum sum_up(const Batch& batch, const ops::TokenLosses& losses, const std::vector<MoeStatistics>& moe) {
  LossSum sum;
  sum.num_tokens = static_cast<int64_t>(batch.tokens.size());
  const auto* loss = losses.loss_T.const_data_ptr<float>();
  const auto* prediction = losses.prediction_T.const_data_ptr<int32_t>();
  for (size_t t = 0; t < batch.tokens.size(); ++t) {
    if (batch.labels[t] < 0 || !(batch.loss_weight[t] > 0)) continue;
    sum.cross_entropy += static_cast<double>(batch.loss_weight[t]) * loss[t];
    sum.target_weight += batch.loss_weight[t];
    sum.num_correct += prediction[t] == batch.labels[t];
    ++sum.num_trained_tokens;
  }
  for (const MoeStatistics& layer : moe) {
    sum.balance_loss.push_back(layer.balance_loss_sum);
    sum.expert_tokens.push_back(layer.expert_tokens);
  }
  return sum;
}

bool trains_anything_but_the_head(DeepseekV2& model) {
  const Parameter& head = model.head();
  return std::any_of(model.parameters().begin(), model.parameters().end(), [&](const Parameter* p) {
    return p->trained() && (p != &head || model.config().tie_word_embeddings);
  });
}

}  // namespace

LossSum& LossSum::operator+=(const LossSum& other) {
  cross_entropy += other.cross_entropy;
  target_weight += other.target_weight;
  num_correct += other.num_correct;
  num_trained_tokens += other.num_trained_tokens;
  num_tokens += other.num_tokens;
  if (balance_loss.empty()) {
    balance_loss = other.balance_loss;
    expert_tokens = other.expert_tokens;
    return *this;
  }
  for (size_t layer = 0; layer < other.balance_loss.size(); ++layer) {
    balance_loss[layer] += other.balance_loss[layer];
    for (size_t e = 0; e < other.expert_tokens[layer].size(); ++e)
      expert_tokens[layer][e] += other.expert_tokens[layer][e];
  }
  return *this;
}

Sequence make_sequence(const Batch& batch) {
  DSLITE_ASSERT(batch.positions.size() == batch.tokens.size() && batch.offsets.size() >= 2 &&
                batch.offsets.back() == static_cast<int64_t>(batch.tokens.size()));
  return {.positions = tensor_of(batch.positions, at::kInt), .q_offsets = batch.offsets, .kv_offsets = batch.offsets};
}

LossSum loss_and_gradient(DeepseekV2& model, const Batch& batch, const BatchTotals& totals,
                          const LossOptions& options) {
  const Sequence sequence = make_sequence(batch);
  const auto saved = make_saved();
  const DeepseekV2::Output output =
      model.forward({.tokens = batch.tokens, .sequence = &sequence, .replay = options.replay}, saved.get());

  const bool below_head = trains_anything_but_the_head(model);
  at::Tensor d_hidden_TD;
  if (below_head) d_hidden_TD = at::empty_like(output.hidden);
  const auto loss_scale = static_cast<float>(totals.target_weight > 0 ? 1 / totals.target_weight : 0);
  const ops::TokenLosses losses = ops::linear_cross_entropy_gradient(output.hidden, model.head_weight(),
                                                                     make_targets(batch), loss_scale, d_hidden_TD);
  if (below_head)
    model.backward(*saved, d_hidden_TD,
                   static_cast<float>(options.balance_alpha / static_cast<double>(totals.num_tokens)));
  return sum_up(batch, losses, output.moe);
}

LossSum loss_only(const DeepseekV2& model, const Batch& batch) {
  const Sequence sequence = make_sequence(batch);
  const DeepseekV2::Output output = model.forward({.tokens = batch.tokens, .sequence = &sequence}, nullptr);
  return sum_up(batch, ops::linear_cross_entropy(output.hidden, model.head_weight(), make_targets(batch)), output.moe);
}

}  // namespace dslite
