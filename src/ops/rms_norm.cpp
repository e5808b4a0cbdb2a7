#include "src/ops/rms_norm.h"

#include <ATen/ops/empty.h>

#include "kernels/rms_norm/rms_norm.h"
#include "src/base/parallel_for.h"
#include "src/ops/check.h"
#include "src/ops/context.h"
#include "src/ops/matrix.h"

namespace dslite::ops {
namespace {

NormedSum forward(const at::Tensor& x_TD, const at::Tensor& residual_TD, const Parameter& weight, float eps,
                  RmsNormSaved* saved) {
  const int64_t rows = x_TD.size(0), width = x_TD.size(1);
  DSLITE_CHECK_ROWS(x_TD, x_TD.scalar_type(), rows, width);
  DSLITE_CHECK_TENSOR(weight.value, weight.value.scalar_type(), width);
  if (residual_TD.defined()) DSLITE_CHECK_ROWS(residual_TD, x_TD.scalar_type(), rows, width);
  NormedSum out{.h_TD = residual_TD.defined() ? at::empty({rows, width}, x_TD.scalar_type()) : x_TD,
                .y_TD = at::empty({rows, width}, x_TD.scalar_type())};
  at::Tensor rstd_T;
  if (saved) rstd_T = at::empty({rows}, at::kFloat);
  kernels::rms_norm_forward(kernel_context(), {.num_rows = rows,
                                               .width = width,
                                               .eps = eps,
                                               .x = const_matrix(x_TD),
                                               .residual = const_matrix(residual_TD),
                                               .weight = weight.value.const_data_ptr(),
                                               .weight_dtype = kernel_dtype(weight.value.scalar_type()),
                                               .h = residual_TD.defined() ? matrix(out.h_TD) : kernels::Matrix{},
                                               .y = matrix(out.y_TD),
                                               .rstd = saved ? rstd_T.data_ptr<float>() : nullptr});
  if (saved) *saved = {.h_TD = out.h_TD, .rstd_T = rstd_T};
  return out;
}

}  // namespace

at::Tensor rms_norm(const at::Tensor& x_TD, const Parameter& weight, float eps, RmsNormSaved* saved) {
  return forward(x_TD, {}, weight, eps, saved).y_TD;
}

NormedSum rms_norm_of_sum(const at::Tensor& x_TD, const at::Tensor& residual_TD, const Parameter& weight, float eps,
                          RmsNormSaved* saved) {
  return forward(x_TD, residual_TD, weight, eps, saved);
}

at::Tensor rms_norm_backward(const RmsNormSaved& saved, Parameter& weight, const at::Tensor& dy_TD,
                             const at::Tensor& d_residual_TD) {
  at::Tensor dh_TD = at::empty(saved.h_TD.sizes(), saved.h_TD.scalar_type());
  rms_norm_backward(saved, weight, dy_TD, d_residual_TD, dh_TD);
  return dh_TD;
}

void rms_norm_backward(const RmsNormSaved& saved, Parameter& weight, const at::Tensor& dy_TD,
                       const at::Tensor& d_residual_TD, const at::Tensor& dh_TD) {
  const int64_t rows = saved.h_TD.size(0), width = saved.h_TD.size(1);
  DSLITE_CHECK_ROWS(dy_TD, dy_TD.scalar_type(), rows, width);
  DSLITE_CHECK_ROWS(dh_TD, saved.h_TD.scalar_type(), rows, width);
  if (d_residual_TD.defined()) DSLITE_CHECK_ROWS(d_residual_TD, d_residual_TD.scalar_type(), rows, width);
  const int64_t scratch_bytes = kernels::rms_norm_backward_scratch_bytes(rows, width, num_threads());
  kernels::rms_norm_backward(kernel_context(scratch_bytes),
                             {.num_rows = rows,
                              .width = width,
                              .h = const_matrix(saved.h_TD),
                              .rstd = saved.rstd_T.const_data_ptr<float>(),
                              .weight = weight.value.const_data_ptr(),
                              .weight_dtype = kernel_dtype(weight.value.scalar_type()),
                              .dy = const_matrix(dy_TD),
                              .d_residual = const_matrix(d_residual_TD),
                              .dh = matrix(dh_TD),
                              .dw = weight.trained() ? weight.grad.data_ptr<float>() : nullptr,
                              .accumulate_dw = !weight.grad_empty});
  if (weight.trained()) weight.grad_empty = false;
}

}  // namespace dslite::ops
