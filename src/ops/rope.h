// Rotary position embedding of adjacent pairs. T tokens, H heads, R rotated dims.
#pragma once
#include "src/ops/types.h"

namespace dslite::ops {

// in, out [T, H, R] of one dtype with any strides over tokens and heads (views of wider tensors); they may be the same.
// positions [T] int32, each within the table. `inverse` rotates back: the gradient.
void rope(const at::Tensor& in_THR, const at::Tensor& out_THR, const at::Tensor& positions_T, const RopeTable& table,
          bool inverse = false);

}  // namespace dslite::ops
