#include "src/ops/mla_attention.h"

#include <ATen/ops/empty.h>

#include "kernels/attention/attention.h"
#include "kernels/latent_decode/latent_decode.h"
#include "src/base/parallel_for.h"
#include "src/ops/check.h"
#include "src/ops/context.h"
#include "src/ops/latent_cache.h"
#include "src/ops/linear.h"
#include "src/ops/matrix.h"
#include "src/ops/rope.h"

namespace dslite::ops {
namespace {

// The rotated part of every head: a view [T, H, R].
at::Tensor rope_part(const at::Tensor& q_TQ, const MlaShape& shape) {
  return q_TQ.view({q_TQ.size(0), shape.num_heads, -1}).slice(2, shape.qk_nope_head_dim);
}

kernels::AttentionShape attention_shape(const MlaShape& shape, const Sequence& sequence) {
  return {.num_heads = shape.num_heads,
          .qk_nope_head_dim = shape.qk_nope_head_dim,
          .qk_rope_head_dim = shape.qk_rope_head_dim,
          .v_head_dim = shape.v_head_dim,
          .num_queries = sequence.num_tokens(),
          .num_keys = sequence.kv_offsets.back(),
          .num_segments = sequence.num_segments(),
          .q_offsets = sequence.q_offsets.data(),
          .kv_offsets = sequence.kv_offsets.data(),
          .scale = shape.scale};
}

kernels::AttentionInputs attention_inputs(const at::Tensor& q_TQ, const at::Tensor& kv, const at::Tensor& k_rope_SR,
                                          const RopeTable& rope_table, const Sequence& sequence) {
  return {.dtype = kernel_dtype(q_TQ.scalar_type()),
          .q = q_TQ.const_data_ptr(),
          .kv = kv.const_data_ptr(),
          .k_rope = k_rope_SR.const_data_ptr(),
          .rope = rope_angles(rope_table, sequence.positions, k_rope_SR.size(1))};
}

// Attention over expanded keys and values: kv [S, H (N + V)] = latents W^T.
at::Tensor expanded(const at::Tensor& q_TQ, const at::Tensor& latent_SL, const at::Tensor& k_rope_SR,
                    const WeightRef& kv_b, const MlaShape& shape, const RopeTable& rope_table, const Sequence& sequence,
                    at::Tensor* lse_TH) {
  const at::Tensor kv = linear(latent_SL, kv_b, latent_SL.scalar_type());
  at::Tensor out_TV = at::empty({q_TQ.size(0), shape.num_heads * shape.v_head_dim}, q_TQ.scalar_type());
  if (lse_TH) *lse_TH = at::empty({q_TQ.size(0), shape.num_heads}, at::kFloat);
  const kernels::AttentionShape kernel_shape = attention_shape(shape, sequence);
  const int64_t scratch_bytes = kernels::attention_forward_scratch_bytes(kernel_shape, num_threads());
  kernels::attention_forward(kernel_context(scratch_bytes), kernel_shape,
                             attention_inputs(q_TQ, kv, k_rope_SR, rope_table, sequence), out_TV.data_ptr(),
                             lse_TH ? lse_TH->data_ptr<float>() : nullptr);
  return out_TV;
}

// `rows` rows of W from `begin`: a part of kv_b that belongs to one head.
WeightRef rows_of(const WeightRef& weight, int64_t begin, int64_t rows) {
  WeightRef part = weight;
  const int64_t element_bytes = weight.source.dtype == kernels::DType::kFloat32 ? 4 : 2;
  part.source.data = static_cast<const char*>(weight.source.data) + begin * weight.source.row_stride * element_bytes;
  part.out_features = rows;
  part.trained = nullptr;
  return part;
}

// One query a sequence: score = (q_nope W_uk) . latent + q_rope . k_rope, out = (P latent) W_uv, per head.
at::Tensor absorbed(const at::Tensor& q_BQ, const WeightRef& kv_b, const MlaShape& shape, const RopeTable& rope_table,
                    const Sequence& sequence, const LatentCacheView& cache) {
  const int64_t sequences = q_BQ.size(0), heads = shape.num_heads, rank = shape.kv_lora_rank;
  const int64_t nope = shape.qk_nope_head_dim, qk = nope + shape.qk_rope_head_dim, value = shape.v_head_dim;
  const at::Tensor q_latent_BHL = at::empty({sequences, heads * rank}, at::kFloat),
                   out_latent_BHL = at::empty({sequences, heads * rank}, at::kFloat),
                   q_rope_BHR = at::empty({sequences, heads, shape.qk_rope_head_dim}, at::kFloat);
  rope(rope_part(q_BQ, shape), q_rope_BHR, sequence.positions, rope_table);
  for (int64_t h = 0; h < heads; ++h) {
    linear_input_gradient(q_BQ.slice(1, h * qk, h * qk + nope), rows_of(kv_b, h * (nope + value), nope),
                          q_latent_BHL.slice(1, h * rank, (h + 1) * rank));
  }
  kernels::LatentDecode arguments{.num_sequences = sequences,
                                  .num_heads = heads,
                                  .kv_lora_rank = rank,
                                  .qk_rope_head_dim = shape.qk_rope_head_dim,
                                  .scale = shape.scale,
                                  .pages = {.data = cache.pages.const_data_ptr(),
                                            .dtype = kernel_dtype(cache.pages.scalar_type()),
                                            .page_tokens = cache.pages.size(1),
                                            .block_table = cache.block_table.const_data_ptr<int32_t>(),
                                            .max_pages = cache.block_table.size(1),
                                            .kv_lengths = cache.kv_lengths.data()},
                                  .q_latent = q_latent_BHL.const_data_ptr<float>(),
                                  .q_rope = q_rope_BHR.const_data_ptr<float>(),
                                  .out = out_latent_BHL.data_ptr<float>()};
  const int64_t scratch_bytes = kernels::latent_decode_scratch_bytes(arguments, num_threads());
  kernels::latent_decode(kernel_context(scratch_bytes), arguments);
  at::Tensor out_BV = at::empty({sequences, heads * value}, q_BQ.scalar_type());
  for (int64_t h = 0; h < heads; ++h) {
    linear(out_latent_BHL.slice(1, h * rank, (h + 1) * rank), rows_of(kv_b, h * (nope + value) + nope, value),
           out_BV.slice(1, h * value, (h + 1) * value));
  }
  return out_BV;
}

bool one_token_each(const Sequence& sequence) {
  return sequence.num_tokens() == sequence.num_segments();
}  // segments are never empty

void check_input(const MlaInput& input, const WeightRef& kv_b, const MlaShape& shape, const Sequence& sequence) {
  const int64_t tokens = sequence.num_tokens();
  const at::ScalarType dtype = input.q_TQ.scalar_type();
  DSLITE_CHECK_TENSOR(input.q_TQ, dtype, tokens, shape.num_heads * (shape.qk_nope_head_dim + shape.qk_rope_head_dim));
  DSLITE_CHECK_TENSOR(input.latent_TL, dtype, tokens, shape.kv_lora_rank);
  DSLITE_CHECK_ROWS(input.k_rope_TR, dtype, tokens, shape.qk_rope_head_dim);
  DSLITE_ASSERT(kv_b.out_features == shape.num_heads * (shape.qk_nope_head_dim + shape.v_head_dim) &&
                kv_b.in_features == shape.kv_lora_rank);
}

}  // namespace

at::Tensor mla_attention(const MlaInput& input, const WeightRef& kv_b, const MlaShape& shape,
                         const RopeTable& rope_table, const Sequence& sequence, const LatentCacheView* cache,
                         MlaSaved* saved) {
  check_input(input, kv_b, shape, sequence);
  if (cache) {
    DSLITE_ASSERT(!saved);
    append_latents(input.latent_TL, input.k_rope_TR, rope_table, sequence, *cache);
    if (one_token_each(sequence)) return absorbed(input.q_TQ, kv_b, shape, rope_table, sequence, *cache);
    const at::Tensor rows_SC = gather_latents(sequence, *cache);
    const at::Tensor latent_SL = rows_SC.slice(1, 0, shape.kv_lora_rank),
                     prefix_rope_SR = rows_SC.slice(1, shape.kv_lora_rank).contiguous();
    return expanded(input.q_TQ, latent_SL, prefix_rope_SR, kv_b, shape, rope_table, sequence, nullptr);
  }
  const at::Tensor k_rope_TR = at::empty(input.k_rope_TR.sizes(), input.k_rope_TR.scalar_type());
  rope(input.k_rope_TR.unsqueeze(1), k_rope_TR.unsqueeze(1), sequence.positions, rope_table);
  at::Tensor lse_TH;
  const at::Tensor out_TV =
      expanded(input.q_TQ, input.latent_TL, k_rope_TR, kv_b, shape, rope_table, sequence, saved ? &lse_TH : nullptr);
  if (saved)
    *saved = {
        .q_TQ = input.q_TQ, .latent_TL = input.latent_TL, .k_rope_TR = k_rope_TR, .out_TV = out_TV, .lse_TH = lse_TH};
  return out_TV;
}

MlaGradient mla_attention_backward(const MlaSaved& saved, const WeightRef& kv_b, const MlaShape& shape,
                                   const RopeTable& rope_table, const Sequence& sequence, const at::Tensor& d_out_TV,
                                   const at::Tensor& d_k_rope_TR) {
  const int64_t tokens = sequence.num_tokens();  // training: the keys are the tokens themselves
  DSLITE_CHECK_TENSOR(d_out_TV, saved.out_TV.scalar_type(), tokens, saved.out_TV.size(1));
  DSLITE_CHECK_ROWS(d_k_rope_TR, saved.out_TV.scalar_type(), tokens, shape.qk_rope_head_dim);
  const at::Tensor kv = linear(saved.latent_TL, kv_b, saved.latent_TL.scalar_type());  // made again: 8 times the latent
  const at::Tensor d_q_TQ = at::empty_like(saved.q_TQ), d_kv = at::empty_like(kv);
  const kernels::AttentionShape kernel_shape = attention_shape(shape, sequence);
  const int64_t scratch_bytes = kernels::attention_backward_scratch_bytes(kernel_shape, num_threads());
  kernels::attention_backward(kernel_context(scratch_bytes), kernel_shape,
                              attention_inputs(saved.q_TQ, kv, saved.k_rope_TR, rope_table, sequence),
                              {.out = saved.out_TV.const_data_ptr(),
                               .lse = saved.lse_TH.const_data_ptr<float>(),
                               .d_out = d_out_TV.const_data_ptr(),
                               .key_positions = sequence.positions.const_data_ptr<int32_t>(),
                               .d_q = d_q_TQ.data_ptr(),
                               .d_kv = d_kv.data_ptr(),
                               .d_k_rope = d_k_rope_TR.data_ptr(),
                               .d_k_rope_row_stride = d_k_rope_TR.stride(0)});
  add_linear_weight_gradient(saved.latent_TL, d_kv, kv_b);
  return {.d_q_TQ = d_q_TQ, .d_latent_TL = linear_input_gradient(d_kv, kv_b)};
}

}  // namespace dslite::ops
