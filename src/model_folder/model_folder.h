// A model is a Hugging Face folder: config.json, model*.safetensors, generation_config.json, tokenizer.json,
// tokenizer_config.json, chat_template.jinja.
// `--model` of every command is resolved here: a model folder, a run folder (its newest sound checkpoint) or
// RUN/checkpoints/step-N.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "src/checkpoint/safetensors.h"
#include "src/model/config.h"
#include "src/model/deepseek_v2.h"
#include "src/text/chat_format.h"
#include "src/text/tokenizer.h"

namespace dslite {

struct ModelLocation {
  std::string model_folder;  // config, tokenizer (RUN/model for a run)
  std::optional<std::string>
      checkpoint;  // RUN/checkpoints/step-N that holds the weights; empty: the folder's own safetensors
};
// UserError when the path is none of the three.
ModelLocation locate_model(const std::string& path);

// Named weights, wherever they lie: sharded or single files, per-expert or stacked spelling, a checkpoint. Reads by the
// per-expert name.
class WeightSource {
 public:
  // Checks that the files hold every tensor of the config with its shape, nothing else, in F32 or BF16. UserError names
  // the tensor and file.
  WeightSource(const ModelLocation& location, const ModelConfig& config);
  ~WeightSource();
  TensorType type(const std::string& name) const;  // kF32 or kBF16
  // Copies tensor `name`, converted to `type` (kF32 or kBF16; fp32 to bf16 rounds to nearest even), into `out`. What
  // was read leaves resident memory.
  void read(const std::string& name, TensorType type, std::span<std::byte> out) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct OpenModel {
  ModelLocation location;
  ModelConfig config;
  std::shared_ptr<const Tokenizer> tokenizer;  // null when the folder has none
  const ChatFormat* chat_format = nullptr;     // null without a template
  std::string chat_format_problem;             // why it is null: "no chat template", or the refusal of an unknown one
};
// Reads config and tokenizer; warnings (unknown keys) are logged once.
OpenModel open_model(const std::string& path);
// Fills every parameter of `model` from its location.
void load_weights(const OpenModel& open, DeepseekV2& model);
std::unique_ptr<DeepseekV2> load_model(const OpenModel& open, const ModelOptions& options);

struct FolderContents {
  const ModelConfig* config;
  std::string tokenizer_folder;                              // adapted copies of its files; empty: none
  std::string generation_config = {};                        // file whose settings are kept; empty or absent: none
  std::function<TensorType(const TensorSpec& tensor)> type;  // kF32 or kBF16
  std::function<void(const TensorSpec& tensor, std::span<std::byte> out)> read;  // fills `out` in that type
  int64_t max_shard_bytes = int64_t{5} << 30;
};
// Writes a model folder as clients expect it (per-expert names, index when sharded, bos post-processor, chat template
// twice, generation_config.json) into a temporary sibling, verifies it, then renames. UserError when `output` exists
// and is not empty.
void write_model_folder(const std::string& output, const FolderContents& contents);

// UserError when the tokenizer has ids beyond the config's vocabulary (the config is at `where`).
void check_vocabulary_fits(const Tokenizer& tokenizer, const ModelConfig& config, const std::string& where);
// UserError also when bos or eos differ.
void check_tokenizer_fits(const Tokenizer& tokenizer, const ModelConfig& config, const std::string& where);

// Structure, names, shapes, dtypes, finite values. Returns the problems, empty when sound.
std::vector<std::string> verify_model_folder(const std::string& path);

}  // namespace dslite
