// Tiny models that span the configuration, packed documents, and weights that make every gradient matter.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "src/data/batch.h"
#include "src/model/deepseek_v2.h"
#include "tests/support/tensors.h"

namespace dslite::test {

struct TinyModel {
  std::string name;
  ModelConfig config;
};

inline ModelConfig tiny_config() {
  ModelConfig c;
  c.vocab_size = 61, c.hidden_size = 36, c.num_hidden_layers = 3, c.num_attention_heads = 3;
  c.intermediate_size = 44, c.moe_intermediate_size = 20;
  c.kv_lora_rank = 17, c.qk_nope_head_dim = 10, c.qk_rope_head_dim = 8, c.v_head_dim = 12;
  c.n_routed_experts = 8, c.n_shared_experts = 2, c.num_experts_per_tok = 3, c.first_k_dense_replace = 1;
  c.max_position_embeddings = 512;
  return c;
}

inline std::vector<TinyModel> tiny_models() {
  std::vector<TinyModel> models;
  const auto add = [&](const std::string& name, const auto& change) {
    models.push_back({name, tiny_config()});
    change(models.back().config);
  };
  const YarnScaling yarn{
      .factor = 40, .mscale = 0.707, .mscale_all_dim = 0.707, .original_max_position_embeddings = 16};
  add("plain", [](ModelConfig&) {});
  add("query_compression", [](ModelConfig& c) { c.q_lora_rank = 13; });
  add("group_limited_normalised",
      [](ModelConfig& c) { c.group_limited = true, c.n_group = 4, c.topk_group = 2, c.norm_topk_prob = true; });
  add("scaled_yarn", [&](ModelConfig& c) { c.routed_scaling_factor = 2.5, c.rope_scaling = yarn; });
  add("yarn_two_mscales", [&](ModelConfig& c) {
    c.rope_scaling = yarn, c.rope_scaling->mscale = 1, c.q_lora_rank = 24, c.rms_norm_eps = 1e-5;
  });
  add("every_second_layer", [](ModelConfig& c) { c.moe_layer_freq = 2, c.num_hidden_layers = 4; });
  add("no_shared_experts", [](ModelConfig& c) { c.n_shared_experts = 0; });
  add("tied", [](ModelConfig& c) { c.tie_word_embeddings = true; });
  add("dense", [](ModelConfig& c) { c.n_routed_experts.reset(), c.n_shared_experts = 0; });
  add("one_choice",
      [](ModelConfig& c) { c.num_experts_per_tok = 1, c.norm_topk_prob = true, c.first_k_dense_replace = 0; });
  return models;
}

inline std::unique_ptr<DeepseekV2> make_model(const ModelConfig& config, uint64_t seed, ModelOptions options = {}) {
  if (!options.trained) options.trained = [](const std::string&) { return true; };
  auto model = std::make_unique<DeepseekV2>(config, options);
  for (Parameter* parameter : model->parameters()) {
    const double scale = parameter->value.dim() == 1                                ? 0.3
                         : parameter->name.find("gate.weight") != std::string::npos ? 0.4
                                                                                    : 0.25;
    at::Tensor value = random_tensor(parameter->value.sizes(), seed ^ std::hash<std::string>{}(parameter->name), scale);
    if (parameter->value.dim() == 1) value += 1;
    parameter->value.copy_(value);
    if (parameter->trained()) parameter->grad.fill_(NAN);  // an empty gradient must be overwritten
  }
  return model;
}

struct Document {
  std::vector<int32_t> ids;
  std::vector<float> loss_weight;  // of each token as a label; the first is ignored
};

inline std::vector<Document> random_documents(const std::vector<int64_t>& lengths, int64_t vocabulary, uint64_t seed) {
  std::vector<Document> documents;
  uint64_t index = 0;
  for (const int64_t length : lengths) {
    Document document;
    for (int64_t t = 0; t < length; ++t) {
      document.ids.push_back(
          static_cast<int32_t>((random_value(seed, index++) + 1) / 2 * static_cast<float>(vocabulary)));
      const float weight = random_value(seed + 1, index);
      document.loss_weight.push_back(weight < -0.5f ? 0 : weight + 0.75f);
    }
    documents.push_back(document);
  }
  return documents;
}

inline Batch pack(const std::vector<Document>& documents) {
  Batch batch;
  for (const Document& document : documents) append_whole_document(document.ids, document.loss_weight, batch);
  return batch;
}

inline BatchTotals totals_of(const Batch& batch) {
  BatchTotals totals{.num_tokens = static_cast<int64_t>(batch.tokens.size())};
  for (const float weight : batch.loss_weight) {
    totals.target_weight += weight;
    totals.num_trained_tokens += weight > 0;
  }
  return totals;
}

inline Sequence sequence_of(const Batch& batch) {
  return {.positions = int_tensor(batch.positions), .q_offsets = batch.offsets, .kv_offsets = batch.offsets};
}

}  // namespace dslite::test
