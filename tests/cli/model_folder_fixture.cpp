#include "tests/cli/model_folder_fixture.h"

#include <algorithm>

#include "src/base/parallel_for.h"
#include "src/text/bpe_trainer.h"
#include "src/text/tokenizer_files.h"
#include "tests/support/tensors.h"

namespace dslite::testing {
namespace {

constexpr const char* kText =
    "the quick brown fox jumps over the lazy dog and the dog sleeps\nUser: what is 1 + 2?\n\nAssistant: it is 3\n";

Json tiny_config(int64_t vocab_size, int64_t max_position_embeddings) {
  return Json{{"architectures", {"DeepseekV2ForCausalLM"}},
              {"model_type", "deepseek_v2"},
              {"vocab_size", vocab_size},
              {"hidden_size", 32},
              {"num_hidden_layers", 2},
              {"num_attention_heads", 2},
              {"num_key_value_heads", 2},
              {"q_lora_rank", nullptr},
              {"kv_lora_rank", 16},
              {"qk_nope_head_dim", 8},
              {"qk_rope_head_dim", 8},
              {"v_head_dim", 8},
              {"intermediate_size", 48},
              {"moe_intermediate_size", 24},
              {"n_routed_experts", 4},
              {"n_shared_experts", 1},
              {"num_experts_per_tok", 2},
              {"first_k_dense_replace", 1},
              {"moe_layer_freq", 1},
              {"topk_method", "greedy"},
              {"scoring_func", "softmax"},
              {"norm_topk_prob", false},
              {"routed_scaling_factor", 1.0},
              {"n_group", 1},
              {"topk_group", 1},
              {"max_position_embeddings", max_position_embeddings},
              {"rms_norm_eps", 1e-6},
              {"rope_theta", 10000},
              {"rope_scaling", nullptr},
              {"initializer_range", 0.02},
              {"tie_word_embeddings", false},
              {"hidden_act", "silu"},
              {"attention_bias", false},
              {"bos_token_id", vocab_size - 2},
              {"eos_token_id", vocab_size - 1},
              {"torch_dtype", "float32"}};
}

void write_weights(const std::string& path, const ModelConfig& config) {
  std::vector<TensorInfo> infos;
  const std::vector<TensorSpec> specs = tensor_specs(config);
  for (const TensorSpec& spec : specs)
    infos.push_back({.name = spec.name, .type = TensorType::kF32, .shape = spec.shape});
  SafetensorsWriter writer(path, infos, {{"format", "pt"}});
  for (size_t i = 0; i < specs.size(); ++i) {
    at::Tensor value = test::random_tensor(specs[i].shape, i + 1, 0.4);
    if (value.dim() == 1) value += 1;
    writer.write({static_cast<const std::byte*>(value.const_data_ptr()), value.nbytes()});
  }
  writer.finish();
}

}  // namespace

std::string dslite_program() { return DSLITE_BINARY_DIR "/src/dslite"; }

ModelFolderFixture::ModelFolderFixture(const FixtureOptions& options) : model_folder_(temp_ / "model") {
  set_num_threads(1);
  BpeTrainer trainer;
  trainer.add_text(kText);
  const TrainedBpe bpe = trainer.train(300);
  write_tokenizer_folder(model_folder_, bpe);
  const Json config = tiny_config(static_cast<int64_t>(bpe.tokens.size()) + 2, options.max_position_embeddings);
  write_text(model_folder_ + "/config.json", config.dump());
  write_weights(model_folder_ + "/model.safetensors", parse_model_config(config, "config.json", nullptr));
  if (!options.chat_template) {
    std::filesystem::remove(model_folder_ + "/chat_template.jinja");
    Json tokenizer_config = read_json_file(model_folder_ + "/tokenizer_config.json");
    tokenizer_config.erase("chat_template");
    write_text(model_folder_ + "/tokenizer_config.json", tokenizer_config.dump());
  }
  open_ = open_model(model_folder_);
  model_ = load_model(open_, {.dtype = at::kFloat, .trained = {}});
}

at::Tensor training_logits(const DeepseekV2& model, const std::vector<int32_t>& tokens) {
  const auto count = static_cast<int64_t>(tokens.size());
  std::vector<int32_t> positions(count);
  for (int64_t i = 0; i < count; ++i) positions[i] = static_cast<int32_t>(i);
  const Sequence sequence{.positions = test::int_tensor(positions), .q_offsets = {0, count}, .kv_offsets = {0, count}};
  return model.logits(model.forward({.tokens = tokens, .sequence = &sequence}, nullptr).hidden);
}

std::vector<int32_t> ModelFolderFixture::greedy(std::vector<int32_t> tokens, int64_t count) const {
  std::vector<int32_t> reply;
  while (static_cast<int64_t>(reply.size()) < count && (reply.empty() || reply.back() != eos())) {
    const at::Tensor last = training_logits(*model_, tokens)[static_cast<int64_t>(tokens.size()) - 1].contiguous();
    const float* logits = last.const_data_ptr<float>();
    reply.push_back(static_cast<int32_t>(std::max_element(logits, logits + last.numel()) - logits));
    tokens.push_back(reply.back());
  }
  return reply;
}

ProcessResult ModelFolderFixture::run(const std::string& command, std::vector<std::string> arguments,
                                      const std::string& input) const {
  arguments.insert(arguments.begin(), {dslite_program(), command, "--model", model_folder_, "--threads", "1"});
  return run_program(arguments, input);
}

}  // namespace dslite::testing
