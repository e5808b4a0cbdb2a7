// Parameters by part, and how many of them a token reads (DeepSeek-V2, arXiv:2405.04434: V2-Lite 15.7B and 2.4B, V2
// 236B and 21B).
#include "src/model/config.h"

namespace dslite {

ParameterCounts count_parameters(const ModelConfig& c) {
  ParameterCounts counts;
  const int64_t heads = c.num_attention_heads, layers = c.num_hidden_layers, hidden = c.hidden_size;
  int64_t moe_layers = 0;
  for (int64_t layer = 0; layer < layers; ++layer) moe_layers += c.is_moe_layer(layer);
  const int64_t experts = c.n_routed_experts.value_or(0), expert = 3 * hidden * c.moe_intermediate_size;

  const int64_t q_width = heads * c.qk_head_dim();
  const int64_t query = c.q_lora_rank ? *c.q_lora_rank * (hidden + q_width) : hidden * q_width;
  const int64_t key_value =
      hidden * (c.kv_lora_rank + c.qk_rope_head_dim) + c.kv_lora_rank * heads * (c.qk_nope_head_dim + c.v_head_dim);
  counts.embedding = c.vocab_size * hidden;
  counts.lm_head = c.tie_word_embeddings ? 0 : c.vocab_size * hidden;
  counts.attention = layers * (query + key_value + heads * c.v_head_dim * hidden);
  counts.norms = layers * (2 * hidden + c.kv_lora_rank + c.q_lora_rank.value_or(0)) + hidden;
  counts.dense_mlp = (layers - moe_layers) * 3 * hidden * c.intermediate_size;
  counts.router = moe_layers * experts * hidden;
  counts.shared_experts = moe_layers * c.n_shared_experts * expert;
  counts.routed_experts = moe_layers * experts * expert;

  const int64_t always = counts.attention + counts.norms + counts.dense_mlp + counts.router + counts.shared_experts;
  counts.total = counts.embedding + counts.lm_head + always + counts.routed_experts;
  // The head (the embedding when tied) is read whole; looking up one row of the embedding is not counted.
  counts.active = c.vocab_size * hidden + always + moe_layers * c.num_experts_per_tok * expert;
  const int64_t attention_tensors = (c.q_lora_rank ? 3 : 1) + 4;
  counts.num_tensors = 2 + (c.tie_word_embeddings ? 0 : 1) + layers * (2 + attention_tensors) +
                       (layers - moe_layers) * 3 + moe_layers * (1 + 3 * experts + (c.n_shared_experts > 0 ? 3 : 0));
  return counts;
}

}  // namespace dslite
