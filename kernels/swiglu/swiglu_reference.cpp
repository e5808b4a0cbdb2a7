// a = silu(gate) * up and its gradient in plain loops.
#include "kernels/swiglu/swiglu_reference.h"

#include <cmath>

namespace dslite::kernels {

template <class T>
void swiglu_forward_reference(int64_t num_rows, int64_t intermediate, const T* z, T* a) {
  for (int64_t r = 0; r < num_rows; ++r) {
    for (int64_t i = 0; i < intermediate; ++i) {
      const T gate = z[r * 2 * intermediate + i], up = z[r * 2 * intermediate + intermediate + i];
      a[r * intermediate + i] = gate / (1 + std::exp(-gate)) * up;
    }
  }
}

template <class T>
void swiglu_backward_reference(const SwigluBackwardReference<T>& arguments) {
  const int64_t width = arguments.intermediate;
  for (int64_t r = 0; r < arguments.num_rows; ++r) {
    const T scale = arguments.row_scale ? arguments.row_scale[r] : T(1);
    T ds = 0;
    for (int64_t i = 0; i < width; ++i) {
      const T gate = arguments.z[r * 2 * width + i], up = arguments.z[r * 2 * width + width + i];
      const T da = arguments.da[r * width + i], s = 1 / (1 + std::exp(-gate)), a = gate * s * up;
      ds += da * a;
      arguments.dz[r * 2 * width + i] = scale * da * up * s * (1 + gate * (1 - s));
      arguments.dz[r * 2 * width + width + i] = scale * da * gate * s;
      if (arguments.scaled_a) arguments.scaled_a[r * width + i] = scale * a;
    }
    if (arguments.ds) arguments.ds[r] = ds;
  }
}

template void swiglu_forward_reference<float>(int64_t, int64_t, const float*, float*);
template void swiglu_forward_reference<double>(int64_t, int64_t, const double*, double*);
template void swiglu_backward_reference<float>(const SwigluBackwardReference<float>&);
template void swiglu_backward_reference<double>(const SwigluBackwardReference<double>&);

}  // namespace dslite::kernels
