// Rotary embedding: one task per block of tokens.
#include "kernels/common/rotate.h"
#include "kernels/rope/rope.h"

namespace dslite::kernels::DSLITE_ISA {
namespace {

constexpr int64_t kBlockTokens = 32;

template <class In, class Out>
void rope_block(void* state, int64_t block, int) {
  const auto& a = *static_cast<const Rope*>(state);
  const int64_t end = smaller((block + 1) * kBlockTokens, a.num_tokens);
  for (int64_t t = block * kBlockTokens; t < end; ++t) {
    const Angle angle = angle_at(a.angles, a.angles.positions, t, a.rotated, 1);
    for (int64_t h = 0; h < a.num_heads; ++h) {
      rotate_row(static_cast<const In*>(a.in) + t * a.in_token_stride + h * a.in_head_stride, a.rotated, angle,
                 static_cast<Out*>(a.out) + t * a.out_token_stride + h * a.out_head_stride);
    }
  }
}

template <class In>
TaskFunction block_of(DType out) {
  return out == DType::kFloat32 ? &rope_block<In, float> : &rope_block<In, uint16_t>;
}

}  // namespace

void rope(const Context& context, const Rope& a) {
  context.parallel_for((a.num_tokens + kBlockTokens - 1) / kBlockTokens,
                       a.in_dtype == DType::kFloat32 ? block_of<float>(a.out_dtype) : block_of<uint16_t>(a.out_dtype),
                       const_cast<Rope*>(&a));
}

}  // namespace dslite::kernels::DSLITE_ISA
