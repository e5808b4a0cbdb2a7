// RMSNorm with an optional residual, forward and backward. T rows, D columns.
#pragma once
#include "src/ops/types.h"

namespace dslite::ops {

struct RmsNormSaved {
  at::Tensor h_TD;    // the normalised input (x, or x + residual)
  at::Tensor rstd_T;  // fp32
};

// y = h * rstd * weight of x's dtype. x may be a range of columns.
at::Tensor rms_norm(const at::Tensor& x_TD, const Parameter& weight, float eps, RmsNormSaved* saved);

struct NormedSum {
  at::Tensor h_TD;  // x + residual
  at::Tensor y_TD;
};
NormedSum rms_norm_of_sum(const at::Tensor& x_TD, const at::Tensor& residual_TD, const Parameter& weight, float eps,
                          RmsNormSaved* saved);

// dh [T, D] of h's dtype, plus d_residual where given (the gradient that reaches h past the norm). Adds to the weight's
// gradient when it is trained. The second form writes into `dh`, which may be a range of columns.
at::Tensor rms_norm_backward(const RmsNormSaved& saved, Parameter& weight, const at::Tensor& dy_TD,
                             const at::Tensor& d_residual_TD);
void rms_norm_backward(const RmsNormSaved& saved, Parameter& weight, const at::Tensor& dy_TD,
                       const at::Tensor& d_residual_TD, const at::Tensor& dh_TD);

}  // namespace dslite::ops
