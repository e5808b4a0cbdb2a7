// Known keys of config.json, and config.json for an export in the spelling that every reader of the family understands.
#include <algorithm>

#include "src/model/config.h"
#include "src/model/config_keys.h"

namespace dslite {

const std::vector<std::string>& known_config_keys() {
  static const std::vector<std::string> keys = {
      "architectures", "attention_bias", "attention_dropout", "aux_loss_alpha", "bos_token_id", "dtype", "eos_token_id",
      "first_k_dense_replace", "head_dim", "hidden_act", "hidden_size", "initializer_range", "intermediate_size",
      "kv_lora_rank", "max_position_embeddings", "mlp_bias", "model_type", "moe_intermediate_size", "moe_layer_freq",
      "n_group", "n_routed_experts", "n_shared_experts", "norm_topk_prob", "num_attention_heads", "num_experts_per_tok",
      "num_hidden_layers", "num_key_value_heads", "q_lora_rank", "qk_head_dim", "qk_nope_head_dim", "qk_rope_head_dim",
      "quantization_config", "rms_norm_eps", "rope_parameters", "rope_scaling", "rope_theta", "routed_scaling_factor",
      "scoring_func", "seq_aux", "tie_word_embeddings", "topk_group", "topk_method", "torch_dtype", "v_head_dim",
      "vocab_size",
      // No effect on the numbers:
      "_name_or_path", "auto_map", "ep_size", "output_router_logits", "pad_token_id", "pretraining_tp",
      "transformers_version", "use_cache"};
  return keys;
}
const std::vector<std::string>& known_rope_keys() {
  static const std::vector<std::string> keys = {"attention_factor",
                                                "beta_fast",
                                                "beta_slow",
                                                "factor",
                                                "mscale",
                                                "mscale_all_dim",
                                                "original_max_position_embeddings",
                                                "rope_theta",
                                                "rope_type",
                                                "truncate",
                                                "type"};
  return keys;
}
bool is_known_config_key(std::string_view key) {
  return std::ranges::find(known_config_keys(), key) != known_config_keys().end();
}
bool is_known_rope_key(std::string_view key) {
  return std::ranges::find(known_rope_keys(), key) != known_rope_keys().end();
}

namespace {

Json rope_scaling_json(const YarnScaling& yarn) {
  return {{"beta_fast", yarn.beta_fast},
          {"beta_slow", yarn.beta_slow},
          {"factor", yarn.factor},
          {"mscale", yarn.mscale},
          {"mscale_all_dim", yarn.mscale_all_dim},
          {"original_max_position_embeddings", yarn.original_max_position_embeddings},
          {"type", "yarn"}};
}

Json or_null(const std::optional<int64_t>& value) { return value ? Json(*value) : Json(nullptr); }

}  // namespace

Json model_config_json(const ModelConfig& config) {
  nlohmann::json out = config.original.is_object() ? nlohmann::json(config.original) : nlohmann::json::object();
  // Other spellings of what is written below, and values that a reader derives.
  for (const char* key : {"auto_map", "_name_or_path", "dtype", "rope_parameters", "head_dim", "qk_head_dim",
                          "mlp_bias", "quantization_config"})
    out.erase(key);
  const Json known = {{"architectures", Json::array({"DeepseekV2ForCausalLM"})},
                      {"attention_bias", false},
                      {"attention_dropout", 0.0},
                      {"aux_loss_alpha", config.aux_loss_alpha},
                      {"bos_token_id", or_null(config.bos_token_id)},
                      {"eos_token_id", or_null(config.eos_token_id)},
                      {"first_k_dense_replace", config.first_k_dense_replace},
                      {"hidden_act", "silu"},
                      {"hidden_size", config.hidden_size},
                      {"initializer_range", config.initializer_range},
                      {"intermediate_size", config.intermediate_size},
                      {"kv_lora_rank", config.kv_lora_rank},
                      {"max_position_embeddings", config.max_position_embeddings},
                      {"model_type", "deepseek_v2"},
                      {"moe_intermediate_size", config.moe_intermediate_size},
                      {"moe_layer_freq", config.moe_layer_freq},
                      {"n_group", config.n_group},
                      {"n_routed_experts", or_null(config.n_routed_experts)},
                      {"n_shared_experts", config.n_shared_experts > 0 ? Json(config.n_shared_experts) : Json(nullptr)},
                      {"norm_topk_prob", config.norm_topk_prob},
                      {"num_attention_heads", config.num_attention_heads},
                      {"num_experts_per_tok", config.num_experts_per_tok},
                      {"num_hidden_layers", config.num_hidden_layers},
                      {"num_key_value_heads", config.num_attention_heads},
                      {"q_lora_rank", or_null(config.q_lora_rank)},
                      {"qk_nope_head_dim", config.qk_nope_head_dim},
                      {"qk_rope_head_dim", config.qk_rope_head_dim},
                      {"rms_norm_eps", config.rms_norm_eps},
                      {"rope_scaling", config.rope_scaling ? rope_scaling_json(*config.rope_scaling) : Json(nullptr)},
                      {"rope_theta", config.rope_theta},
                      {"routed_scaling_factor", config.routed_scaling_factor},
                      {"scoring_func", "softmax"},
                      {"seq_aux", true},
                      {"tie_word_embeddings", config.tie_word_embeddings},
                      {"topk_group", config.topk_group},
                      {"topk_method", config.group_limited ? "group_limited_greedy" : "greedy"},
                      {"torch_dtype", config.torch_dtype},
                      {"v_head_dim", config.v_head_dim},
                      {"vocab_size", config.vocab_size}};
  for (const auto& [key, value] : known.items()) out[key] = nlohmann::json(value);
  return Json(out);
}

}  // namespace dslite
