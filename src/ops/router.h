// The router of a MoE layer: softmax, choice, weights and the balance loss of each segment, and the gradient of its
// logits. T tokens, E experts, K chosen, S segments; all fp32.
#pragma once
#include "kernels/router/router.h"
#include "src/ops/types.h"

namespace dslite::ops {

struct Routing {
  Route route;
  at::Tensor weights_TK;
  at::Tensor probabilities_TE;  // the full softmax
  at::Tensor counts_SE;         // int32, chosen tokens per segment and expert
  double balance_loss_sum = 0;  // sum over segments of T_s L_s
};

// `replay`: the choice is taken from there; null: made here.
Routing route_tokens(const kernels::RouterConfig& config, const at::Tensor& logits_TE, const Sequence& sequence,
                     const Route* replay);

// d_logits [T, E] from the gradient of the weights [T, K] and of balance_scale * balance_loss_sum.
at::Tensor route_tokens_backward(const kernels::RouterConfig& config, const Routing& routing,
                                 const at::Tensor& d_weights_TK, const Sequence& sequence, float balance_scale);

}  // namespace dslite::ops
