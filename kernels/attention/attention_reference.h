// Causal MLA attention over packed segments in plain loops: the oracle. T = float or double; layouts and meanings as in
// attention.h.
#pragma once
#include "kernels/attention/attention.h"

namespace dslite::kernels {

template <class T>
struct AttentionInputsReference {
  const T *q, *kv, *k_rope;
  const int32_t* positions;
  const T *cos, *sin;
};
template <class T>
void attention_forward_reference(const AttentionShape& shape, const AttentionInputsReference<T>& inputs, T* out,
                                 T* lse);

template <class T>
struct AttentionBackwardReference {
  const T* d_out;
  const int32_t* key_positions;
  T *d_q, *d_kv, *d_k_rope;  // d_k_rope's rows are contiguous
};
template <class T>
void attention_backward_reference(const AttentionShape& shape, const AttentionInputsReference<T>& inputs,
                                  const AttentionBackwardReference<T>& backward);

}  // namespace dslite::kernels
