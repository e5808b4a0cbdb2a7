// RMSNorm in plain loops, contiguous rows: the oracle. No rounding between steps. T = float or double.
#pragma once
#include <cstdint>

namespace dslite::kernels {

// residual null: h = x. h, rstd may be null.
template <class T>
struct RmsNormForwardReference {
  int64_t num_rows, width;
  T eps;
  const T *x, *residual, *weight;  // [rows, width], [rows, width], [width]
  T *h, *y, *rstd;                 // [rows, width], [rows, width], [rows]
};
template <class T>
void rms_norm_forward_reference(const RmsNormForwardReference<T>& a);

// dw is overwritten; d_residual, dw may be null.
template <class T>
struct RmsNormBackwardReference {
  int64_t num_rows, width;
  const T *h, *rstd, *weight, *dy, *d_residual;
  T *dh, *dw;
};
template <class T>
void rms_norm_backward_reference(const RmsNormBackwardReference<T>& a);

}  // namespace dslite::kernels
