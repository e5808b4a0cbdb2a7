#include "src/ops/linear_cross_entropy.h"

#include <ATen/ops/empty.h>

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

// Calls after(begin, end, logits [end - begin, V]) for each chunk; with `gradient` the logits are by then their own
// gradient.
template <class After>
TokenLosses for_each_chunk(const at::Tensor& hidden_TD, const WeightRef& head, const Targets& targets, float scale,
                           bool gradient, const After& after) {
  const int64_t tokens = hidden_TD.size(0), vocabulary = head.out_features;
  DSLITE_CHECK_TENSOR(hidden_TD, hidden_TD.scalar_type(), tokens, head.in_features);
  DSLITE_CHECK_TENSOR(targets.labels_T, at::kInt, tokens);
  DSLITE_CHECK_TENSOR(targets.weight_T, at::kFloat, tokens);
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

}  // namespace

TokenLosses linear_cross_entropy(const at::Tensor& hidden_TD, const WeightRef& head, const Targets& targets) {
  return for_each_chunk(hidden_TD, head, targets, 0, false, [](int64_t, int64_t, const at::Tensor&) {});
}

TokenLosses linear_cross_entropy_gradient(const at::Tensor& hidden_TD, const WeightRef& head, const Targets& targets,
                                          float scale, const at::Tensor& d_hidden_TD) {
  if (d_hidden_TD.defined())
    DSLITE_CHECK_TENSOR(d_hidden_TD, hidden_TD.scalar_type(), hidden_TD.size(0), hidden_TD.size(1));
  return for_each_chunk(hidden_TD, head, targets, scale, true,
                        [&](int64_t begin, int64_t end, const at::Tensor& d_logits) {
                          if (d_hidden_TD.defined())
                            linear_input_gradient(d_logits, head, d_hidden_TD.slice(0, begin, end));
                          add_linear_weight_gradient(hidden_TD.slice(0, begin, end), d_logits, head);
                        });
}

}  // namespace dslite::ops
