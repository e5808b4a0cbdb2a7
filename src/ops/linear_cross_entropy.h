// The head and the weighted cross-entropy, 512 tokens at a time: the [T, V] logits never exist, and a token without a
// label or of weight 0 (the prompts of chats) costs no product. T tokens, D hidden, V vocabulary.
#pragma once
#include "src/ops/types.h"

namespace dslite::ops {

struct TokenLosses {
  at::Tensor loss_T;        // fp32, unweighted; 0 where nothing counts: no label or weight 0
  at::Tensor prediction_T;  // int32 argmax; -1 where nothing counts
};

struct Targets {
  at::Tensor labels_T;  // int32, -1: none
  at::Tensor weight_T;  // fp32
};

// The loss alone: makes no gradient.
TokenLosses linear_cross_entropy(const at::Tensor& hidden_TD, const WeightRef& head, const Targets& targets);

// The same losses, and the gradients of scale * sum of weight * loss: adds to the head's gradient when it is trained,
// and fills `d_hidden` [T, D] of hidden's dtype unless it is undefined.
TokenLosses linear_cross_entropy_gradient(const at::Tensor& hidden_TD, const WeightRef& head, const Targets& targets,
                                          float scale, const at::Tensor& d_hidden_TD);

}  // namespace dslite::ops
