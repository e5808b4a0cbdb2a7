// Causal MLA attention in its expanded form over packed segments (DeepSeek-V2, arXiv:2405.04434, sec. 2.1; online
// softmax of FlashAttention-2, arXiv:2307.08691). Segment s owns queries q_offsets[s] .. q_offsets[s+1] and keys
// kv_offsets[s] .. kv_offsets[s+1]; query i of a segment with n queries and m keys (m >= n) sees keys 0 .. m - n + i.
// score = scale * (q_nope . k_nope + q_rope . k_rope), out = softmax(score) v; softmax in fp32. k_rope is one head
// shared by all H. q is rotated (kernels/rope/rope.h) and rounded to its dtype in registers while it is packed; its
// gradient and that of k_rope are rotated back in fp32 while they are written. Memory is linear in tokens. T queries, S
// keys, H heads, N query-key dims without RoPE, R with (even), V value dims.
#pragma once
#include "kernels/common/context.h"
#include "kernels/rope/rope.h"

namespace dslite::kernels {

struct AttentionShape {
  int64_t num_heads, qk_nope_head_dim, qk_rope_head_dim, v_head_dim;
  int64_t num_queries, num_keys, num_segments;
  const int64_t* q_offsets;   // [segments + 1]
  const int64_t* kv_offsets;  // [segments + 1]
  float scale;
};

// q, kv and k_rope of one dtype. Rows are contiguous.
struct AttentionInputs {
  DType dtype;
  const void* q;       // [T, H, N + R], not rotated
  const void* kv;      // [S, H, N + V], k_nope then v (kv_b_proj's output)
  const void* k_rope;  // [S, R], rotated
  RopeAngles rope;     // of the queries
};

// out [T, H, V] of the inputs' dtype; lse [T, H] fp32 = log sum exp of the scaled scores, null when not wanted (the
// bits of out are the same).
int64_t attention_forward_scratch_bytes(const AttentionShape& shape, int num_threads);
void attention_forward(const Context& context, const AttentionShape& shape, const AttentionInputs& inputs, void* out,
                       float* lse);

// Gradients of the inputs' dtype, overwritten: d_q [T, H, N + R], d_kv [S, H, N + V], d_k_rope [S, R] of what was not
// yet rotated (per-head partials summed in head order). Deterministic for any number of threads. Five products per
// block: S = q k^T, dP = dO v^T, dV += P^T dO, dK += dS^T q, dQ += dS k with P = exp(scale S - lse), dS = scale P (dP -
// rowsum(dO o)).
struct AttentionBackward {
  const void* out;               // [T, H, V] from forward
  const float* lse;              // [T, H]
  const void* d_out;             // [T, H, V]
  const int32_t* key_positions;  // [S]
  void* d_q;
  void* d_kv;
  void* d_k_rope;
  int64_t d_k_rope_row_stride;  // elements
};
int64_t attention_backward_scratch_bytes(const AttentionShape& shape, int num_threads);
void attention_backward(const Context& context, const AttentionShape& shape, const AttentionInputs& inputs,
                        const AttentionBackward& backward);

}  // namespace dslite::kernels
