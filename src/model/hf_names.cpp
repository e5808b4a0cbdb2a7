// Names and shapes of every tensor, as DeepSeek's published files have them: weights are [out, in].
#include "src/model/config.h"

#include <fmt/format.h>

namespace dslite {
namespace {

void add_mlp(std::vector<TensorSpec>& specs, const std::string& prefix, int64_t hidden, int64_t width) {
  specs.push_back({prefix + "gate_proj.weight", {width, hidden}});
  specs.push_back({prefix + "up_proj.weight", {width, hidden}});
  specs.push_back({prefix + "down_proj.weight", {hidden, width}});
}

void add_attention(std::vector<TensorSpec>& specs, const std::string& prefix, const ModelConfig& c) {
  const int64_t heads = c.num_attention_heads, q_width = heads * c.qk_head_dim();
  if (c.q_lora_rank) {
    specs.push_back({prefix + "q_a_proj.weight", {*c.q_lora_rank, c.hidden_size}});
    specs.push_back({prefix + "q_a_layernorm.weight", {*c.q_lora_rank}});
    specs.push_back({prefix + "q_b_proj.weight", {q_width, *c.q_lora_rank}});
  } else {
    specs.push_back({prefix + "q_proj.weight", {q_width, c.hidden_size}});
  }
  specs.push_back({prefix + "kv_a_proj_with_mqa.weight", {c.kv_lora_rank + c.qk_rope_head_dim, c.hidden_size}});
  specs.push_back({prefix + "kv_a_layernorm.weight", {c.kv_lora_rank}});
  specs.push_back({prefix + "kv_b_proj.weight", {heads * (c.qk_nope_head_dim + c.v_head_dim), c.kv_lora_rank}});
  specs.push_back({prefix + "o_proj.weight", {c.hidden_size, heads * c.v_head_dim}});
}

void add_moe(std::vector<TensorSpec>& specs, const std::string& prefix, const ModelConfig& c) {
  specs.push_back({prefix + "gate.weight", {*c.n_routed_experts, c.hidden_size}});
  for (int64_t e = 0; e < *c.n_routed_experts; ++e) {
    add_mlp(specs, fmt::format("{}experts.{}.", prefix, e), c.hidden_size, c.moe_intermediate_size);
  }
  if (c.n_shared_experts > 0) {
    add_mlp(specs, prefix + "shared_experts.", c.hidden_size, c.n_shared_experts * c.moe_intermediate_size);
  }
}

}  // namespace

int64_t TensorSpec::num_elements() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

std::vector<TensorSpec> tensor_specs(const ModelConfig& config) {
  std::vector<TensorSpec> specs;
  specs.push_back({"model.embed_tokens.weight", {config.vocab_size, config.hidden_size}});
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const std::string prefix = fmt::format("model.layers.{}.", layer);
    specs.push_back({prefix + "input_layernorm.weight", {config.hidden_size}});
    add_attention(specs, prefix + "self_attn.", config);
    specs.push_back({prefix + "post_attention_layernorm.weight", {config.hidden_size}});
    if (config.is_moe_layer(layer)) {
      add_moe(specs, prefix + "mlp.", config);
    } else {
      add_mlp(specs, prefix + "mlp.", config.hidden_size, config.intermediate_size);
    }
  }
  specs.push_back({"model.norm.weight", {config.hidden_size}});
  if (!config.tie_word_embeddings) specs.push_back({"lm_head.weight", {config.vocab_size, config.hidden_size}});
  return specs;
}

}  // namespace dslite
