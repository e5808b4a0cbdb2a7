// The experts in plain loops, directly from y = down (silu(gate x) * (up x)).
#include "kernels/expert_gemm/expert_gemm_reference.h"

#include <cmath>
#include <vector>

namespace dslite::kernels {
namespace {

template <class T>
T store(const ExpertReference<T>& f, T value) {
  return f.stored ? f.stored(value) : value;
}

}  // namespace

template <class T>
void expert_forward_reference(const ExpertReference<T>& f) {
  const int64_t D = f.hidden, I = f.intermediate;
  for (int64_t e = 0; e < f.num_experts; ++e) {
    const ReferenceExpert<T>& w = f.weights[e];
    for (int64_t r = f.offsets[e]; r < f.offsets[e + 1]; ++r) {
      const T* x = f.x + f.row_token[r] * D;
      for (int64_t i = 0; i < I; ++i) {
        T gate = 0, up = 0;
        for (int64_t d = 0; d < D; ++d) gate += w.gate[i * D + d] * x[d], up += w.up[i * D + d] * x[d];
        gate = store(f, gate), up = store(f, up);
        f.z[r * 2 * I + i] = gate, f.z[r * 2 * I + I + i] = up;
        f.a[r * I + i] = store(f, gate / (1 + std::exp(-gate)) * up);
      }
      for (int64_t d = 0; d < D; ++d) {
        T sum = 0;
        for (int64_t i = 0; i < I; ++i) sum += w.down[d * I + i] * f.a[r * I + i];
        f.y[r * D + d] = sum;
      }
    }
  }
}

template <class T>
void expert_backward_reference(const ExpertBackwardReference<T>& b) {
  const ExpertReference<T>& f = b.forward;
  const int64_t D = f.hidden, I = f.intermediate;
  std::vector<T> d_gate(I), d_up(I);
  for (int64_t e = 0; e < f.num_experts; ++e) {
    const ReferenceExpert<T>&w = f.weights[e], &dw = b.gradients[e];
    for (int64_t r = f.offsets[e]; r < f.offsets[e + 1]; ++r) {
      const T *x = f.x + f.row_token[r] * D, *d_out = b.d_out + f.row_token[r] * D;
      b.ds[r] = 0;
      for (int64_t i = 0; i < I; ++i) {
        T da = 0;
        for (int64_t d = 0; d < D; ++d) da += d_out[d] * w.down[d * I + i];
        const T gate = f.z[r * 2 * I + i], up = f.z[r * 2 * I + I + i], a = f.a[r * I + i],
                s = 1 / (1 + std::exp(-gate));
        b.ds[r] += da * a;
        da *= b.row_weights[r];
        d_gate[i] = store(f, da * up * s * (1 + gate * (1 - s)));
        d_up[i] = store(f, da * gate * s);
        const T scaled_a = store(f, b.row_weights[r] * a);
        for (int64_t d = 0; d < D; ++d) {
          if (dw.gate) dw.gate[i * D + d] += d_gate[i] * x[d];
          if (dw.up) dw.up[i * D + d] += d_up[i] * x[d];
          if (dw.down) dw.down[d * I + i] += d_out[d] * scaled_a;
        }
      }
      for (int64_t d = 0; d < D; ++d) {
        T sum = 0;
        for (int64_t i = 0; i < I; ++i) sum += d_gate[i] * w.gate[i * D + d] + d_up[i] * w.up[i * D + d];
        b.dx_rows[r * D + d] = sum;
      }
    }
  }
}

template void expert_forward_reference<float>(const ExpertReference<float>&);
template void expert_forward_reference<double>(const ExpertReference<double>&);
template void expert_backward_reference<float>(const ExpertBackwardReference<float>&);
template void expert_backward_reference<double>(const ExpertBackwardReference<double>&);

}  // namespace dslite::kernels
