// a = silu(gate) * up, silu(x) = x / (1 + e^-x); z = [gate | up]. Arithmetic in fp32 on the values of z as stored. (Shazeer, arXiv:2002.05202)
// Backward: d_gate = da * up * s * (1 + gate * (1 - s)), d_up = da * gate * s, s = 1 / (1 + e^-gate).
#pragma once
#include "kernels/common/context.h"

namespace dslite::kernels {

// z [rows, 2I] -> a [rows, I]
void swiglu_forward(const Context& context, int64_t num_rows, int64_t intermediate, ConstMatrix z, Matrix a);

// da [rows, I] -> dz [rows, 2I]. With `row_scale` [rows] (the routing weights s of an expert's rows): dz is made from s * da, and besides
// ds [rows] fp32 = sum_i da_i * a_i (the gradient of s; a as forward stored it in z's dtype), scaled_a [rows, I] = s * a (the operand of the down projection's weight gradient).
// Without it (null) ds is null and scaled_a, if given, is a itself. The row sum is in one fixed order.
struct SwigluBackward {
  int64_t num_rows, intermediate;
  ConstMatrix z, da;
  const float* row_scale;
  Matrix dz;
  Matrix scaled_a;  // data null: not wanted
  float* ds;
};
void swiglu_backward(const Context& context, const SwigluBackward& arguments);

}  // namespace dslite::kernels
