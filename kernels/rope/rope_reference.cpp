// Rotary embedding in plain loops.
#include "kernels/rope/rope_reference.h"

namespace dslite::kernels {

template <class T>
void rope_reference(const RopeReference<T>& a) {
  const int64_t half = a.rotated / 2;
  for (int64_t t = 0; t < a.num_tokens; ++t) {
    for (int64_t h = 0; h < a.num_heads; ++h) {
      const T* in = a.in + (t * a.num_heads + h) * a.rotated;
      T* out = a.out + (t * a.num_heads + h) * a.rotated;
      for (int64_t i = 0; i < half; ++i) {
        const T cos = a.cos[a.positions[t] * half + i], sin = a.sin[a.positions[t] * half + i];
        const T x0 = in[2 * i], x1 = in[2 * i + 1];
        out[2 * i] = x0 * cos - x1 * sin;
        out[2 * i + 1] = x0 * sin + x1 * cos;
      }
    }
  }
}

template void rope_reference(const RopeReference<float>&);
template void rope_reference(const RopeReference<double>&);

}  // namespace dslite::kernels
