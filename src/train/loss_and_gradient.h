// One micro-batch: loss, and the gradients added to the model's parameters. Losses are scaled by the totals of the
// whole global batch.
#pragma once
#include <vector>

#include "src/data/batch.h"
#include "src/model/deepseek_v2.h"

namespace dslite {

struct LossOptions {
  double balance_alpha = 0;
  const std::vector<Route>* replay = nullptr;
};

// Sums over one or more micro-batches: add them, then divide by the totals.
struct LossSum {
  double cross_entropy = 0;  // sum of weight * loss over labels
  double target_weight = 0;
  int64_t num_correct = 0, num_trained_tokens = 0;  // argmax == label among labels with weight > 0
  int64_t num_tokens = 0;
  std::vector<double> balance_loss;                 // [MoE layers] sum over segments of T_s * L_s
  std::vector<std::vector<int64_t>> expert_tokens;  // [MoE layers][E]
  LossSum& operator+=(const LossSum& other);
};

Sequence make_sequence(const Batch& batch);
// The only maker of gradients: forward, chunked linear + cross-entropy, backward.
LossSum loss_and_gradient(DeepseekV2& model, const Batch& batch, const BatchTotals& totals, const LossOptions& options);
// The loss alone: validation, eval.
LossSum loss_only(const DeepseekV2& model, const Batch& batch);

}  // namespace dslite
