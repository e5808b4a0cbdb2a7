// Rotary embedding in plain loops: the oracle. T = float or double; x is [tokens, heads, rotated], contiguous.
#pragma once
#include <cstdint>

namespace dslite::kernels {

template <class T>
struct RopeReference {
  int64_t num_tokens, num_heads, rotated;
  const int32_t* positions;  // [T]
  const T *cos, *sin;        // [max_position, rotated / 2]
  const T* in;
  T* out;
};
template <class T>
void rope_reference(const RopeReference<T>& a);

}  // namespace dslite::kernels
