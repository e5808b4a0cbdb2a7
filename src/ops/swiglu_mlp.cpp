#include "src/ops/swiglu_mlp.h"

#include <ATen/ops/empty.h>

#include "kernels/expert_gemm/expert_gemm.h"
#include "src/base/parallel_for.h"
#include "src/ops/check.h"
#include "src/ops/context.h"
#include "src/ops/linear.h"
#include "src/ops/matrix.h"

namespace dslite::ops {
namespace {

// One expert that takes every token.
class DenseExpert {
 public:
  DenseExpert(int64_t tokens, const MlpWeights& weights)
      : offsets_{0, tokens},
        weights_{.gate = weights.gate.source, .up = weights.up.source, .down = weights.down.source},
        hidden_(weights.gate.in_features),
        intermediate_(weights.gate.out_features) {}
  kernels::ExpertShape shape() const {
    return {.num_tokens = offsets_[1],
            .num_rows = offsets_[1],
            .num_experts = 1,
            .hidden = hidden_,
            .intermediate = intermediate_,
            .offsets = offsets_,
            .row_token = nullptr};
  }
  const kernels::ExpertWeights* weights() const { return &weights_; }

 private:
  int64_t offsets_[2];
  kernels::ExpertWeights weights_;
  int64_t hidden_, intermediate_;
};

// z, and with `y` (not undefined) a and y.
void forward(const at::Tensor& x_TD, const MlpWeights& weights, const at::Tensor& z_TI2, const at::Tensor& y_TD) {
  const DenseExpert expert(x_TD.size(0), weights);
  const kernels::ExpertShape shape = expert.shape();
  DSLITE_CHECK_ROWS(x_TD, x_TD.scalar_type(), shape.num_tokens, shape.hidden);
  at::Tensor a_TI;
  if (y_TD.defined()) a_TI = at::empty({shape.num_tokens, shape.intermediate}, x_TD.scalar_type());
  const int64_t scratch_bytes = kernels::expert_forward_scratch_bytes(shape, num_threads());
  kernels::expert_forward(kernel_context(scratch_bytes), {.shape = shape,
                                                          .weights = expert.weights(),
                                                          .x = const_matrix(x_TD),
                                                          .z = matrix(z_TI2),
                                                          .a = matrix(a_TI),
                                                          .y = matrix(y_TD)});
}

at::Tensor empty_z(const at::Tensor& x_TD, const MlpWeights& weights) {
  return at::empty({x_TD.size(0), 2 * weights.gate.out_features}, x_TD.scalar_type());
}

}  // namespace

at::Tensor swiglu_mlp(const at::Tensor& x_TD, const MlpWeights& weights, MlpSaved* saved) {
  const at::Tensor z_TI2 = empty_z(x_TD, weights);
  at::Tensor y_TD = at::empty({x_TD.size(0), weights.down.out_features}, x_TD.scalar_type());
  forward(x_TD, weights, z_TI2, y_TD);
  if (saved) *saved = {.x_TD = x_TD, .z_TI2 = z_TI2};
  return y_TD;
}

void add_swiglu_mlp_gradient(const MlpSaved& saved, const MlpWeights& weights, const at::Tensor& dy_TD,
                             GradientSum& dx_TD) {
  const DenseExpert expert(dy_TD.size(0), weights);
  const kernels::ExpertShape shape = expert.shape();
  DSLITE_CHECK_ROWS(dy_TD, saved.x_TD.scalar_type(), shape.num_tokens, shape.hidden);
  at::Tensor z_TI2 = saved.z_TI2;
  if (!z_TI2.defined()) {
    z_TI2 = empty_z(saved.x_TD, weights);
    forward(saved.x_TD, weights, z_TI2, {});
  }
  const at::Tensor dz_TI2 = at::empty_like(z_TI2);
  at::Tensor a_TI;  // made again only for the down projection's gradient
  if (weights.down.trained) a_TI = at::empty({shape.num_tokens, shape.intermediate}, z_TI2.scalar_type());
  if (!dx_TD.sum.defined()) dx_TD.sum = at::empty({shape.num_tokens, shape.hidden}, at::kFloat);
  DSLITE_CHECK_TENSOR(dx_TD.sum, at::kFloat, shape.num_tokens, shape.hidden);
  const int64_t scratch_bytes = kernels::expert_input_gradient_scratch_bytes(shape, num_threads());
  kernels::expert_input_gradient(kernel_context(scratch_bytes), {.shape = shape,
                                                                 .weights = expert.weights(),
                                                                 .row_weights = nullptr,
                                                                 .d_out = const_matrix(dy_TD),
                                                                 .z = const_matrix(z_TI2),
                                                                 .ds = nullptr,
                                                                 .dz = matrix(dz_TI2),
                                                                 .scaled_a = matrix(a_TI),
                                                                 .dx_rows = matrix(dx_TD.sum),
                                                                 .accumulate = !dx_TD.empty});
  dx_TD.empty = false;
  if (weights.down.trained) add_linear_weight_gradient(a_TI, dy_TD, weights.down);
  add_linear_weight_gradient(saved.x_TD, dz_TI2.slice(1, 0, shape.intermediate), weights.gate);
  add_linear_weight_gradient(saved.x_TD, dz_TI2.slice(1, shape.intermediate), weights.up);
}

}  // namespace dslite::ops
