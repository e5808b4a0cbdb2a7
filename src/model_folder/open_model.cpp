// Opens a model: configuration, tokenizer, chat format, weights.
#include <spdlog/spdlog.h>

#include <filesystem>

#include "src/base/error.h"
#include "src/base/files.h"
#include "src/model_folder/model_folder.h"

namespace dslite {
namespace {

namespace fs = std::filesystem;

// chat_template.jinja where it exists (as transformers does), else tokenizer_config.json's "chat_template": a text, or
// a list of {name, template} with one named "default".
std::optional<std::string> chat_template_of(const std::string& folder, std::string* where) {
  *where = folder + "/chat_template.jinja";
  if (fs::exists(*where)) return read_file(*where);
  *where = folder + "/tokenizer_config.json";
  if (!fs::exists(*where)) return std::nullopt;
  const Json json = read_json_file(*where);
  const auto found = json.find("chat_template");
  if (found == json.end() || found->is_null()) return std::nullopt;
  if (found->is_string()) return found->get<std::string>();
  if (found->is_array()) {
    for (const Json& named : *found) {
      if (json_string(named, "name", *where) == "default") return json_string(named, "template", *where);
    }
  }
  fail_input("{}: key \"chat_template\": expected a text or a list with a template named \"default\"", *where);
}

void find_chat_format(OpenModel& open) {
  std::string where;
  const auto text = chat_template_of(open.location.model_folder, &where);
  if (!text) {
    open.chat_format_problem = "no chat template";
    return;
  }
  try {
    open.chat_format = &ChatFormat::recognised(*text, where);
  } catch (const UserError& error) {
    open.chat_format_problem = error.what();
  }
}

}  // namespace

OpenModel open_model(const std::string& path) {
  OpenModel open{.location = locate_model(path)};
  const std::string& folder = open.location.model_folder;
  std::vector<std::string> warnings;
  open.config = read_model_config(folder + "/config.json", &warnings);
  for (const std::string& warning : warnings) spdlog::warn("{}", warning);
  if (fs::exists(folder + "/tokenizer.json")) open.tokenizer = Tokenizer::load(folder);
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
