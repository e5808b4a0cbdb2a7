// A step as prose.
#include "src/train/train_step.h"

#include <algorithm>
#include <cmath>

#include "src/base/error.h"
#include "src/model/flops.h"

namespace dslite {
namespace {

std::string batch_text(const TrainState& state, const LoaderPosition& first) {
  const LoaderPosition next = state.loader->position();
  return fmt::format("rows from sample {} of epoch {} up to sample {} of epoch {}", first.next_sample, first.epoch,
                     next.next_sample, next.epoch);
}

void check_finite(const TrainState& state, const LossSum& loss, const GradientNorm& norm, const LoaderPosition& first) {
  std::string problem;
  if (!std::isfinite(loss.cross_entropy)) problem += fmt::format("the loss is {}; ", loss.cross_entropy);
  for (size_t i = 0; i < loss.balance_loss.size(); ++i) {
    if (!std::isfinite(loss.balance_loss[i]))
      problem += fmt::format("the balance loss of MoE layer {} is {}; ", i, loss.balance_loss[i]);
  }
  for (size_t i = 0; i < norm.non_finite.size() && i < 5; ++i)
    problem += fmt::format("{} has {} non-finite gradients; ", norm.non_finite[i].name, norm.non_finite[i].count);
  if (norm.non_finite.size() > 5) problem += fmt::format("and {} more tensors; ", norm.non_finite.size() - 5);
  if (norm.non_finite.empty() && !std::isfinite(norm.value))
    problem += fmt::format("the gradient norm is {}; ", norm.value);
  if (problem.empty()) return;
  fail_work(
      "step {}: {}no update was made ({}). The last checkpoint is sound; a lower learning rate or cleaner data may "
      "help",
      state.step + 1, problem, batch_text(state, first));
}

void sum_gradients(DeepseekV2& model, Communicator& ranks) {
  if (ranks.size() == 1) return;
  for (Parameter* parameter : model.parameters()) {
    if (!parameter->trained()) continue;
    const std::span<float> gradient(static_cast<float*>(parameter->grad.data_ptr()),
                                    static_cast<size_t>(parameter->grad.numel()));
    if (parameter->grad_empty) std::fill(gradient.begin(), gradient.end(), 0.0f);
    parameter->grad_empty = false;
    ranks.sum(gradient);
  }
}

void sum_losses(LossSum& loss, Communicator& ranks) {
  std::vector<double> sums = {loss.cross_entropy, loss.target_weight, static_cast<double>(loss.num_correct),
                              static_cast<double>(loss.num_trained_tokens), static_cast<double>(loss.num_tokens)};
  sums.insert(sums.end(), loss.balance_loss.begin(), loss.balance_loss.end());
  for (const auto& layer : loss.expert_tokens) sums.insert(sums.end(), layer.begin(), layer.end());
  ranks.sum(sums);
  auto next = sums.begin();
  loss.cross_entropy = *next++;
  loss.target_weight = *next++;
  loss.num_correct = static_cast<int64_t>(*next++);
  loss.num_trained_tokens = static_cast<int64_t>(*next++);
  loss.num_tokens = static_cast<int64_t>(*next++);
  for (double& balance : loss.balance_loss) balance = *next++;
  for (auto& layer : loss.expert_tokens) {
    for (int64_t& tokens : layer) tokens = static_cast<int64_t>(*next++);
  }
}

void add_expert_tokens(TrainState& state, const LossSum& loss) {
  if (state.expert_tokens.empty()) state.expert_tokens = std::vector<std::vector<int64_t>>(loss.expert_tokens.size());
  for (size_t layer = 0; layer < loss.expert_tokens.size(); ++layer) {
    auto& sums = state.expert_tokens[layer];
    sums.resize(loss.expert_tokens[layer].size());
    for (size_t expert = 0; expert < sums.size(); ++expert) sums[expert] += loss.expert_tokens[layer][expert];
  }
}

}  // namespace

StepResult train_step(TrainState& state, const Mesh& mesh, const StepOptions& options) {
  const LoaderPosition first = state.loader->position();
  const GlobalBatch global = state.loader->next();  // knows its target weight and number of inputs
  state.model->begin_gradients();                   // marks every gradient as empty; writes nothing
  LossSum loss;
  for (const Batch& batch : global.micro_batches)
    loss += loss_and_gradient(*state.model, batch, global.totals, {.balance_alpha = options.balance_alpha});
  sum_gradients(*state.model, mesh.data());
  sum_losses(loss, mesh.data());
  const GradientNorm norm = gradient_norm(state.model->parameters());
  check_finite(state, loss, norm, first);
  ++state.step;
  state.optimizer.step(state.step, options.learning_rate, norm.clip_factor(options.max_grad_norm));
  state.tokens += global.totals.num_tokens;
  state.trained_tokens += global.totals.num_trained_tokens;
  add_expert_tokens(state, loss);
  double flops = 0;
  for (const Batch& batch : global.micro_batches) flops += training_flops(state.model->config(), batch.offsets).total();
  return {.loss = loss,
          .totals = global.totals,
          .gradient_norm = norm.value,
          .learning_rate = options.learning_rate,
          .flops = flops,
          .data_wait_seconds = state.loader->wait_seconds()};
}

}  // namespace dslite
