// Rotary position embedding of adjacent pairs. T tokens, H heads, R rotated dims.
#pragma once
#include "kernels/rope/rope.h"
#include "src/ops/types.h"

namespace dslite::ops {

// in, out [T, H, R] with any strides over tokens and heads (views of wider tensors); of one dtype they may be the same.
// positions [T] int32, each within the table. The way back is mla_attention_backward's.
void rope(const at::Tensor& in_THR, const at::Tensor& out_THR, const at::Tensor& positions_T, const RopeTable& table);

// The same for kernels that rotate as they go.
kernels::RopeAngles rope_angles(const RopeTable& table, const at::Tensor& positions_T, int64_t rotated);

}  // namespace dslite::ops
