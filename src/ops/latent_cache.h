// Pages of latents: what attention keeps of earlier tokens. S sequences, C = kv_lora_rank + qk_rope_head_dim.
#pragma once
#include "src/ops/types.h"

namespace dslite::ops {

// Writes rows [latent | k_rope] of this forward's tokens to the places kv_length - n .. kv_length of each sequence,
// k_rope [T, R] (perhaps a range of columns) rotated on the way.
void append_latents(const at::Tensor& latent_TL, const at::Tensor& k_rope_TR, const RopeTable& rope_table,
                    const Sequence& sequence, const LatentCacheView& cache);
// All kv_lengths[s] tokens of every sequence, one after another: [kv_offsets.back(), C].
at::Tensor gather_latents(const Sequence& sequence, const LatentCacheView& cache);

}  // namespace dslite::ops
