// The router of DeepSeekMoE (arXiv:2405.04434, sec. 2.2): fp32 softmax over all experts, greedy or group-limited top-k, and the expert-level balance loss (eq. 23-25).
// T tokens, E experts, K chosen, G groups. All arithmetic in fp32; ties go to the lower index.
#pragma once
#include "kernels/common/context.h"

namespace dslite::kernels {

struct RouterConfig {
  int64_t num_experts, num_experts_per_tok;
  int64_t num_groups, topk_group;  // 1, 1: greedy. Else a group's score is its largest probability; the best topk_group groups are kept, the choice is inside them
  bool norm_topk_prob;             // weights / (sum + 1e-20) when K > 1, INSTEAD of the scaling factor
  float routed_scaling_factor;
};

// logits [T, E] fp32 -> probabilities [T, E] (full softmax), indices [T, K] by falling probability, weights [T, K].
// `replay`: indices are an input (recomputation, routing tape); probabilities and weights are computed from the logits as always.
struct RouterForward {
  int64_t num_tokens;
  const float* logits;
  float* probabilities;
  int32_t* indices;
  float* weights;
  bool replay;
};
void router_forward(const Context& context, const RouterConfig& config, const RouterForward& arguments);

// d_logits = p * (g - sum_e g_e p_e); g = gradient of the weights carried to the chosen probabilities (through the scaling factor or the normalisation)
// plus d_probabilities (of the balance loss). The choice itself has no gradient.
struct RouterBackward {
  int64_t num_tokens;
  const float* probabilities;    // [T, E]
  const int32_t* indices;        // [T, K]
  const float* d_weights;        // [T, K]
  const float* d_probabilities;  // [T, E] or null
  float* d_logits;               // [T, E]
};
void router_backward(const Context& context, const RouterConfig& config, const RouterBackward& arguments);

// Per segment s of T_s tokens: f_e = E / (K T_s) count_e, P_e = mean_t p_te; returns sum_s T_s sum_e f_e P_e (fp64, fixed order): divide by the tokens of the whole global batch.
// counts [segments, E] int32, out (also the expert load).
double balance_loss(const Context& context, const RouterConfig& config, int64_t num_segments, const int64_t* offsets, const float* probabilities, const int32_t* indices, int32_t* counts);

// d_probabilities[t, e] = scale * f_e(segment of t): the gradient of scale * sum_s T_s L_s, as P_e's 1 / T_s cancels T_s. scale = alpha / tokens of the global batch.
void balance_loss_backward(const Context& context, const RouterConfig& config, int64_t num_segments, const int64_t* offsets, const int32_t* counts, float scale, float* d_probabilities);

}  // namespace dslite::kernels
