// down(silu(gate x) * up x): the dense MLP and the fused shared experts. T tokens, D hidden, I intermediate.
#pragma once
#include "src/ops/types.h"

namespace dslite::ops {

struct MlpWeights {
  WeightRef gate, up;  // [I, D]
  WeightRef down;      // [D, I]
};

struct MlpSaved {
  at::Tensor x_TD;
  at::Tensor z_TI2;  // [T, 2I] gate | up before the activation; undefined: backward makes it again
};

at::Tensor swiglu_mlp(const at::Tensor& x_TD, const MlpWeights& weights, MlpSaved* saved);
// Adds dx [T, D] to `dx`, and to the gradients of the trained weights.
void add_swiglu_mlp_gradient(const MlpSaved& saved, const MlpWeights& weights, const at::Tensor& dy_TD,
                             GradientSum& dx_TD);

}  // namespace dslite::ops
