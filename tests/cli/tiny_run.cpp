// Makes its inputs the way a user would.
#include "tests/cli/tiny_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "src/base/json.h"

namespace dslite::testing {
namespace {

namespace fs = std::filesystem;

std::string corpus(int from, int to) {
  std::string text;
  for (int i = from; i < to; ++i)
    text += fmt::format("{{\"text\": \"{} plus {} is {}. The number {} comes before {}.\"}}\n", i, i + 1, 2 * i + 1, i,
                        i + 1);
  return text;
}

// Enough different words for the tokenizer's merges.
std::string words() {
  std::string text;
  const std::string consonants = "bdfgklmnprst", vowels = "aeiou";
  for (int i = 0; i < 4000; ++i) {
    text += ' ';
    for (int k = 0, code = i * 7919; k < 3; ++k, code /= 60)
      text += {consonants[static_cast<size_t>(code % 12)], vowels[static_cast<size_t>(code / 12 % 5)]};
  }
  return text;
}

std::string model_config(bool q_lora) {
  return fmt::format(
      R"({{"architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2", "vocab_size": 320, "hidden_size": 32, "num_hidden_layers": 3,
 "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 48, "moe_intermediate_size": 16, "n_routed_experts": 4, "n_shared_experts": 1,
 "num_experts_per_tok": 2, "first_k_dense_replace": 1, "q_lora_rank": {}, "kv_lora_rank": 16, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16,
 "max_position_embeddings": 256, "rope_theta": 10000, "rms_norm_eps": 1e-6, "hidden_act": "silu", "tie_word_embeddings": false, "attention_bias": false,
 "bos_token_id": 318, "eos_token_id": 319, "torch_dtype": "float32", "initializer_range": 0.05, "aux_loss_alpha": 0.01}})",
      q_lora ? "24" : "null");
}

void must(const ProcessResult& result, const std::string& what) {
  if (result.exit_code != 0)
    throw std::runtime_error(fmt::format("{}: exit code {}\n{}", what, result.exit_code, result.err));
}

}  // namespace

std::string dslite_binary() { return DSLITE_BINARY_DIR "/src/dslite"; }
ProcessResult dslite(const std::vector<std::string>& arguments, const std::string& input) {
  std::vector<std::string> all = {dslite_binary()};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return run_program(all, input);
}

TinyRun::TinyRun(const TinyRunOptions& options) {
  write_text(path("train.jsonl"), corpus(0, 300));
  write_text(path("validation.jsonl"), corpus(300, 320));
  write_text(path("config.json"), model_config(options.q_lora));
  write_text(path("text.txt"), corpus(0, 400) + words());
  must(dslite({"tokenizer", "train", "--vocab-size", "320", "--output", path("tokenizer"), path("text.txt")}),
       "tokenizer train");
  must(dslite({"init", "--config", path("config.json"), "--tokenizer", path("tokenizer"), "--output", path("model")}),
       "init");
  for (const char* part : {"train", "validation"}) {
    must(dslite({"prepare", "--tokenizer", path("tokenizer"), "--output", path(std::string(part) + ".h5"),
                 path(std::string(part) + ".jsonl")}),
         "prepare");
  }
  write_text(path("recipe.toml"), fmt::format(R"([model]
path = "{0}/model"
dtype = "{1}"
[data]
train = ["{0}/train.h5"]
validation = ["{0}/validation.h5"]
sequence_tokens = 64
[batch]
tokens_per_step = 256
tokens_per_micro_batch = 128
[optimizer]
learning_rate = 3e-3
moments = "{2}"
[schedule]
warmup_steps = 5
[run]
folder = "{0}/run"
total_tokens = 7680
save_every = 4
validate_every = 6
)",
                                              folder_.path(), options.dtype, options.moments));
}

std::vector<std::string> TinyRun::train_arguments(const std::string& folder,
                                                  const std::vector<std::string>& overrides) const {
  std::vector<std::string> arguments = {"train", path("recipe.toml"), "run.folder=" + folder};
  arguments.insert(arguments.end(), overrides.begin(), overrides.end());
  return arguments;
}

RunResult run_result(const std::string& run_folder) {
  RunResult result;
  int64_t newest = -1;
  for (const auto& entry : fs::directory_iterator(run_folder + "/checkpoints")) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("step-", 0) != 0 || name.find('.') != std::string::npos) continue;
    if (const int64_t step = std::stoll(name.substr(5)); step > newest) newest = step;
  }
  result.newest_checkpoint = "step-" + std::to_string(newest);
  for (const auto& entry : fs::directory_iterator(run_folder + "/checkpoints/" + result.newest_checkpoint)) {
    if (entry.path().extension() == ".safetensors")
      result.tensor_files.emplace_back(entry.path().filename().string(), read_text(entry.path().string()));
  }
  std::sort(result.tensor_files.begin(), result.tensor_files.end());
  const std::string metrics = read_text(run_folder + "/metrics.jsonl");
  for (size_t begin = 0; begin < metrics.size();) {
    const size_t end = metrics.find('\n', begin);
    Json line = parse_json(metrics.substr(begin, end - begin), "metrics.jsonl");
    line.erase("timing");
    result.metrics += line.dump() + "\n";
    begin = end + 1;
  }
  return result;
}

}  // namespace dslite::testing
