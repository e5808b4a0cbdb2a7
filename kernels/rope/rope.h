// Rotary position embedding of adjacent pairs (x0, x1), (x2, x3), ... (Su et al., arXiv:2104.09864; YaRN,
// arXiv:2309.00071, lives in the table). Arithmetic in fp32. (x0, x1) -> (x0 cos - x1 sin, x0 sin + x1 cos), angle of
// pair i at position p = table[p, i]. The way back (the gradient) is attention's, in its writes.
#pragma once
#include "kernels/common/context.h"

namespace dslite::kernels {

// Not read when R = 0.
struct RopeAngles {
  const int32_t* positions;  // [T]
  const float* cos;          // [max_position, R / 2], already times the cos/sin multiplier
  const float* sin;
};

struct Rope {
  int64_t num_tokens, num_heads, rotated;  // `rotated` = R, even
  RopeAngles angles;
  // Token t, head h starts at data + t * token_stride + h * head_stride (elements). in and out of one dtype may be the
  // same.
  const void* in;
  void* out;
  DType in_dtype, out_dtype;
  int64_t in_token_stride, in_head_stride, out_token_stride, out_head_stride;
};
void rope(const Context& context, const Rope& arguments);

}  // namespace dslite::kernels
