// Queries as both directions of attention read them: rotated on the way into their packing. For X_cpu.cpp only.
#pragma once
#include "kernels/attention/attention.h"
#include "kernels/common/rotate.h"

namespace dslite::kernels::DSLITE_ISA {

// One head of query `row` [N + R]: as it lies; rotated and rounded to its dtype.
template <class T>
DSLITE_INLINE const T* query_at(const AttentionShape& s, const AttentionInputs& inputs, int64_t row, int64_t head) {
  return static_cast<const T*>(inputs.q) + (row * s.num_heads + head) * (s.qk_nope_head_dim + s.qk_rope_head_dim);
}
template <class T>
DSLITE_INLINE void rotated_query(const AttentionShape& s, const AttentionInputs& inputs, int64_t row, int64_t head,
                                 T* out) {
  const int64_t nope = s.qk_nope_head_dim, rope = s.qk_rope_head_dim;
  const T* q = query_at<T>(s, inputs, row, head);
  std::memcpy(out, q, static_cast<size_t>(nope) * sizeof(T));
  rotate_row(q + nope, rope, angle_at(inputs.rope, inputs.rope.positions, row, rope, 1), out + nope);
}

}  // namespace dslite::kernels::DSLITE_ISA
