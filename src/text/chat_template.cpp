// Finds the chat template; the file of its own wins, as in transformers.
#include "src/text/chat_template.h"

#include <filesystem>

#include "src/base/error.h"
#include "src/base/files.h"
#include "src/base/json.h"

namespace dslite {

std::optional<ChatTemplate> chat_template_of_folder(const std::string& folder) {
  if (const std::string path = folder + "/chat_template.jinja"; std::filesystem::exists(path))
    return ChatTemplate{read_file(path), path};
  const std::string path = folder + "/tokenizer_config.json";
  if (!std::filesystem::exists(path)) return std::nullopt;
  const Json config = read_json_file(path);
  if (!config.is_object() || !config.contains("chat_template") || config["chat_template"].is_null())
    return std::nullopt;
  const Json& found = config["chat_template"];
  if (found.is_string()) return ChatTemplate{found.get<std::string>(), path};
  if (!found.is_array())
    fail_input("{}: key \"chat_template\": found {}, expected a string or a list", path, found.type_name());
  for (const Json& entry : found) {
    if (json_string(entry, "name", path) == "default") return ChatTemplate{json_string(entry, "template", path), path};
  }
  fail_input("{}: key \"chat_template\": no template is named \"default\"", path);
}

}  // namespace dslite
