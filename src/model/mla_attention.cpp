// Queries with or without compression, the latent and the shared rotated key, attention, output projection; and the
// same backwards.
#include "src/model/mla_attention.h"

#include <ATen/ops/empty.h>

namespace dslite {
namespace {

constexpr float kLatentNormEps = 1e-6f;  // of q_a_layernorm and kv_a_layernorm, whatever rms_norm_eps says

}  // namespace

QueryProjection::QueryProjection(const ModelConfig& config, const ParameterSet& parameters, const std::string& prefix)
    : out_proj_(parameters.at(prefix + (config.q_lora_rank ? "q_b_proj.weight" : "q_proj.weight"))) {
  if (!config.q_lora_rank) return;
  compression_.emplace(Compression{.a_proj = Linear(parameters.at(prefix + "q_a_proj.weight")),
                                   .a_norm = {parameters.at(prefix + "q_a_layernorm.weight"), kLatentNormEps}});
}

at::Tensor QueryProjection::forward(const at::Tensor& x_TD, Saved* saved) const {
  if (!compression_) return out_proj_.forward(x_TD);
  const at::Tensor normed_TC =
      compression_->a_norm.forward(compression_->a_proj.forward(x_TD), saved ? &saved->norm : nullptr);
  if (saved) saved->normed_TC = normed_TC;
  return out_proj_.forward(normed_TC);
}

void QueryProjection::backward(const Saved& saved, const at::Tensor& x_TD, const at::Tensor& d_q_TQ,
                               GradientSum& dx_TD) const {
  if (!compression_) return out_proj_.backward(x_TD, d_q_TQ, dx_TD);
  const at::Tensor d_normed_TC = out_proj_.backward(saved.normed_TC, d_q_TQ);
  const at::Tensor d_compressed_TC = compression_->a_norm.backward(saved.norm, d_normed_TC);
  compression_->a_proj.backward(x_TD, d_compressed_TC, dx_TD);
}

MlaAttention::MlaAttention(const ModelConfig& config, const ParameterSet& parameters, const std::string& prefix,
                           const RopeTable& rope_table)
    : shape_{.num_heads = config.num_attention_heads,
             .qk_nope_head_dim = config.qk_nope_head_dim,
             .qk_rope_head_dim = config.qk_rope_head_dim,
             .v_head_dim = config.v_head_dim,
             .kv_lora_rank = config.kv_lora_rank,
             .scale = static_cast<float>(config.softmax_scale())},
      rope_table_(rope_table),
      q_proj_(config, parameters, prefix),
      kv_a_proj_(parameters.at(prefix + "kv_a_proj_with_mqa.weight")),
      kv_a_norm_{parameters.at(prefix + "kv_a_layernorm.weight"), kLatentNormEps},
      kv_b_proj_(parameters.at(prefix + "kv_b_proj.weight")),
      o_proj_(parameters.at(prefix + "o_proj.weight")) {}

at::Tensor MlaAttention::forward(const at::Tensor& x_TD, const Sequence& sequence, const LatentCacheView* cache,
                                 Saved* saved) const {
  const at::Tensor q_TQ = q_proj_.forward(x_TD, saved ? &saved->query : nullptr);
  const at::Tensor kv_a = kv_a_proj_.forward(x_TD);  // [T, L + R]: all that a cache keeps
  const at::Tensor latent_TL =
      kv_a_norm_.forward(kv_a.slice(1, 0, shape_.kv_lora_rank), saved ? &saved->kv_a_norm : nullptr);
  const at::Tensor k_rope_TR = kv_a.slice(1, shape_.kv_lora_rank);
  const at::Tensor out_TV =
      ops::mla_attention({.q_TQ = q_TQ, .latent_TL = latent_TL, .k_rope_TR = k_rope_TR}, kv_b_proj_.weight, shape_,
                         rope_table_, sequence, cache, saved ? &saved->attention : nullptr);
  if (saved) saved->x_TD = x_TD;
  return o_proj_.forward(out_TV);
}

void MlaAttention::backward(const Saved& saved, const Sequence& sequence, const at::Tensor& dy_TD,
                            GradientSum& dx_TD) const {
  const at::Tensor d_out_TV = o_proj_.backward(saved.attention.out_TV, dy_TD);
  const at::Tensor d_kv_a =
      at::empty({dy_TD.size(0), shape_.kv_lora_rank + shape_.qk_rope_head_dim}, dy_TD.scalar_type());
  const ops::MlaGradient gradient =
      ops::mla_attention_backward(saved.attention, kv_b_proj_.weight, shape_, rope_table_, sequence, d_out_TV,
                                  d_kv_a.slice(1, shape_.kv_lora_rank));
  kv_a_norm_.backward_into(d_kv_a.slice(1, 0, shape_.kv_lora_rank), saved.kv_a_norm, gradient.d_latent_TL);
  q_proj_.backward(saved.query, saved.x_TD, gradient.d_q_TQ, dx_TD);
  kv_a_proj_.backward(saved.x_TD, d_kv_a, dx_TD);
}

}  // namespace dslite
