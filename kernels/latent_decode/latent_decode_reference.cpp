// Latent decode of one sequence in plain loops.
#include "kernels/latent_decode/latent_decode_reference.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace dslite::kernels {

template <class T>
void latent_decode_reference(const LatentDecodeReference<T>& a) {
  const int64_t latent = a.kv_lora_rank, rope = a.qk_rope_head_dim, width = latent + rope;
  for (int64_t h = 0; h < a.num_heads; ++h) {
    std::vector<T> p(a.num_tokens);
    for (int64_t j = 0; j < a.num_tokens; ++j) {
      for (int64_t i = 0; i < latent; ++i) p[j] += a.q_latent[h * latent + i] * a.cache[j * width + i];
      for (int64_t i = 0; i < rope; ++i) p[j] += a.q_rope[h * rope + i] * a.cache[j * width + latent + i];
      p[j] *= a.scale;
    }
    const T highest = *std::max_element(p.begin(), p.end());
    T total = 0;
    for (T& value : p) total += value = std::exp(value - highest);
    for (int64_t i = 0; i < latent; ++i) {
      T sum = 0;
      for (int64_t j = 0; j < a.num_tokens; ++j) sum += p[j] * a.cache[j * width + i];
      a.out[h * latent + i] = sum / total;
    }
  }
}

template void latent_decode_reference(const LatentDecodeReference<float>&);
template void latent_decode_reference(const LatentDecodeReference<double>&);

}  // namespace dslite::kernels
