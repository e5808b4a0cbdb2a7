// Dispatch of attention and the sizes of its scratch.
#include "kernels/attention/attention.h"

#include "kernels/attention/attention_blocks.h"
#include "kernels/common/contract.h"
#include "kernels/common/dispatch.h"

namespace dslite::kernels {
namespace {

int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

[[maybe_unused]] bool is_shape(const AttentionShape& s) {
  if (s.num_heads < 0 || s.qk_nope_head_dim < 0 || s.qk_rope_head_dim < 0 || s.qk_rope_head_dim % 2 != 0) return false;
  if (s.v_head_dim < 0 || s.num_segments < 0 || !is_ascending(s.q_offsets, s.num_segments, s.num_queries)) return false;
  if (!is_ascending(s.kv_offsets, s.num_segments, s.num_keys)) return false;
  for (int64_t i = 0; i < s.num_segments; ++i)
    if (s.kv_offsets[i + 1] - s.kv_offsets[i] < s.q_offsets[i + 1] - s.q_offsets[i]) return false;
  return true;
}
[[maybe_unused]] bool are_inputs(const AttentionShape& s, const AttentionInputs& x) {
  const int64_t rotated = s.num_queries * s.num_heads * s.qk_rope_head_dim;
  return is_given(x.q, s.num_queries * s.num_heads * (s.qk_nope_head_dim + s.qk_rope_head_dim)) &&
         is_given(x.kv, s.num_keys * s.num_heads * (s.qk_nope_head_dim + s.v_head_dim)) &&
         is_given(x.k_rope, s.num_keys * s.qk_rope_head_dim) && is_given(x.rope.positions, rotated) &&
         is_given(x.rope.cos, rotated) && is_given(x.rope.sin, rotated);
}

}  // namespace

DSLITE_DECLARE_FOR_EACH_SET(void attention_forward(const Context&, const AttentionShape&, const AttentionInputs&, void*,
                                                   float*);
                            void attention_backward(const Context&, const AttentionShape&, const AttentionInputs&,
                                                    const AttentionBackward&);)

int64_t attention_forward_thread_floats(const AttentionShape& shape) {
  const int64_t depth = shape.qk_nope_head_dim + shape.qk_rope_head_dim,
                values = round_up(shape.v_head_dim, kAttentionWidest);
  const int64_t queries = kAttentionQueryBlock, keys = kAttentionKeyBlock;
  return round_up(queries * (depth + values + 2) + keys * (depth + values + kAttentionColumns) + depth, 16);
}

int64_t attention_longest_segment(const AttentionShape& shape) {
  int64_t longest = 0;
  for (int64_t s = 0; s < shape.num_segments; ++s) {
    const int64_t n = shape.q_offsets[s + 1] - shape.q_offsets[s];
    if (n > longest) longest = n;
  }
  return round_up(longest, kAttentionBackwardQueries);
}

int64_t attention_backward_thread_floats(const AttentionShape& shape) {
  const int64_t depth = round_up(shape.qk_nope_head_dim + shape.qk_rope_head_dim, kAttentionWidest);
  const int64_t values = round_up(shape.v_head_dim, kAttentionWidest);
  const int64_t per_query = 2 * depth + values + 2, per_key = 4 * depth + 2 * values;
  return round_up(
      attention_longest_segment(shape) * per_query + kAttentionKeyBlock * (per_key + 3 * kAttentionBackwardQueries),
      16);
}

int64_t attention_forward_scratch_bytes(const AttentionShape& shape, int num_threads) {
  return round_up((shape.num_segments + 1) * 8, 64) + num_threads * attention_forward_thread_floats(shape) * 4;
}

void attention_forward(const Context& context, const AttentionShape& shape, const AttentionInputs& inputs, void* out,
                       float* lse) {
  DSLITE_CONTRACT(is_shape(shape) && are_inputs(shape, inputs));
  DSLITE_CONTRACT(is_usable(context, attention_forward_scratch_bytes(shape, context.num_threads)));
  DSLITE_CONTRACT(is_given(out, shape.num_queries * shape.num_heads * shape.v_head_dim));
  DSLITE_DISPATCH(context, attention_forward(context, shape, inputs, out, lse));
}

int64_t attention_backward_scratch_bytes(const AttentionShape& shape, int num_threads) {
  return round_up(shape.num_keys * shape.num_heads * shape.qk_rope_head_dim * 4, 64) +
         num_threads * attention_backward_thread_floats(shape) * 4;
}

void attention_backward(const Context& context, const AttentionShape& shape, const AttentionInputs& inputs,
                        const AttentionBackward& backward) {
  DSLITE_CONTRACT(is_shape(shape) && are_inputs(shape, inputs));
  DSLITE_CONTRACT(is_usable(context, attention_backward_scratch_bytes(shape, context.num_threads)));
  const int64_t heads = shape.num_queries * shape.num_heads, keys = shape.num_keys * shape.qk_rope_head_dim;
  DSLITE_CONTRACT(is_given(backward.out, heads * shape.v_head_dim) && is_given(backward.lse, heads));
  DSLITE_CONTRACT(is_given(backward.d_out, heads * shape.v_head_dim) && is_given(backward.key_positions, keys));
  DSLITE_CONTRACT(is_given(backward.d_q, heads * (shape.qk_nope_head_dim + shape.qk_rope_head_dim)));
  DSLITE_CONTRACT(is_matrix(Matrix{backward.d_k_rope, inputs.dtype, backward.d_k_rope_row_stride}, shape.num_keys,
                            shape.qk_rope_head_dim));
  DSLITE_DISPATCH(context, attention_backward(context, shape, inputs, backward));
}

}  // namespace dslite::kernels
