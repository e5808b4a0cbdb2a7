#include "tests/model_folder/folders.h"

#include <bit>
#include <cstring>

#include "src/base/hash.h"
#include "src/base/random.h"
#include "src/text/bpe_trainer.h"
#include "src/text/tokenizer_files.h"

namespace dslite {

ModelConfig tiny_config() {
  return parse_model_config(Json::parse(R"({
    "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2", "vocab_size": 300, "hidden_size": 16, "intermediate_size": 24,
    "moe_intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "q_lora_rank": null, "kv_lora_rank": 8,
    "qk_nope_head_dim": 4, "qk_rope_head_dim": 4, "v_head_dim": 4, "n_routed_experts": 4, "n_shared_experts": 1,
    "num_experts_per_tok": 2, "first_k_dense_replace": 1, "max_position_embeddings": 64, "rms_norm_eps": 1e-06, "rope_theta": 10000,
    "bos_token_id": 258, "eos_token_id": 259, "torch_dtype": "bfloat16", "my_note": "kept"})"),
                            "tiny", nullptr);
}

void write_tiny_tokenizer(const std::string& folder) {
  BpeTrainer trainer;
  trainer.add_text(
      "the cat sat on the mat and the other cats sat there and thought of mats, the thing that they thought\n");
  const TrainedBpe bpe = trainer.train(258);
  if (bpe.tokens.size() != 258) throw std::logic_error("the text gives too few tokens");
  write_tokenizer_folder(folder, bpe);
}

void named_values(const TensorSpec& tensor, TensorType type, std::span<std::byte> out) {
  const RandomStream random(7, RandomPurpose::kTest, xxh3_64(tensor.name));
  for (int64_t i = 0; i < tensor.num_elements(); ++i) {
    const auto value = static_cast<float>(random.normal(static_cast<uint64_t>(i)));
    const uint32_t bits = std::bit_cast<uint32_t>(value) & 0xFFFF0000u;  // exact in bf16
    const auto half = static_cast<uint16_t>(bits >> 16);
    if (type == TensorType::kF32) std::memcpy(out.data() + 4 * i, &bits, 4);
    if (type == TensorType::kBF16) std::memcpy(out.data() + 2 * i, &half, 2);
  }
}

FolderContents named_contents(const ModelConfig& config, TensorType type) {
  return {.config = &config,
          .tokenizer_folder = {},
          .generation_config = {},
          .type = [type](const TensorSpec&) { return type; },
          .read = [type](const TensorSpec& tensor, std::span<std::byte> out) { named_values(tensor, type, out); }};
}

std::vector<std::vector<std::byte>> all_tensors(const std::string& path) {
  const OpenModel open = open_model(path);
  const WeightSource source(open.location, open.config);
  std::vector<std::vector<std::byte>> tensors;
  for (const TensorSpec& spec : tensor_specs(open.config)) {
    const TensorType type = source.type(spec.name);
    auto& bytes = tensors.emplace_back(static_cast<size_t>(spec.num_elements() * tensor_type_bytes(type)));
    source.read(spec.name, type, bytes);
  }
  return tensors;
}

}  // namespace dslite
