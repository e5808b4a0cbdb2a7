// Absorbed MLA attention for decoding: the cache keeps per token the normed latent (L) and the rotated k_rope (R),
// shared by all heads (arXiv:2405.04434, sec. 2.1.2). One query a sequence: score_j = scale * (q_latent . latent_j +
// q_rope . k_rope_j), out = sum_j softmax(score)_j latent_j; the caller multiplies q_nope by W_uk before and out by
// W_uv after. B sequences, H heads. Pages: a sequence's token j lies in page block_table[b, j / page_tokens] at row j %
// page_tokens.
#pragma once
#include "kernels/common/context.h"

namespace dslite::kernels {

struct LatentPages {
  const void* data;  // [num_pages, page_tokens, L + R], latent then k_rope
  DType dtype;
  int64_t page_tokens;
  const int32_t* block_table;  // [B, max_pages]
  int64_t max_pages;
  const int64_t* kv_lengths;  // [B] tokens that the query sees, itself included; >= 1
};

struct LatentDecode {
  int64_t num_sequences, num_heads, kv_lora_rank, qk_rope_head_dim;
  float scale;
  LatentPages pages;
  const float* q_latent;  // [B, H, L]
  const float* q_rope;    // [B, H, R] rotated
  float* out;             // [B, H, L]
};
int64_t latent_decode_scratch_bytes(const LatentDecode& arguments, int num_threads);
// The cache is split by length in fixed blocks merged in ascending order: a sequence's bits depend on its own tokens
// alone.
void latent_decode(const Context& context, const LatentDecode& arguments);

}  // namespace dslite::kernels
