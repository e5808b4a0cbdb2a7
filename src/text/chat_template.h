// The chat template of a Hugging Face folder.
#pragma once
#include <optional>
#include <string>

namespace dslite {

struct ChatTemplate {
  std::string text;
  std::string where;  // the file it came from
};

// chat_template.jinja, else `chat_template` of tokenizer_config.json (a string, or a list of named templates of which
// "default" is taken); nothing where there is neither.
std::optional<ChatTemplate> chat_template_of_folder(const std::string& folder);

}  // namespace dslite
