// Tiny random models for generation: with and without query compression, dense and routed layers, YaRN.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "src/model/deepseek_v2.h"
#include "tests/support/tensors.h"

namespace dslite::test {

inline ModelConfig tiny_config(bool query_compression = false) {
  ModelConfig c;
  c.vocab_size = 53, c.hidden_size = 32, c.num_hidden_layers = 3, c.num_attention_heads = 3;
  c.intermediate_size = 40, c.moe_intermediate_size = 20;
  c.kv_lora_rank = 18, c.qk_nope_head_dim = 10, c.qk_rope_head_dim = 6, c.v_head_dim = 12;
  c.n_routed_experts = 6, c.n_shared_experts = 1, c.num_experts_per_tok = 2, c.first_k_dense_replace = 1;
  c.max_position_embeddings = 200;
  c.rope_scaling =
      YarnScaling{.factor = 4, .mscale = 0.707, .mscale_all_dim = 0.707, .original_max_position_embeddings = 50};
  if (query_compression) c.q_lora_rank = 14;
  return c;
}

inline std::unique_ptr<DeepseekV2> tiny_model(const ModelConfig& config, at::ScalarType dtype = at::kFloat) {
  auto model = std::make_unique<DeepseekV2>(config, ModelOptions{.dtype = dtype, .trained = {}});
  uint64_t seed = 1;
  for (Parameter* parameter : model->parameters()) {
    at::Tensor value = random_tensor(parameter->value.sizes(), seed++, 0.3);
    if (parameter->value.dim() == 1) value += 1;
    parameter->value.copy_(value);
  }
  return model;
}

inline std::vector<int32_t> random_tokens(int64_t count, int64_t vocabulary, uint64_t seed) {
  std::vector<int32_t> tokens(count);
  for (int64_t i = 0; i < count; ++i) {
    tokens[i] = static_cast<int32_t>((random_value(seed, i) + 1) / 2 * static_cast<float>(vocabulary));
  }
  return tokens;
}

// Logits of every token by the training forward, [T, V].
inline at::Tensor full_logits(const DeepseekV2& model, const std::vector<int32_t>& tokens) {
  const auto count = static_cast<int64_t>(tokens.size());
  std::vector<int32_t> positions(count);
  for (int64_t i = 0; i < count; ++i) positions[i] = static_cast<int32_t>(i);
  const Sequence sequence{.positions = int_tensor(positions), .q_offsets = {0, count}, .kv_offsets = {0, count}};
  return model.logits(model.forward({.tokens = tokens, .sequence = &sequence}, nullptr).hidden);
}

}  // namespace dslite::test
