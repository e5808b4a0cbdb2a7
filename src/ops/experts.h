// The routed experts of a MoE layer: dispatch plan, grouped SwiGLU MLPs, weighted sum; forward and backward.
// T tokens, D hidden, I intermediate, E experts, K chosen, rows = T * K sorted by expert.
#pragma once
#include <vector>

#include "src/ops/swiglu_mlp.h"
#include "src/ops/types.h"

namespace dslite::ops {

struct ExpertsSaved {
  at::Tensor x_TD;
  at::Tensor weights_TK;         // fp32 routing weights
  at::Tensor z;                  // [rows, 2I] gate | up before the activation; undefined: backward makes it again
  at::Tensor row_token;          // [rows] int32
  at::Tensor row_of_slot;        // [T, K] int32
  std::vector<int64_t> offsets;  // [E + 1]
};

// residual + shared + sum_k weights[t, k] expert_{indices[t, k]}(x_t) [T, D], added in fp32 and rounded once; shared
// and residual may be undefined.
struct ExpertsInput {
  at::Tensor x_TD;
  at::Tensor indices_TK;  // int32
  at::Tensor weights_TK;  // fp32
  at::Tensor shared_TD, residual_TD;
};
at::Tensor experts(const ExpertsInput& input, const std::vector<MlpWeights>& experts, ExpertsSaved* saved);

// Returns d_weights [T, K] fp32; adds to `dx` and to the gradients of the trained experts. An expert without rows is
// not touched: its gradients stay empty.
at::Tensor experts_backward(const ExpertsSaved& saved, const std::vector<MlpWeights>& experts,
                            const at::Tensor& d_out_TD, GradientSum& dx_TD);

}  // namespace dslite::ops
