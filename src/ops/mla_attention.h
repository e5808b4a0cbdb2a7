// The attention of MLA (DeepSeek-V2, arXiv:2405.04434, sec. 2.1) between its projections: rotary embedding,
// up-projection of the latents, causal attention over segments. T tokens, S keys, H heads; per head N query-key dims
// without RoPE, R with, V value dims; L latent rank; Q = H (N + R).
#pragma once
#include "src/ops/types.h"

namespace dslite::ops {

struct MlaShape {
  int64_t num_heads, qk_nope_head_dim, qk_rope_head_dim, v_head_dim, kv_lora_rank;
  float scale;  // of the scores
};

struct MlaInput {
  at::Tensor q_TQ;       // each head N then R; not rotated
  at::Tensor latent_TL;  // normed
  at::Tensor k_rope_TR;  // not rotated; may be a range of columns
};

struct MlaSaved {
  at::Tensor q_TQ;  // not rotated
  at::Tensor latent_TL;
  at::Tensor k_rope_TR;  // rotated
  at::Tensor out_TV;     // [T, H V]
  at::Tensor lse_TH;     // fp32
};

// out [T, H V]. Without a cache the keys are the tokens themselves. With one, the tokens' latents and rotated k_rope
// are appended to its pages; then a forward of one token a sequence reads the pages in the absorbed form, any other
// expands the latents of every sequence.
at::Tensor mla_attention(const MlaInput& input, const WeightRef& kv_b, const MlaShape& shape,
                         const RopeTable& rope_table, const Sequence& sequence, const LatentCacheView* cache,
                         MlaSaved* saved);

struct MlaGradient {
  at::Tensor d_q_TQ;
  at::Tensor d_latent_TL;
};
// Writes the gradient of the unrotated k_rope into `d_k_rope` (may be a range of columns); adds to the gradient of kv_b
// when it is trained.
MlaGradient mla_attention_backward(const MlaSaved& saved, const WeightRef& kv_b, const MlaShape& shape,
                                   const RopeTable& rope_table, const Sequence& sequence, const at::Tensor& d_out_TV,
                                   const at::Tensor& d_k_rope_TR);

}  // namespace dslite::ops
