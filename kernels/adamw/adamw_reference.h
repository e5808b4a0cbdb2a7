// One AdamW step and the split of a master weight in plain loops: the oracle of every test.
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

namespace dslite::kernels {

template <class Real>
struct AdamWReference {
  Real learning_rate, beta1, beta2, eps, weight_decay, bias_correction1, bias_correction2, gradient_scale;
};
// All vectors of one length; weight and moments are replaced.
template <class Real>
void adamw_reference(const AdamWReference<Real>& settings, const std::vector<Real>& gradient, std::vector<Real>* weight,
                     std::vector<Real>* exp_avg, std::vector<Real>* exp_avg_sq);

// {bf16 bits, low} of finite fp32 bits: bits = bf16 * 65536 + low, low in [-32768, 32767].
std::pair<uint16_t, int16_t> split_master_reference(uint32_t bits);

}  // namespace dslite::kernels
