#include "src/ops/router.h"

#include <ATen/ops/empty.h>

#include "src/ops/check.h"
#include "src/ops/context.h"

namespace dslite::ops {

Routing route_tokens(const kernels::RouterConfig& config, const at::Tensor& logits_TE, const Sequence& sequence,
                     const Route* replay) {
  const int64_t tokens = sequence.num_tokens(), experts = config.num_experts, chosen = config.num_experts_per_tok;
  DSLITE_CHECK_TENSOR(logits_TE, at::kFloat, tokens, experts);
  if (replay) DSLITE_CHECK_TENSOR(replay->indices, at::kInt, tokens, chosen);
  Routing routing{.route = replay ? *replay : Route{at::empty({tokens, chosen}, at::kInt)},
                  .weights_TK = at::empty({tokens, chosen}, at::kFloat),
                  .probabilities_TE = at::empty({tokens, experts}, at::kFloat),
                  .counts_SE = at::empty({sequence.num_segments(), experts}, at::kInt)};
  const kernels::Context context = kernel_context();
  float* probabilities = routing.probabilities_TE.data_ptr<float>();
  auto* indices = routing.route.indices.data_ptr<int32_t>();
  kernels::router_forward(context, config,
                          {.num_tokens = tokens,
                           .logits = logits_TE.const_data_ptr<float>(),
                           .probabilities = probabilities,
                           .indices = indices,
                           .weights = routing.weights_TK.data_ptr<float>(),
                           .replay = replay != nullptr});
  routing.balance_loss_sum = kernels::balance_loss(context, config, sequence.num_segments(), sequence.q_offsets.data(),
                                                   probabilities, indices, routing.counts_SE.data_ptr<int32_t>());
  return routing;
}

at::Tensor route_tokens_backward(const kernels::RouterConfig& config, const Routing& routing,
                                 const at::Tensor& d_weights_TK, const Sequence& sequence, float balance_scale) {
  const int64_t tokens = sequence.num_tokens(), experts = config.num_experts;
  DSLITE_CHECK_TENSOR(d_weights_TK, at::kFloat, tokens, config.num_experts_per_tok);
  const kernels::Context context = kernel_context();
  at::Tensor d_probabilities_TE;
  if (balance_scale != 0) {
    d_probabilities_TE = at::empty({tokens, experts}, at::kFloat);
    kernels::balance_loss_backward(context, config, sequence.num_segments(), sequence.q_offsets.data(),
                                   routing.counts_SE.const_data_ptr<int32_t>(), balance_scale,
                                   d_probabilities_TE.data_ptr<float>());
  }
  at::Tensor d_logits_TE = at::empty({tokens, experts}, at::kFloat);
  kernels::router_backward(
      context, config,
      {.num_tokens = tokens,
       .probabilities = routing.probabilities_TE.const_data_ptr<float>(),
       .indices = routing.route.indices.const_data_ptr<int32_t>(),
       .d_weights = d_weights_TK.const_data_ptr<float>(),
       .d_probabilities = d_probabilities_TE.defined() ? d_probabilities_TE.const_data_ptr<float>() : nullptr,
       .d_logits = d_logits_TE.data_ptr<float>()});
  return d_logits_TE;
}

}  // namespace dslite::ops
