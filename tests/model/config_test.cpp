// config.json: both spellings, counts, names, export, and a table of wrong files with what each message must say.
#include "src/model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "src/base/error.h"

namespace dslite {
namespace {

using ::testing::HasSubstr;

// DeepSeek-V2-Lite's values.
Json v2_lite() {
  return parse_json(R"({
    "architectures": ["DeepseekV2ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "auto_map": {"AutoConfig": "configuration_deepseek.DeepseekV2Config"}, "aux_loss_alpha": 0.001,
    "bos_token_id": 100000, "eos_token_id": 100001, "first_k_dense_replace": 1, "hidden_act": "silu", "hidden_size": 2048,
    "initializer_range": 0.02, "intermediate_size": 10944, "kv_lora_rank": 512, "max_position_embeddings": 163840,
    "model_type": "deepseek_v2", "moe_intermediate_size": 1408, "moe_layer_freq": 1, "n_group": 1,
    "n_routed_experts": 64, "n_shared_experts": 2, "norm_topk_prob": false, "num_attention_heads": 16,
    "num_experts_per_tok": 6, "num_hidden_layers": 27, "num_key_value_heads": 16, "pretraining_tp": 1,
    "q_lora_rank": null, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06,
    "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 0.707, "mscale_all_dim": 0.707,
                     "original_max_position_embeddings": 4096, "type": "yarn"},
    "rope_theta": 10000, "routed_scaling_factor": 1.0, "scoring_func": "softmax", "seq_aux": true,
    "tie_word_embeddings": false, "topk_group": 1, "topk_method": "greedy", "torch_dtype": "bfloat16",
    "transformers_version": "4.33.1", "use_cache": true, "v_head_dim": 128, "vocab_size": 102400})",
                    "v2_lite");
}

Json v2() {
  Json json = v2_lite();
  json.merge_patch(
      Json::parse(R"({"hidden_size": 5120, "intermediate_size": 12288, "moe_intermediate_size": 1536, "n_group": 8,
    "n_routed_experts": 160, "num_attention_heads": 128, "num_key_value_heads": 128, "num_hidden_layers": 60, "q_lora_rank": 1536,
    "routed_scaling_factor": 16.0, "topk_group": 3, "topk_method": "group_limited_greedy"})"));
  return json;
}

// What transformers 5.23 writes for the same model.
Json v2_lite_of_transformers_5() {
  Json json = v2_lite();
  for (const char* key : {"rope_scaling", "rope_theta", "torch_dtype", "auto_map", "aux_loss_alpha", "seq_aux",
                          "scoring_func", "moe_layer_freq"}) {
    json.erase(key);
  }
  json.update(Json::parse(R"({"dtype": "bfloat16", "head_dim": 64, "mlp_bias": false, "output_router_logits": false,
    "pad_token_id": null, "qk_head_dim": 192, "rope_parameters": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 0.707,
    "mscale_all_dim": 0.707, "original_max_position_embeddings": 4096, "rope_theta": 10000.0, "rope_type": "yarn", "type": "yarn"}})"));
  return json;
}

std::string refusal(const Json& json) {
  try {
    parse_model_config(json, "folder/config.json", nullptr);
  } catch (const UserError& error) {
    return error.what();
  }
  return "accepted";
}

void expect_same(const ModelConfig& a, const ModelConfig& b) {
  ModelConfig x = a, y = b;
  x.original = y.original = Json::object();
  EXPECT_EQ(model_config_json(x).dump(1), model_config_json(y).dump(1));
}

TEST(Config, PublishedNumbers) {
  const ModelConfig lite = parse_model_config(v2_lite(), "v2_lite", nullptr);
  EXPECT_NEAR(lite.softmax_scale(), 0.1147213867929261, 1e-16);
  const ParameterCounts counts = count_parameters(lite);
  EXPECT_EQ(counts.total, 15706484224);
  EXPECT_EQ(counts.active, 2451435008);
  EXPECT_EQ(counts.num_tensors, 5291);
  const ParameterCounts large = count_parameters(parse_model_config(v2(), "v2", nullptr));
  EXPECT_EQ(large.total, 235741434880);
  EXPECT_EQ(large.num_tensors, 29102);
}

TEST(Config, SpecsAgreeWithCounts) {
  Json tied = v2_lite(), dense = v2_lite(), no_shared = v2_lite(), alternating = v2_lite();
  tied["tie_word_embeddings"] = true;
  dense["n_routed_experts"] = nullptr;
  no_shared["n_shared_experts"] = nullptr;
  alternating["moe_layer_freq"] = 3;
  for (const Json& json : {v2_lite(), v2(), tied, dense, no_shared, alternating}) {
    const ModelConfig config = parse_model_config(json, "config", nullptr);
    const ParameterCounts counts = count_parameters(config);
    int64_t total = 0;
    std::set<std::string> names;
    const auto specs = tensor_specs(config);
    for (const TensorSpec& spec : specs) {
      int64_t elements = 1;
      for (const int64_t size : spec.shape) elements *= size;
      total += elements;
      names.insert(spec.name);
    }
    EXPECT_EQ(total, counts.total);
    EXPECT_EQ(static_cast<int64_t>(specs.size()), counts.num_tensors);
    EXPECT_EQ(names.size(), specs.size());
    EXPECT_EQ(counts.total, counts.embedding + counts.lm_head + counts.attention + counts.norms + counts.dense_mlp +
                                counts.router + counts.shared_experts + counts.routed_experts);
    EXPECT_EQ(names.count("lm_head.weight"), config.tie_word_embeddings ? 0u : 1u);
  }
}

TEST(Config, NamesAndShapes) {
  const auto shape = [](const Json& json, const std::string& name) {
    for (const TensorSpec& spec : tensor_specs(parse_model_config(json, "config", nullptr))) {
      if (spec.name == name) return spec.shape;
    }
    return std::vector<int64_t>{-1};
  };
  using Shape = std::vector<int64_t>;
  EXPECT_EQ(shape(v2_lite(), "model.layers.0.self_attn.q_proj.weight"), (Shape{3072, 2048}));
  EXPECT_EQ(shape(v2_lite(), "model.layers.26.self_attn.kv_a_proj_with_mqa.weight"), (Shape{576, 2048}));
  EXPECT_EQ(shape(v2_lite(), "model.layers.3.self_attn.kv_b_proj.weight"), (Shape{4096, 512}));
  EXPECT_EQ(shape(v2_lite(), "model.layers.0.mlp.down_proj.weight"), (Shape{2048, 10944}));
  EXPECT_EQ(shape(v2_lite(), "model.layers.1.mlp.gate.weight"), (Shape{64, 2048}));
  EXPECT_EQ(shape(v2_lite(), "model.layers.1.mlp.experts.63.up_proj.weight"), (Shape{1408, 2048}));
  EXPECT_EQ(shape(v2_lite(), "model.layers.1.mlp.shared_experts.gate_proj.weight"), (Shape{2816, 2048}));
  EXPECT_EQ(shape(v2(), "model.layers.5.self_attn.q_a_proj.weight"), (Shape{1536, 5120}));
  EXPECT_EQ(shape(v2(), "model.layers.5.self_attn.q_b_proj.weight"), (Shape{128 * 192, 1536}));
  EXPECT_EQ(shape(v2(), "model.layers.5.self_attn.q_proj.weight"), (Shape{-1}));
}

TEST(Config, BothSpellingsAreOneModel) {
  std::vector<std::string> warnings;
  const ModelConfig published = parse_model_config(v2_lite(), "a", &warnings);
  const ModelConfig recent = parse_model_config(v2_lite_of_transformers_5(), "b", &warnings);
  EXPECT_THAT(warnings, testing::IsEmpty());
  expect_same(published, recent);
  EXPECT_DOUBLE_EQ(recent.rope_scaling->factor, 40);
  EXPECT_EQ(recent.torch_dtype, "bfloat16");
}

TEST(Config, NoScaling) {
  Json published = v2_lite(), recent = v2_lite_of_transformers_5();
  published["rope_scaling"] = nullptr;
  recent["rope_parameters"] = {{"rope_theta", 10000.0}, {"rope_type", "default"}};
  const ModelConfig a = parse_model_config(published, "a", nullptr), b = parse_model_config(recent, "b", nullptr);
  expect_same(a, b);
  EXPECT_FALSE(a.rope_scaling);
  EXPECT_DOUBLE_EQ(a.softmax_scale(), 1 / std::sqrt(192.0));
}

TEST(Config, OptionalKeysHaveDefaults) {
  Json json = v2_lite();
  for (const char* key : {"moe_layer_freq", "routed_scaling_factor", "norm_topk_prob", "seq_aux", "aux_loss_alpha",
                          "topk_method", "scoring_func", "n_group", "topk_group", "architectures", "torch_dtype",
                          "initializer_range", "tie_word_embeddings", "hidden_act", "num_key_value_heads"}) {
    json.erase(key);
  }
  expect_same(parse_model_config(json, "short", nullptr), parse_model_config(v2_lite(), "full", nullptr));
  for (const char* key : {"n_group", "topk_group"}) json[key] = nullptr;
  EXPECT_EQ(parse_model_config(json, "nulls", nullptr).n_group, 1);
}

TEST(Config, ExportIsThePublishedSpelling) {
  Json json = v2_lite_of_transformers_5();
  json["my_note"] = {{"kept", true}};
  std::vector<std::string> warnings;
  const ModelConfig config = parse_model_config(json, "config.json", &warnings);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_THAT(warnings[0], HasSubstr("unknown key \"my_note\""));
  const Json out = model_config_json(config);
  for (const char* key : {"auto_map", "rope_parameters", "dtype", "head_dim", "qk_head_dim", "mlp_bias"})
    EXPECT_FALSE(out.contains(key)) << key;
  EXPECT_EQ(out.at("my_note"), json.at("my_note"));
  EXPECT_EQ(out.at("pad_token_id"), nullptr);
  EXPECT_EQ(out.at("rope_scaling").at("type"), "yarn");
  EXPECT_TRUE(out.at("routed_scaling_factor").is_number_float());
  EXPECT_THAT(out.dump(), HasSubstr("\"routed_scaling_factor\":1.0"));
  EXPECT_TRUE(out.at("n_group").is_number_integer());
  EXPECT_EQ(out.at("torch_dtype"), "bfloat16");
  // Writing and reading again changes nothing.
  const ModelConfig again = parse_model_config(parse_json(out.dump(2), "again"), "again", nullptr);
  EXPECT_EQ(model_config_json(again).dump(2), out.dump(2));
  EXPECT_FALSE(model_config_json(parse_model_config(v2_lite(), "a", nullptr)).contains("auto_map"));
}

TEST(Config, UnknownKeysAreNamedWithANearOne) {
  Json json = v2_lite();
  json["norm_topk_probs"] = true;
  json["rope_scaling"]["mscale_all_dims"] = 1;
  std::vector<std::string> warnings;
  parse_model_config(json, "config.json", &warnings);
  ASSERT_EQ(warnings.size(), 2u);
  EXPECT_THAT(warnings[0], HasSubstr("\"rope_scaling.mscale_all_dims\" (did you mean \"mscale_all_dim\"?)"));
  EXPECT_THAT(warnings[1], HasSubstr("\"norm_topk_probs\" (did you mean \"norm_topk_prob\"?)"));
}

struct Wrong {
  const char* patch;  // JSON merge patch of V2-Lite's file; null removes a key
  const char* key;    // as the message names it
  const char* found;
  const char* expected;
};

// clang-format off
const Wrong kWrong[] = {
    {R"({"vocab_size": null})", "vocab_size", "nothing", "required"},
    {R"({"hidden_size": null})", "hidden_size", "nothing", "required"},
    {R"({"hidden_size": null, "hiden_size": 2048})", "hidden_size", "nothing", "did you mean \"hiden_size\"?"},
    {R"({"kv_lora_rank": null})", "kv_lora_rank", "nothing", "required"},
    {R"({"max_position_embeddings": null})", "max_position_embeddings", "nothing", "required"},
    {R"({"rms_norm_eps": null})", "rms_norm_eps", "nothing", "required"},
    {R"({"rope_theta": null})", "rope_theta", "nothing", "required"},
    {R"({"model_type": null})", "model_type", "nothing", "required"},
    {R"({"n_routed_experts": null})", "n_routed_experts", "nothing", "required"},
    {R"({"num_experts_per_tok": null})", "num_experts_per_tok", "nothing", "required"},
    {R"({"first_k_dense_replace": null})", "first_k_dense_replace", "nothing", "required"},
    {R"({"vocab_size": 0})", "vocab_size", "0", "an integer from 1"},
    {R"({"vocab_size": 102400.0})", "vocab_size", "102400.0", "an integer"},
    {R"({"vocab_size": "102400"})", "vocab_size", "102400", "an integer"},
    {R"({"vocab_size": 18446744073709551615})", "vocab_size", "18446744073709551615", "an integer"},
    {R"({"hidden_size": -2048})", "hidden_size", "-2048", "an integer from 1"},
    {R"({"hidden_size": 4294967296})", "hidden_size", "4294967296", "to 1048576"},
    {R"({"num_hidden_layers": true})", "num_hidden_layers", "true", "an integer"},
    {R"({"num_hidden_layers": 100000})", "num_hidden_layers", "100000", "to 1024"},
    {R"({"num_attention_heads": 100000, "num_key_value_heads": 100000})", "num_attention_heads", "100000", "of at most"},
    {R"({"num_key_value_heads": 8})", "num_key_value_heads", "8", "16, as num_attention_heads"},
    {R"({"q_lora_rank": 0})", "q_lora_rank", "0", "an integer from 1"},
    {R"({"q_lora_rank": "none"})", "q_lora_rank", "none", "an integer"},
    {R"({"qk_rope_head_dim": 63})", "qk_rope_head_dim", "63", "an even number"},
    {R"({"qk_head_dim": 128})", "qk_head_dim", "128", "192, the sum"},
    {R"({"head_dim": 128})", "head_dim", "128", "64, as qk_rope_head_dim"},
    {R"({"rms_norm_eps": 0})", "rms_norm_eps", "0", "a number from"},
    {R"({"rms_norm_eps": "1e-6"})", "rms_norm_eps", "1e-6", "a number"},
    {R"({"initializer_range": -0.02})", "initializer_range", "-0.02", "a number from 0"},
    {R"({"n_routed_experts": 0})", "n_routed_experts", "0", "an integer from 1"},
    {R"({"n_routed_experts": [64]})", "n_routed_experts", "[64]", "an integer"},
    {R"({"n_routed_experts": 4096, "num_hidden_layers": 100})", "n_routed_experts", "4096", "experts in all layers"},
    {R"({"n_shared_experts": -1})", "n_shared_experts", "-1", "an integer from 0"},
    {R"({"n_shared_experts": 4000})", "n_shared_experts", "4000", "a shared width of at most"},
    {R"({"num_experts_per_tok": 65})", "num_experts_per_tok", "65", "an integer from 1 to 64"},
    {R"({"num_experts_per_tok": 0})", "num_experts_per_tok", "0", "an integer from 1"},
    {R"({"first_k_dense_replace": -1})", "first_k_dense_replace", "-1", "an integer from 0"},
    {R"({"moe_layer_freq": 0})", "moe_layer_freq", "0", "an integer from 1"},
    {R"({"topk_method": "noaux_tc"})", "topk_method", "noaux_tc", "\"greedy\" or \"group_limited_greedy\""},
    {R"({"topk_method": 3})", "topk_method", "3", "\"greedy\""},
    {R"({"topk_method": "group_limited_greedy", "n_group": 7})", "n_group", "7", "a divisor of n_routed_experts (64)"},
    {R"({"topk_method": "group_limited_greedy", "n_group": null})", "n_group", "nothing", "required"},
    {R"({"topk_method": "group_limited_greedy", "n_group": 8, "topk_group": 9})", "topk_group", "9", "an integer from 1 to 8"},
    {R"({"topk_method": "group_limited_greedy", "n_group": 16, "topk_group": 1})", "num_experts_per_tok", "6", "at most 4"},
    {R"({"scoring_func": "sigmoid"})", "scoring_func", "sigmoid", "\"softmax\""},
    {R"({"seq_aux": false})", "seq_aux", "false", "true"},
    {R"({"aux_loss_alpha": -1})", "aux_loss_alpha", "-1", "a number from 0"},
    {R"({"norm_topk_prob": "false"})", "norm_topk_prob", "false", "true or false"},
    {R"({"routed_scaling_factor": 0})", "routed_scaling_factor", "0", "a number from"},
    {R"({"attention_bias": true})", "attention_bias", "true", "false"},
    {R"({"mlp_bias": true})", "mlp_bias", "true", "false"},
    {R"({"attention_dropout": 0.1})", "attention_dropout", "0.1", "0.0"},
    {R"({"hidden_act": "gelu"})", "hidden_act", "gelu", "silu"},
    {R"({"model_type": "deepseek_v3"})", "model_type", "deepseek_v3", "deepseek_v2"},
    {R"({"architectures": ["LlamaForCausalLM"]})", "architectures", "LlamaForCausalLM", "DeepseekV2ForCausalLM"},
    {R"({"quantization_config": {"bits": 4}})", "quantization_config", "bits", "null"},
    {R"({"torch_dtype": "float16"})", "torch_dtype", "float16", "\"bfloat16\" or \"float32\""},
    {R"({"dtype": "float32"})", "dtype", "float32", "the same as torch_dtype"},
    {R"({"bos_token_id": 102400})", "bos_token_id", "102400", "to 102399"},
    {R"({"eos_token_id": [1, 2]})", "eos_token_id", "[1,2]", "an integer"},
    {R"({"rope_theta": 0})", "rope_theta", "0", "a number from"},
    {R"({"rope_scaling": 40})", "rope_scaling", "40", "an object or null"},
    {R"({"rope_scaling": {"type": "linear"}})", "rope_scaling.type", "linear", "\"yarn\" or \"default\""},
    {R"({"rope_scaling": {"type": "dynamic"}})", "rope_scaling.type", "dynamic", "\"yarn\""},
    {R"({"rope_scaling": {"type": null}})", "rope_scaling.type", "nothing", "\"yarn\""},
    {R"({"rope_scaling": {"rope_type": "default"}})", "rope_scaling.type", "yarn", "the same as rope_type"},
    {R"({"rope_scaling": {"factor": null}})", "rope_scaling.factor", "nothing", "required"},
    {R"({"rope_scaling": {"factor": 0.5}})", "rope_scaling.factor", "0.5", "a number from 1"},
    {R"({"rope_scaling": {"original_max_position_embeddings": null}})", "rope_scaling.original_max_position_embeddings", "nothing", "required"},
    {R"({"rope_scaling": {"original_max_position_embeddings": 4096.5}})", "rope_scaling.original_max_position_embeddings", "4096.5", "an integer"},
    {R"({"rope_scaling": {"beta_fast": 0.5}})", "rope_scaling.beta_fast", "0.5", "a number from 1"},
    {R"({"rope_scaling": {"mscale": "0.7"}})", "rope_scaling.mscale", "0.7", "a number"},
    {R"({"rope_scaling": {"attention_factor": 1.2}})", "rope_scaling.attention_factor", "1.2", "null"},
    {R"({"rope_scaling": {"truncate": false}})", "rope_scaling.truncate", "false", "true"},
    {R"({"rope_scaling": {"rope_theta": 500000}})", "rope_theta", "10000", "500000"},
    {R"({"rope_parameters": {"rope_type": "default"}})", "rope_scaling", "beta_fast", "the same as rope_parameters"},
};
// clang-format on

TEST(Config, EveryWrongFileIsNamed) {
  for (const Wrong& wrong : kWrong) {
    SCOPED_TRACE(wrong.patch);
    Json json = v2_lite();
    json.merge_patch(Json::parse(wrong.patch));
    const std::string message = refusal(json);
    EXPECT_THAT(message, HasSubstr("folder/config.json: key \"" + std::string(wrong.key) + "\": found "));
    EXPECT_THAT(message, HasSubstr(wrong.found));
    EXPECT_THAT(message, HasSubstr("expected"));
    EXPECT_THAT(message, HasSubstr(wrong.expected));
  }
}

TEST(Config, NotAnObject) {
  EXPECT_THAT(refusal(Json::array({1})), HasSubstr("expected an object"));
  EXPECT_THAT(refusal(Json(nullptr)), HasSubstr("expected an object"));
}

TEST(Config, PublishedFiles) {
  const std::string folder = DSLITE_SOURCE_DIR "/../shared/data/model/";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no " << folder;
  std::vector<std::string> warnings;
  expect_same(read_model_config(folder + "v2_lite_config.json", &warnings),
              parse_model_config(v2_lite(), "a", nullptr));
  expect_same(read_model_config(folder + "v2_config.json", &warnings), parse_model_config(v2(), "a", nullptr));
  EXPECT_THAT(warnings, testing::IsEmpty());
}

}  // namespace
}  // namespace dslite
