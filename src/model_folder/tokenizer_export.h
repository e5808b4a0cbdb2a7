// The tokenizer files and generation_config.json of an exported folder, made from those of another.
#pragma once
#include <string>

#include "src/model/config.h"

namespace dslite {

// tokenizer.json with a post-processor that adds bos (nothing else makes other programs add it), tokenizer_config.json
// with the class that every reader understands, and the chat template in both places.
void export_tokenizer(const std::string& from_folder, const std::string& to_folder);
// The source's settings when it has some, with the config's bos and eos.
void export_generation_config(const std::string& from_file, const std::string& to_folder, const ModelConfig& config);

}  // namespace dslite
