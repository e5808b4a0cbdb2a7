// Opens a model: configuration, tokenizer, chat format, weights.
#include <spdlog/spdlog.h>

#include <filesystem>

#include "src/base/error.h"
#include "src/model_folder/model_folder.h"
#include "src/text/chat_template.h"

namespace dslite {
namespace {

namespace fs = std::filesystem;

void find_chat_format(OpenModel& open) {
  const auto found = chat_template_of_folder(open.location.model_folder);
  if (!found) {
    open.chat_format_problem = "no chat template";
    return;
  }
  try {
    open.chat_format = &ChatFormat::recognised(found->text, found->where);
  } catch (const UserError& error) {
    open.chat_format_problem = error.what();
  }
}

}  // namespace

void check_vocabulary_fits(const Tokenizer& tokenizer, const ModelConfig& config, const std::string& where) {
  if (tokenizer.vocab_size() > config.vocab_size) {
    fail_input("{}: key \"vocab_size\": found {}, expected at least {}, the tokens of the tokenizer", where,
               config.vocab_size, tokenizer.vocab_size());
  }
}

void check_tokenizer_fits(const Tokenizer& tokenizer, const ModelConfig& config, const std::string& where) {
  check_vocabulary_fits(tokenizer, config, where);
  const auto check = [&](const char* key, std::optional<int64_t> of_config, std::optional<int32_t> of_tokenizer) {
    if (!of_tokenizer || of_config == std::optional<int64_t>(*of_tokenizer)) return;
    fail_input("{}: key \"{}\": found {}, expected {}, as the tokenizer has it", where, key,
               of_config ? std::to_string(*of_config) : "nothing", *of_tokenizer);
  };
  check("bos_token_id", config.bos_token_id, tokenizer.bos_id());
  check("eos_token_id", config.eos_token_id, tokenizer.eos_id());
}

OpenModel open_model(const std::string& path) {
  OpenModel open;
  open.location = locate_model(path);
  const std::string& folder = open.location.model_folder;
  std::vector<std::string> warnings;
  open.config = read_model_config(folder + "/config.json", &warnings);
  for (const std::string& warning : warnings) spdlog::warn("{}", warning);
  if (fs::exists(folder + "/tokenizer.json")) {
    open.tokenizer = Tokenizer::load(folder);
    check_vocabulary_fits(*open.tokenizer, open.config, folder + "/config.json");
    try {
      check_tokenizer_fits(*open.tokenizer, open.config, folder + "/config.json");
    } catch (const UserError& error) {
      spdlog::warn("{}", error.what());  // others publish such folders
    }
  }
  find_chat_format(open);
  return open;
}

void load_weights(const OpenModel& open, DeepseekV2& model) {
  const WeightSource source(open.location, open.config);
  for (Parameter* parameter : model.parameters()) {
    const TensorType type = parameter->value.scalar_type() == at::kFloat ? TensorType::kF32 : TensorType::kBF16;
    source.read(parameter->name, type,
                {static_cast<std::byte*>(parameter->value.data_ptr()), parameter->value.nbytes()});
  }
}

std::unique_ptr<DeepseekV2> load_model(const OpenModel& open, const ModelOptions& options) {
  auto model = std::make_unique<DeepseekV2>(open.config, options);
  load_weights(open, *model);
  return model;
}

}  // namespace dslite
