#include "src/ops/linear_cross_entropy.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

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

// The tokens that count, in their order: those with a label of a weight other than 0. Undefined when all do.
at::Tensor weighted_tokens(const Targets& targets) {
  const int64_t tokens = targets.labels_T.size(0);
  const auto* labels = targets.labels_T.const_data_ptr<int32_t>();
  const auto* weight = targets.weight_T.const_data_ptr<float>();
  at::Tensor rows_N = at::empty({tokens}, at::kInt);
  int64_t count = 0;
  for (int64_t t = 0; t < tokens; ++t)
    if (labels[t] >= 0 && weight[t] != 0) rows_N.data_ptr<int32_t>()[count++] = static_cast<int32_t>(t);
  return count == tokens ? at::Tensor{} : rows_N.slice(0, 0, count);
}

// The rows of a matrix that products read for tokens [begin, end) of those that count: x[rows[i]], or x[i].
struct ChunkRows {
  at::Tensor x, rows;
};
ChunkRows chunk_rows(const at::Tensor& x_TD, const at::Tensor& rows_N, int64_t begin, int64_t end) {
  if (rows_N.defined()) return {x_TD, rows_N.slice(0, begin, end)};
  return {x_TD.slice(0, begin, end), {}};
}

// Calls after(begin, end, logits [end - begin, V]) for each chunk of the tokens that count; with `gradient` the logits
// are by then their own gradient. `targets` and the losses are those of the tokens that count.
template <class After>
TokenLosses for_each_chunk(const at::Tensor& hidden_TD, const at::Tensor& rows_N, const WeightRef& head,
                           const Targets& targets, float scale, bool gradient, const After& after) {
  const int64_t tokens = targets.labels_T.size(0), vocabulary = head.out_features;
  TokenLosses losses{.loss_T = at::empty({tokens}, at::kFloat), .prediction_T = at::empty({tokens}, at::kInt)};
  const at::Tensor buffer = at::empty({std::min(tokens, kChunkTokens), vocabulary}, at::kFloat);
  for (int64_t begin = 0; begin < tokens; begin += kChunkTokens) {
    const int64_t end = std::min(tokens, begin + kChunkTokens);
    const at::Tensor logits = buffer.slice(0, 0, end - begin);
    const auto [x, rows] = chunk_rows(hidden_TD, rows_N, begin, end);
    linear(x, head, logits, rows);
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

Targets of_rows(const Targets& targets, const at::Tensor& rows_N) {
  if (!rows_N.defined()) return targets;
  return {.labels_T = targets.labels_T.index_select(0, rows_N), .weight_T = targets.weight_T.index_select(0, rows_N)};
}

// The losses of the tokens that count, spread over all tokens.
TokenLosses of_all(const TokenLosses& losses, const at::Tensor& rows_N, int64_t tokens) {
  if (!rows_N.defined()) return losses;
  const at::Tensor rows = rows_N.to(at::kLong);
  return {.loss_T = at::zeros({tokens}, at::kFloat).index_copy_(0, rows, losses.loss_T),
          .prediction_T = at::full({tokens}, -1, at::kInt).index_copy_(0, rows, losses.prediction_T)};
}

// Rows of `from` become rows `rows` of `to`.
void scatter_rows(const at::Tensor& from_ND, const at::Tensor& rows_N, const at::Tensor& to_TD) {
  const auto bytes = static_cast<int64_t>(from_ND.element_size());
  const int64_t from_stride = from_ND.stride(0) * bytes, to_stride = to_TD.stride(0) * bytes;
  const auto* from = static_cast<const std::byte*>(from_ND.const_data_ptr());
  auto* to = static_cast<std::byte*>(to_TD.data_ptr());
  const auto* rows = rows_N.const_data_ptr<int32_t>();
  for (int64_t i = 0; i < rows_N.size(0); ++i)
    std::memcpy(to + rows[i] * to_stride, from + i * from_stride, from_ND.size(1) * bytes);
}

// d_hidden of one chunk, straight into its rows where all tokens count.
void hidden_gradient(const at::Tensor& d_logits, const WeightRef& head, const ChunkRows& d_hidden) {
  if (!d_hidden.rows.defined()) return linear_input_gradient(d_logits, head, d_hidden.x);
  const at::Tensor d_rows_ND = at::empty({d_logits.size(0), d_hidden.x.size(1)}, d_hidden.x.scalar_type());
  linear_input_gradient(d_logits, head, d_rows_ND);
  scatter_rows(d_rows_ND, d_hidden.rows, d_hidden.x);
}

}  // namespace

TokenLosses linear_cross_entropy(const at::Tensor& hidden_TD, const WeightRef& head, const Targets& targets) {
  check_inputs(hidden_TD, head, targets);
  const at::Tensor rows_N = weighted_tokens(targets);
  const TokenLosses losses = for_each_chunk(hidden_TD, rows_N, head, of_rows(targets, rows_N), 0, false,
                                            [](int64_t, int64_t, const at::Tensor&) {});
  return of_all(losses, rows_N, hidden_TD.size(0));
}

TokenLosses linear_cross_entropy_gradient(const at::Tensor& hidden_TD, const WeightRef& head, const Targets& targets,
                                          float scale, const at::Tensor& d_hidden_TD) {
  check_inputs(hidden_TD, head, targets);
  const bool below = d_hidden_TD.defined();
  if (below) DSLITE_CHECK_TENSOR(d_hidden_TD, hidden_TD.scalar_type(), hidden_TD.size(0), hidden_TD.size(1));
  const at::Tensor rows_N = weighted_tokens(targets);
  if (below && rows_N.defined()) d_hidden_TD.zero_();
  const TokenLosses losses =
      for_each_chunk(hidden_TD, rows_N, head, of_rows(targets, rows_N), scale, true,
                     [&](int64_t begin, int64_t end, const at::Tensor& d_logits) {
                       if (below) hidden_gradient(d_logits, head, chunk_rows(d_hidden_TD, rows_N, begin, end));
                       const auto [x, rows] = chunk_rows(hidden_TD, rows_N, begin, end);
                       add_linear_weight_gradient(x, d_logits, head, rows);
                     });
  return of_all(losses, rows_N, hidden_TD.size(0));
}

}  // namespace dslite::ops
