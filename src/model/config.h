// The model's configuration, read strictly from a Hugging Face config.json (names as there; DeepSeek-V2, arXiv:2405.04434, Appendix B).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/base/json.h"

namespace dslite {

struct YarnScaling {
  double factor = 1, beta_fast = 32, beta_slow = 1, mscale = 1, mscale_all_dim = 0;
  int64_t original_max_position_embeddings = 0;
  bool operator==(const YarnScaling&) const = default;
};

struct ModelConfig {
  int64_t vocab_size = 0, hidden_size = 0, num_hidden_layers = 0, num_attention_heads = 0;
  int64_t intermediate_size = 0, moe_intermediate_size = 0;
  std::optional<int64_t> q_lora_rank;              // null: no query compression
  int64_t kv_lora_rank = 0, qk_nope_head_dim = 0, qk_rope_head_dim = 0, v_head_dim = 0;
  std::optional<int64_t> n_routed_experts;         // null: every layer is dense
  int64_t n_shared_experts = 0;                    // 0: none
  int64_t num_experts_per_tok = 0, first_k_dense_replace = 0, moe_layer_freq = 1;
  int64_t n_group = 1, topk_group = 1;
  bool group_limited = false;                      // topk_method group_limited_greedy
  bool norm_topk_prob = false;
  double routed_scaling_factor = 1.0, aux_loss_alpha = 0.001;
  int64_t max_position_embeddings = 0;
  double rope_theta = 10000, rms_norm_eps = 1e-6, initializer_range = 0.02;
  std::optional<YarnScaling> rope_scaling;
  bool tie_word_embeddings = false;
  std::optional<int64_t> bos_token_id, eos_token_id;
  std::string torch_dtype = "bfloat16";            // "float32" or "bfloat16"
  Json original;                                   // the file as read: unknown keys are kept on export

  int64_t qk_head_dim() const { return qk_nope_head_dim + qk_rope_head_dim; }
  bool is_moe_layer(int64_t layer) const { return n_routed_experts && layer >= first_k_dense_replace && layer % moe_layer_freq == 0; }
  double softmax_scale() const;                    // qk_head_dim^-1/2 * mscale(factor, mscale_all_dim)^2
};

// UserError for missing structural keys, wrong types and known keys with unsupported values; unknown keys go to `warnings`.
ModelConfig parse_model_config(const Json& json, const std::string& where, std::vector<std::string>* warnings);
ModelConfig read_model_config(const std::string& path, std::vector<std::string>* warnings);
// config.json for an export: known keys in the published spelling, unknown keys kept, no auto_map.
Json model_config_json(const ModelConfig& config);

struct ParameterCounts {
  int64_t total = 0, active = 0, num_tensors = 0;  // active: read per token (K of the routed experts, the head whole, no embedding)
  int64_t embedding = 0, lm_head = 0, attention = 0, norms = 0, dense_mlp = 0, router = 0, shared_experts = 0, routed_experts = 0;
};
ParameterCounts count_parameters(const ModelConfig& config);

// Every tensor of the model by its Hugging Face per-expert name, in the order of the layers, with its shape. Nothing is allocated.
struct TensorSpec {
  std::string name;
  std::vector<int64_t> shape;
  int64_t num_elements() const;
};
std::vector<TensorSpec> tensor_specs(const ModelConfig& config);

}  // namespace dslite
