// RMSNorm in plain loops.
#include "kernels/rms_norm/rms_norm_reference.h"

#include <cmath>

namespace dslite::kernels {

template <class T>
void rms_norm_forward_reference(const RmsNormForwardReference<T>& a) {
  for (int64_t t = 0; t < a.num_rows; ++t) {
    const auto h = [&](int64_t d) { return a.x[t * a.width + d] + (a.residual ? a.residual[t * a.width + d] : T(0)); };
    T squares = 0;
    for (int64_t d = 0; d < a.width; ++d) squares += h(d) * h(d);
    const T rstd = 1 / std::sqrt(squares / static_cast<T>(a.width) + a.eps);
    for (int64_t d = 0; d < a.width; ++d) {
      a.y[t * a.width + d] = h(d) * rstd * a.weight[d];
      if (a.h) a.h[t * a.width + d] = h(d);
    }
    if (a.rstd) a.rstd[t] = rstd;
  }
}

template <class T>
void rms_norm_backward_reference(const RmsNormBackwardReference<T>& a) {
  for (int64_t d = 0; a.dw && d < a.width; ++d) a.dw[d] = 0;
  for (int64_t t = 0; t < a.num_rows; ++t) {
    const T *h = a.h + t * a.width, *dy = a.dy + t * a.width;
    T mean = 0;
    for (int64_t d = 0; d < a.width; ++d) mean += h[d] * a.weight[d] * dy[d];
    mean /= static_cast<T>(a.width);
    for (int64_t d = 0; d < a.width; ++d) {
      const T through = a.rstd[t] * (a.weight[d] * dy[d] - h[d] * a.rstd[t] * a.rstd[t] * mean);
      a.dh[t * a.width + d] = through + (a.d_residual ? a.d_residual[t * a.width + d] : T(0));
      if (a.dw) a.dw[d] += dy[d] * h[d] * a.rstd[t];
    }
  }
}

template void rms_norm_forward_reference(const RmsNormForwardReference<float>&);
template void rms_norm_forward_reference(const RmsNormForwardReference<double>&);
template void rms_norm_backward_reference(const RmsNormBackwardReference<float>&);
template void rms_norm_backward_reference(const RmsNormBackwardReference<double>&);

}  // namespace dslite::kernels
