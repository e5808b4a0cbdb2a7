#include "src/ops/linear_cross_entropy.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "kernels/cross_entropy/cross_entropy.h"
#include "src/ops/check.h"
#include "src/ops/context.h"
#include "src/ops/linear.h"
#include "src/ops/matrix.h"

namespace dslite::ops {
namespace {

constexpr int64_t kChunkTokens = kernels::kGemmBlockK;  // a chunk is one K block of the weight gradient

// The gradient of a chunk's logits in the model's dtype, where cross_entropy leaves it.
at::Tensor gradient_of(const at::Tensor& logits, at::ScalarType dtype) {
  return dtype == at::kFloat ? logits : logits.view(dtype).slice(1, 0, logits.size(1));
}

void check_inputs(const at::Tensor& hidden_TD, const WeightRef& head, const Targets& targets) {
  DSLITE_CHECK_TENSOR(hidden_TD, hidden_TD.scalar_type(), hidden_TD.size(0), head.in_features);
  DSLITE_CHECK_TENSOR(targets.labels_T, at::kInt, hidden_TD.size(0));
  DSLITE_CHECK_TENSOR(targets.weight_T, at::kFloat, hidden_TD.size(0));
}

// The tokens that count, in their order: those with a label of a weight other than 0.
at::Tensor weighted_tokens(const Targets& targets) {
  const int64_t tokens = targets.labels_T.size(0);
  const auto* labels = targets.labels_T.const_data_ptr<int32_t>();
  const auto* weight = targets.weight_T.const_data_ptr<float>();
  at::Tensor rows = at::empty({tokens}, at::kLong);
  auto* next = rows.data_ptr<int64_t>();
  for (int64_t t = 0; t < tokens; ++t)
    if (labels[t] >= 0 && weight[t] != 0) *next++ = t;
  return rows.slice(0, 0, next - rows.data_ptr<int64_t>());
}

// Calls after(begin, end, logits [end - begin, V]) for each chunk; with `gradient` the logits are by then their own
// gradient.
template <class After>
TokenLosses for_each_chunk(const at::Tensor& hidden_TD, const WeightRef& head, const Targets& targets, float scale,
                           bool gradient, const After& after) {
  const int64_t tokens = hidden_TD.size(0), vocabulary = head.out_features;
  TokenLosses losses{.loss_T = at::empty({tokens}, at::kFloat), .prediction_T = at::empty({tokens}, at::kInt)};
  const at::Tensor buffer = at::empty({std::min(tokens, kChunkTokens), vocabulary}, at::kFloat);
  for (int64_t begin = 0; begin < tokens; begin += kChunkTokens) {
    const int64_t end = std::min(tokens, begin + kChunkTokens);
    const at::Tensor logits = buffer.slice(0, 0, end - begin);
    linear(hidden_TD.slice(0, begin, end), head, logits);
    kernels::cross_entropy(kernel_context(), {.num_rows = end - begin,
                                              .vocab_size = vocabulary,
                                              .logits = logits.data_ptr<float>(),
                                              .labels = targets.labels_T.const_data_ptr<int32_t>() + begin,
                                              .loss_weight = targets.weight_T.const_data_ptr<float>() + begin,
                                              .scale = scale,
                                              .gradient = gradient,
                                              .gradient_dtype = kernel_dtype(hidden_TD.scalar_type()),
                                              .loss = losses.loss_T.data_ptr<float>() + begin,
                                              .prediction = losses.prediction_T.data_ptr<int32_t>() + begin});
    after(begin, end, gradient ? gradient_of(logits, hidden_TD.scalar_type()) : logits);
  }
  return losses;
}

// Calls run(hidden, targets) with the weighted tokens alone; its losses, spread over all tokens.
template <class Run>
TokenLosses of_weighted_tokens(const at::Tensor& hidden_TD, const Targets& targets, const at::Tensor& rows,
                               const Run& run) {
  const int64_t tokens = hidden_TD.size(0);
  if (rows.size(0) == tokens) return run(hidden_TD, targets);
  const TokenLosses losses = run(hidden_TD.index_select(0, rows), {.labels_T = targets.labels_T.index_select(0, rows),
                                                                   .weight_T = targets.weight_T.index_select(0, rows)});
  return {.loss_T = at::zeros({tokens}, at::kFloat).index_copy_(0, rows, losses.loss_T),
          .prediction_T = at::full({tokens}, -1, at::kInt).index_copy_(0, rows, losses.prediction_T)};
}

}  // namespace

TokenLosses linear_cross_entropy(const at::Tensor& hidden_TD, const WeightRef& head, const Targets& targets) {
  check_inputs(hidden_TD, head, targets);
  return of_weighted_tokens(
      hidden_TD, targets, weighted_tokens(targets), [&](const at::Tensor& hidden_ND, const Targets& some) {
        return for_each_chunk(hidden_ND, head, some, 0, false, [](int64_t, int64_t, const at::Tensor&) {});
      });
}

TokenLosses linear_cross_entropy_gradient(const at::Tensor& hidden_TD, const WeightRef& head, const Targets& targets,
                                          float scale, const at::Tensor& d_hidden_TD) {
  check_inputs(hidden_TD, head, targets);
  const bool below = d_hidden_TD.defined();
  if (below) DSLITE_CHECK_TENSOR(d_hidden_TD, hidden_TD.scalar_type(), hidden_TD.size(0), hidden_TD.size(1));
  const at::Tensor rows = weighted_tokens(targets);
  const bool all = rows.size(0) == hidden_TD.size(0);
  return of_weighted_tokens(hidden_TD, targets, rows, [&](const at::Tensor& hidden_ND, const Targets& some) {
    const at::Tensor d_hidden_ND = !below || all ? d_hidden_TD : at::empty_like(hidden_ND);
    TokenLosses losses =
        for_each_chunk(hidden_ND, head, some, scale, true, [&](int64_t begin, int64_t end, const at::Tensor& d_logits) {
          if (below) linear_input_gradient(d_logits, head, d_hidden_ND.slice(0, begin, end));
          add_linear_weight_gradient(hidden_ND.slice(0, begin, end), d_logits, head);
        });
    if (below && !all) d_hidden_TD.zero_().index_copy_(0, rows, d_hidden_ND);
    return losses;
  });
}

}  // namespace dslite::ops
