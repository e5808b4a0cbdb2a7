// RMSNorm with an optional residual: h = x + residual (rounded to the dtype), y = round(h * rstd) * weight, rstd = 1 /
// sqrt(mean(h^2) + eps) in fp32 (Zhang and Sennrich, arXiv:1910.07467). As transformers: the normalised row is rounded
// to the input dtype before it is multiplied by the weight. Backward: dh = rstd * (w dy - h rstd^2 mean(h w dy)) +
// d_residual; dw = sum_t dy h rstd, by partials of fixed row blocks added in order.
#pragma once
#include "kernels/common/context.h"

namespace dslite::kernels {

constexpr int64_t kRmsNormBlockRows = 64;  // rows of one task and of one partial of dw

struct RmsNormForward {
  int64_t num_rows, width;
  float eps;
  ConstMatrix x;
  ConstMatrix residual;  // data null: h = x and `h` is not written
  const void* weight;    // [width]
  DType weight_dtype;
  Matrix h;     // [rows, width], written only with a residual
  Matrix y;     // [rows, width]
  float* rstd;  // [rows], or null in inference
};
void rms_norm_forward(const Context& context, const RmsNormForward& arguments);

struct RmsNormBackward {
  int64_t num_rows, width;
  ConstMatrix h;  // the normalised input as forward saw it
  const float* rstd;
  const void* weight;
  DType weight_dtype;
  ConstMatrix dy;
  ConstMatrix d_residual;  // gradient that reaches h past the norm; data null: none
  Matrix dh;
  float* dw;  // [width] fp32, or null when frozen
  bool accumulate_dw;
};
int64_t rms_norm_backward_scratch_bytes(int64_t num_rows, int64_t width, int num_threads);
void rms_norm_backward(const Context& context, const RmsNormBackward& arguments);

}  // namespace dslite::kernels
