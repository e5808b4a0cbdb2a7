#include "kernels/adamw/adamw_reference.h"

#include <cmath>

namespace dslite::kernels {

template <class Real>
void adamw_reference(const AdamWReference<Real>& settings, const std::vector<Real>& gradient, std::vector<Real>* weight,
                     std::vector<Real>* exp_avg, std::vector<Real>* exp_avg_sq) {
  const auto& s = settings;
  for (size_t i = 0; i < weight->size(); ++i) {
    const Real g = gradient[i] * s.gradient_scale;
    Real& m = (*exp_avg)[i];
    Real& v = (*exp_avg_sq)[i];
    m = s.beta1 * m + (1 - s.beta1) * g;
    v = s.beta2 * v + (1 - s.beta2) * g * g;
    Real& w = (*weight)[i];
    w = w * (1 - s.learning_rate * s.weight_decay) -
        s.learning_rate * (m / s.bias_correction1) / (std::sqrt(v / s.bias_correction2) + s.eps);
  }
}

std::pair<uint16_t, int16_t> split_master_reference(uint32_t bits) {
  const int64_t sign = bits >> 31, magnitude = bits & 0x7fffffff;
  const int64_t value = (magnitude + 32768) / 65536;  // nearest multiple of 65536, half up
  return {static_cast<uint16_t>(sign * 32768 + value), static_cast<int16_t>(magnitude - value * 65536)};
}

template void adamw_reference(const AdamWReference<float>&, const std::vector<float>&, std::vector<float>*,
                              std::vector<float>*, std::vector<float>*);
template void adamw_reference(const AdamWReference<double>&, const std::vector<double>&, std::vector<double>*,
                              std::vector<double>*, std::vector<double>*);

}  // namespace dslite::kernels
