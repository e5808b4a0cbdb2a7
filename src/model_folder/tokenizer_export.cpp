// Tokenizer files as clients expect them.
#include "src/model_folder/tokenizer_export.h"

#include <filesystem>

#include "src/base/error.h"
#include "src/base/files.h"
#include "src/text/chat_template.h"
#include "src/text/tokenizer.h"
#include "src/text/tokenizer_files.h"

namespace dslite {
namespace {

void write_new(const std::string& path, std::string_view text) {
  DurableFile file(path);
  file.write(text);
  file.sync_and_close();
}

Json object_of_file(const std::string& path) {
  if (!std::filesystem::exists(path)) return Json::object();
  Json json = read_json_file(path);
  if (!json.is_object()) fail_input("{}: found {}, expected an object", path, json.type_name());
  return json;
}

}  // namespace

void export_tokenizer(const std::string& from_folder, const std::string& to_folder) {
  const auto tokenizer = Tokenizer::load(from_folder);
  Json json = object_of_file(from_folder + "/tokenizer.json");
  Json config = object_of_file(from_folder + "/tokenizer_config.json");
  if (const auto bos = tokenizer->bos_id()) {
    const std::string text = tokenizer->token_bytes(*bos);
    json["post_processor"] = bos_post_processor(text, *bos);
    if (!config.contains("bos_token")) config["bos_token"] = text;
  }
  if (const auto eos = tokenizer->eos_id(); eos && !config.contains("eos_token"))
    config["eos_token"] = tokenizer->token_bytes(*eos);
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  config["clean_up_tokenization_spaces"] = false;
  for (const char* key : {"auto_map", "legacy", "sp_model_kwargs"}) config.erase(key);  // of other classes
  if (const auto chat_template = chat_template_of_folder(from_folder)) {
    config["chat_template"] = chat_template->text;
    write_new(to_folder + "/chat_template.jinja", chat_template->text);
  }
  write_new(to_folder + "/tokenizer.json", json.dump(1) + "\n");
  write_new(to_folder + "/tokenizer_config.json", config.dump(2) + "\n");
}

void export_generation_config(const std::string& from_file, const std::string& to_folder, const ModelConfig& config) {
  Json json = object_of_file(from_file);
  if (config.bos_token_id) json["bos_token_id"] = *config.bos_token_id;
  if (config.eos_token_id) json["eos_token_id"] = *config.eos_token_id;
  write_new(to_folder + "/generation_config.json", json.dump(2) + "\n");
}

}  // namespace dslite
