// Rotary embedding: one task per block of tokens. The pairs of a head are split into an even and an odd row so that the
// rotation runs over lanes.
#include "kernels/common/simd.h"
#include "kernels/common/typed.h"
#include "kernels/rope/rope.h"

namespace dslite::kernels::DSLITE_ISA {
namespace {

constexpr int64_t kBlockTokens = 32;
constexpr int64_t kChunkPairs = 64;

float read(const void* p, DType dtype, int64_t i) {
  return dtype == DType::kFloat32 ? static_cast<const float*>(p)[i] : widen(static_cast<const uint16_t*>(p)[i]);
}
void write(void* p, DType dtype, int64_t i, float value) {
  if (dtype == DType::kFloat32) {
    static_cast<float*>(p)[i] = value;
  } else {
    static_cast<uint16_t*>(p)[i] = narrow(value);
  }
}

// Rotates `pairs` <= kChunkPairs adjacent pairs. The angle's sine comes with its sign.
void rotate(const void* in, void* out, DType dtype, int64_t pairs, const float* cos, const float* sin, float sign) {
  float even[kChunkPairs], odd[kChunkPairs];
  for (int64_t i = 0; i < pairs; ++i) {
    even[i] = read(in, dtype, 2 * i);
    odd[i] = read(in, dtype, 2 * i + 1);
  }
  for (int64_t i = 0; i < pairs; ++i) {
    const float x0 = even[i], x1 = odd[i], s = sign * sin[i];
    even[i] = x0 * cos[i] - x1 * s;
    odd[i] = x0 * s + x1 * cos[i];
  }
  for (int64_t i = 0; i < pairs; ++i) {
    write(out, dtype, 2 * i, even[i]);
    write(out, dtype, 2 * i + 1, odd[i]);
  }
}

void rope_block(void* state, int64_t block, int) {
  const auto& a = *static_cast<const Rope*>(state);
  const int64_t half = a.rotated / 2;
  const float sign = a.inverse ? -1.0f : 1.0f;
  const int64_t end = (block + 1) * kBlockTokens < a.num_tokens ? (block + 1) * kBlockTokens : a.num_tokens;
  for (int64_t t = block * kBlockTokens; t < end; ++t) {
    const float *cos = a.cos + a.positions[t] * half, *sin = a.sin + a.positions[t] * half;
    for (int64_t h = 0; h < a.num_heads; ++h) {
      const void* in = at_element(a.in, a.dtype, t * a.in_token_stride + h * a.in_head_stride);
      void* out = at_element(a.out, a.dtype, t * a.out_token_stride + h * a.out_head_stride);
      for (int64_t i = 0; i < half; i += kChunkPairs) {
        const int64_t pairs = half - i < kChunkPairs ? half - i : kChunkPairs;
        rotate(at_element(in, a.dtype, 2 * i), at_element(out, a.dtype, 2 * i), a.dtype, pairs, cos + i, sin + i, sign);
      }
    }
  }
}

}  // namespace

void rope(const Context& context, const Rope& arguments) {
  context.parallel_for((arguments.num_tokens + kBlockTokens - 1) / kBlockTokens, rope_block,
                       const_cast<Rope*>(&arguments));
}

}  // namespace dslite::kernels::DSLITE_ISA
