// Latent decode in plain loops: the oracle. T = float or double.
#pragma once
#include <cstdint>

namespace dslite::kernels {

template <class T>
struct LatentDecodeReference {
  int64_t num_heads, kv_lora_rank, qk_rope_head_dim;
  T scale;
  int64_t num_tokens;
  const T* cache;              // [tokens, L + R] of one sequence, in order
  const T *q_latent, *q_rope;  // [H, L], [H, R]
  T* out;                      // [H, L]
};
template <class T>
void latent_decode_reference(const LatentDecodeReference<T>& a);

}  // namespace dslite::kernels
