// Reads config.json strictly: DeepSeek's published spelling (rope_scaling, rope_theta, torch_dtype) and that of
// transformers 5 (rope_parameters, dtype). Every value that would change the numbers and is not computed here is
// refused.
#include "src/model/config.h"

#include <algorithm>
#include <cmath>

#include "src/base/error.h"
#include "src/model/config_keys.h"
#include "src/model/config_reader.h"

namespace dslite {
namespace {

// Largest sizes: far above every model of the family, far below where products of them would overflow.
constexpr int64_t kMaxWidth = int64_t{1} << 20, kMaxVocabulary = int64_t{1} << 24, kMaxLayers = 1024,
                  kMaxExperts = 4096;
constexpr int64_t kMaxExpertsOfAllLayers = int64_t{1} << 18, kMaxPositions = int64_t{1} << 30;
constexpr double kMaxParameters = 1e15;

void read_sizes(const ConfigReader& reader, ModelConfig& config) {
  config.vocab_size = reader.integer("vocab_size", 1, kMaxVocabulary);
  config.hidden_size = reader.integer("hidden_size", 1, kMaxWidth);
  config.num_hidden_layers = reader.integer("num_hidden_layers", 1, kMaxLayers);
  config.num_attention_heads = reader.integer("num_attention_heads", 1, kMaxWidth);
  config.intermediate_size = reader.integer("intermediate_size", 1, kMaxWidth);
  config.q_lora_rank = reader.nullable_integer("q_lora_rank", 1, kMaxWidth);
  config.kv_lora_rank = reader.integer("kv_lora_rank", 1, kMaxWidth);
  config.qk_nope_head_dim = reader.integer("qk_nope_head_dim", 1, kMaxWidth);
  config.qk_rope_head_dim = reader.integer("qk_rope_head_dim", 2, kMaxWidth);
  config.v_head_dim = reader.integer("v_head_dim", 1, kMaxWidth);
  config.max_position_embeddings = reader.integer("max_position_embeddings", 1, kMaxPositions);
  config.rms_norm_eps = reader.number("rms_norm_eps", 1e-30, 1);
  config.initializer_range = reader.number_or("initializer_range", config.initializer_range, 0, 100);
  if (config.qk_rope_head_dim % 2 != 0) reader.refuse("qk_rope_head_dim", "an even number: RoPE rotates pairs");
  for (const int64_t dim : {config.qk_head_dim(), config.qk_nope_head_dim + config.v_head_dim}) {
    if (config.num_attention_heads * dim > kMaxWidth) {
      reader.refuse("num_attention_heads", fmt::format("heads times head width ({}) of at most {}", dim, kMaxWidth));
    }
  }
  const int64_t heads = config.num_attention_heads;
  if (reader.integer_or("num_key_value_heads", heads, 1, kMaxWidth) != heads) {
    reader.refuse("num_key_value_heads", fmt::format("{}, as num_attention_heads: MLA has no grouped keys", heads));
  }
  if (reader.integer_or("qk_head_dim", config.qk_head_dim(), 0, kMaxWidth) != config.qk_head_dim()) {
    reader.refuse("qk_head_dim",
                  fmt::format("{}, the sum of qk_nope_head_dim and qk_rope_head_dim", config.qk_head_dim()));
  }
  if (reader.integer_or("head_dim", config.qk_rope_head_dim, 0, kMaxWidth) != config.qk_rope_head_dim) {
    reader.refuse("head_dim", fmt::format("{}, as qk_rope_head_dim", config.qk_rope_head_dim));
  }
}

void read_groups(const ConfigReader& reader, ModelConfig& config, std::vector<std::string>* warnings,
                 const std::string& where) {
  const std::string method = reader.string_or("topk_method", "greedy", "\"greedy\" or \"group_limited_greedy\"");
  if (method != "greedy" && method != "group_limited_greedy") {
    reader.refuse("topk_method", "\"greedy\" or \"group_limited_greedy\"");
  }
  const int64_t experts = *config.n_routed_experts;
  config.group_limited = method == "group_limited_greedy";
  if (config.group_limited) {
    config.n_group = reader.integer("n_group", 1, experts);
    config.topk_group = reader.integer("topk_group", 1, config.n_group);
    if (experts % config.n_group != 0)
      reader.refuse("n_group", fmt::format("a divisor of n_routed_experts ({})", experts));
  } else {
    config.n_group = reader.integer_or("n_group", 1, 1, kMaxExperts);
    config.topk_group = reader.integer_or("topk_group", 1, 1, kMaxExperts);
    if (warnings && (config.n_group != 1 || config.topk_group != 1)) {
      warnings->push_back(fmt::format("{}: n_group {} and topk_group {} have no effect: topk_method is \"greedy\"",
                                      where, config.n_group, config.topk_group));
    }
  }
  const int64_t candidates = config.group_limited ? experts / config.n_group * config.topk_group : experts;
  if (config.num_experts_per_tok > candidates) {
    reader.refuse("num_experts_per_tok",
                  fmt::format("at most {}, the experts that a token may choose from", candidates));
  }
}

void read_experts(const ConfigReader& reader, ModelConfig& config, std::vector<std::string>* warnings,
                  const std::string& where) {
  config.n_routed_experts = reader.nullable_integer("n_routed_experts", 1, kMaxExperts);
  config.norm_topk_prob = reader.boolean_or("norm_topk_prob", false);
  config.routed_scaling_factor = reader.number_or("routed_scaling_factor", 1.0, 1e-6, 1e6);
  config.aux_loss_alpha = reader.number_or("aux_loss_alpha", 0.001, 0, 1e6);
  if (!reader.boolean_or("seq_aux", true)) reader.refuse("seq_aux", "true: the balance loss is taken per sequence");
  if (reader.string_or("scoring_func", "softmax", "\"softmax\"") != "softmax")
    reader.refuse("scoring_func", "\"softmax\"");
  config.moe_layer_freq = reader.integer_or("moe_layer_freq", 1, 1, kMaxLayers);
  if (!config.n_routed_experts) return;
  config.moe_intermediate_size = reader.integer("moe_intermediate_size", 1, kMaxWidth);
  config.n_shared_experts = reader.nullable_integer("n_shared_experts", 0, kMaxExperts).value_or(0);
  config.first_k_dense_replace = reader.integer("first_k_dense_replace", 0, kMaxLayers);
  config.num_experts_per_tok = reader.integer("num_experts_per_tok", 1, *config.n_routed_experts);
  read_groups(reader, config, warnings, where);
  if (config.n_shared_experts * config.moe_intermediate_size > kMaxWidth) {
    reader.refuse("n_shared_experts", fmt::format("a shared width of at most {}", kMaxWidth));
  }
  if (*config.n_routed_experts * config.num_hidden_layers > kMaxExpertsOfAllLayers) {
    reader.refuse("n_routed_experts", fmt::format("at most {} experts in all layers", kMaxExpertsOfAllLayers));
  }
}

struct Rope {
  std::optional<double> theta;
  std::optional<YarnScaling> yarn;
};

std::optional<YarnScaling> read_yarn(const ConfigReader& reader) {
  const std::string expected = "\"yarn\" or \"default\": other ways of scaling are not supported";
  const std::string kind = reader.string_or(reader.has("rope_type") ? "rope_type" : "type", "", expected);
  if (reader.has("type") && reader.string_or("type", "", expected) != kind)
    reader.refuse("type", "the same as rope_type");
  if (kind == "default") return std::nullopt;
  if (kind != "yarn") reader.refuse(reader.has("rope_type") ? "rope_type" : "type", expected);
  if (reader.has("attention_factor")) reader.refuse("attention_factor", "null: the factor follows from mscale");
  if (!reader.boolean_or("truncate", true)) reader.refuse("truncate", "true");
  YarnScaling yarn;
  yarn.factor = reader.number("factor", 1, 1e6);
  yarn.original_max_position_embeddings = reader.integer("original_max_position_embeddings", 1, kMaxPositions);
  yarn.beta_slow = reader.number_or("beta_slow", yarn.beta_slow, 1e-6, 1e6);
  yarn.beta_fast = reader.number_or("beta_fast", yarn.beta_fast, yarn.beta_slow, 1e6);
  yarn.mscale = reader.number_or("mscale", yarn.mscale, 0, 100);
  yarn.mscale_all_dim = reader.number_or("mscale_all_dim", yarn.mscale_all_dim, 0, 100);
  return yarn;
}

constexpr double kMinTheta = 1.001, kMaxTheta = 1e12;

Rope read_rope_object(const ConfigReader& outer, const std::string& key, const std::string& where,
                      std::vector<std::string>* warnings) {
  const Json& object = *outer.find(key);
  if (!object.is_object()) outer.refuse(key, "an object or null");
  const ConfigReader reader(object, where, key + ".");
  if (warnings) {
    for (const auto& [name, value] : object.items()) {
      if (!is_known_rope_key(name)) {
        warnings->push_back(fmt::format("{}: unknown key \"{}.{}\"{}: it has no effect", where, key, name,
                                        suggestion(name, known_rope_keys())));
      }
    }
  }
  Rope rope;
  if (reader.has("rope_theta")) rope.theta = reader.number("rope_theta", kMinTheta, kMaxTheta);
  rope.yarn = read_yarn(reader);
  return rope;
}

void read_rope(const ConfigReader& reader, const std::string& where, ModelConfig& config,
               std::vector<std::string>* warnings) {
  Rope rope;
  if (reader.has("rope_parameters")) rope = read_rope_object(reader, "rope_parameters", where, warnings);
  if (reader.has("rope_scaling")) {
    const Rope other = read_rope_object(reader, "rope_scaling", where, warnings);
    if (reader.has("rope_parameters") && other.yarn != rope.yarn) {
      reader.refuse("rope_scaling", "the same as rope_parameters, or only one of the two");
    }
    rope.yarn = other.yarn;
    if (other.theta && rope.theta && *other.theta != *rope.theta) {
      reader.refuse("rope_scaling", fmt::format("rope_theta {}, as in rope_parameters", *rope.theta));
    }
    if (other.theta) rope.theta = other.theta;
  }
  if (reader.has("rope_theta") || !rope.theta) {
    const double theta = reader.number("rope_theta", kMinTheta, kMaxTheta);
    if (rope.theta && *rope.theta != theta) {
      reader.refuse("rope_theta", fmt::format("{}, as in the rope object", *rope.theta));
    }
    rope.theta = theta;
  }
  config.rope_theta = *rope.theta;
  config.rope_scaling = rope.yarn;
}

void read_dtype(const ConfigReader& reader, ModelConfig& config) {
  const std::string expected = "\"bfloat16\" or \"float32\"";
  const std::string dtype = reader.string_or("dtype", "", expected);
  config.torch_dtype = reader.string_or("torch_dtype", dtype.empty() ? config.torch_dtype : dtype, expected);
  const char* key = reader.has("torch_dtype") ? "torch_dtype" : "dtype";
  if (config.torch_dtype != "bfloat16" && config.torch_dtype != "float32") reader.refuse(key, expected);
  if (!dtype.empty() && dtype != config.torch_dtype) reader.refuse("dtype", "the same as torch_dtype");
}

void read_rest(const ConfigReader& reader, ModelConfig& config) {
  const auto only = [&](const char* key, const Json& value) {
    if (reader.has(key) && *reader.find(key) != value) reader.refuse(key, config_value_text(value));
  };
  reader.required("model_type");
  only("model_type", "deepseek_v2");
  if (!reader.has("model_type")) reader.refuse("model_type", "\"deepseek_v2\"");
  only("architectures", Json::array({"DeepseekV2ForCausalLM"}));
  only("hidden_act", "silu");
  only("attention_bias", false);
  only("mlp_bias", false);
  only("attention_dropout", 0.0);
  if (reader.has("quantization_config")) reader.refuse("quantization_config", "null: quantised weights are not read");
  config.tie_word_embeddings = reader.boolean_or("tie_word_embeddings", false);
  if (reader.has("bos_token_id")) config.bos_token_id = reader.integer("bos_token_id", 0, config.vocab_size - 1);
  if (reader.has("eos_token_id")) config.eos_token_id = reader.integer("eos_token_id", 0, config.vocab_size - 1);
}

void warn_of_unknown(const Json& json, const std::string& where, std::vector<std::string>* warnings) {
  if (!warnings) return;
  for (const auto& [key, value] : json.items()) {
    if (is_known_config_key(key)) continue;
    warnings->push_back(fmt::format("{}: unknown key \"{}\"{}: it has no effect and is kept on export", where, key,
                                    suggestion(key, known_config_keys())));
  }
}

}  // namespace

ModelConfig parse_model_config(const Json& json, const std::string& where, std::vector<std::string>* warnings) {
  if (!json.is_object()) fail_input("{}: found {}, expected an object", where, json.type_name());
  const ConfigReader reader(json, where);
  ModelConfig config;
  config.original = json;
  read_sizes(reader, config);
  read_experts(reader, config, warnings, where);
  read_rope(reader, where, config, warnings);
  read_dtype(reader, config);
  read_rest(reader, config);
  const double routed = static_cast<double>(config.num_hidden_layers) *
                        static_cast<double>(config.n_routed_experts.value_or(1)) *
                        static_cast<double>(config.hidden_size) *
                        static_cast<double>(std::max(config.intermediate_size, config.moe_intermediate_size));
  if (routed > kMaxParameters) {
    fail_input("{}: key \"hidden_size\": found {}, expected a model of at most {} parameters", where,
               config.hidden_size, kMaxParameters);
  }
  warn_of_unknown(json, where, warnings);
  return config;
}

ModelConfig read_model_config(const std::string& path, std::vector<std::string>* warnings) {
  return parse_model_config(read_json_file(path), path, warnings);
}

double ModelConfig::softmax_scale() const {
  const double base = 1.0 / std::sqrt(static_cast<double>(qk_head_dim()));
  if (!rope_scaling || rope_scaling->factor <= 1) return base;
  const double mscale = 0.1 * rope_scaling->mscale_all_dim * std::log(rope_scaling->factor) + 1.0;
  return base * mscale * mscale;
}

}  // namespace dslite
