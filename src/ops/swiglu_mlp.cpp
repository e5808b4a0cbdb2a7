#include "src/ops/swiglu_mlp.h"

#include <ATen/ops/empty.h>

#include "kernels/swiglu/swiglu.h"
#include "src/ops/context.h"
#include "src/ops/linear.h"
#include "src/ops/matrix.h"

namespace dslite::ops {
namespace {

at::Tensor before_activation(const at::Tensor& x_TD, const MlpWeights& weights) {
  const int64_t intermediate = weights.gate.out_features;
  at::Tensor z_TI2 = at::empty({x_TD.size(0), 2 * intermediate}, x_TD.scalar_type());
  linear(x_TD, weights.gate, z_TI2.slice(1, 0, intermediate));
  linear(x_TD, weights.up, z_TI2.slice(1, intermediate));
  return z_TI2;
}

}  // namespace

at::Tensor swiglu_mlp(const at::Tensor& x_TD, const MlpWeights& weights, MlpSaved* saved) {
  const int64_t tokens = x_TD.size(0), intermediate = weights.gate.out_features;
  const at::Tensor z_TI2 = before_activation(x_TD, weights);
  const at::Tensor a_TI = at::empty({tokens, intermediate}, x_TD.scalar_type());
  kernels::swiglu_forward(kernel_context(), tokens, intermediate, const_matrix(z_TI2), matrix(a_TI));
  if (saved) *saved = {.x_TD = x_TD, .z_TI2 = z_TI2};
  return linear(a_TI, weights.down, x_TD.scalar_type());
}

void add_swiglu_mlp_gradient(const MlpSaved& saved, const MlpWeights& weights, const at::Tensor& dy_TD,
                             GradientSum& dx_TD) {
  const int64_t tokens = dy_TD.size(0), intermediate = weights.gate.out_features;
  const at::Tensor da_TI = linear_input_gradient(dy_TD, weights.down);
  const at::Tensor z_TI2 = saved.z_TI2.defined() ? saved.z_TI2 : before_activation(saved.x_TD, weights);
  const at::Tensor dz_TI2 = at::empty_like(z_TI2);
  at::Tensor a_TI;  // made again only for the down projection's gradient
  if (weights.down.trained) a_TI = at::empty({tokens, intermediate}, z_TI2.scalar_type());
  kernels::swiglu_backward(kernel_context(), {.num_rows = tokens,
                                              .intermediate = intermediate,
                                              .z = const_matrix(z_TI2),
                                              .da = const_matrix(da_TI),
                                              .row_scale = nullptr,
                                              .dz = matrix(dz_TI2),
                                              .scaled_a = matrix(a_TI),
                                              .ds = nullptr});
  if (weights.down.trained) add_linear_weight_gradient(a_TI, dy_TD, weights.down);
  const at::Tensor d_gate_TI = dz_TI2.slice(1, 0, intermediate), d_up_TI = dz_TI2.slice(1, intermediate);
  add_linear_weight_gradient(saved.x_TD, d_gate_TI, weights.gate);
  add_linear_weight_gradient(saved.x_TD, d_up_TI, weights.up);
  add_linear_input_gradient(d_gate_TI, weights.gate, dx_TD);
  add_linear_input_gradient(d_up_TI, weights.up, dx_TD);
}

}  // namespace dslite::ops
