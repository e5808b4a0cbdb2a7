// The tokenizer files of a Hugging Face folder, in the layout that transformers, vLLM and llama.cpp's converter load.
#pragma once
#include <cstdint>
#include <string>

#include "src/base/json.h"
#include "src/text/bpe_trainer.h"

namespace dslite {

// The names that DeepSeek-V2 uses.
inline constexpr const char* kBosText = "<｜begin▁of▁sentence｜>";
inline constexpr const char* kEosText = "<｜end▁of▁sentence｜>";

// The post-processor that adds bos: nothing else makes other programs add it, and llama.cpp's converter recognises the
// tokenizer only so.
Json bos_post_processor(const std::string& bos_text, int32_t bos_id);

// bos and eos follow the tokens; the chat format is deepseek-v2.
Json tokenizer_json(const TrainedBpe& bpe);
Json tokenizer_config_json();

// Writes tokenizer.json, tokenizer_config.json and chat_template.jinja; the folder is made where it does not exist.
void write_tokenizer_folder(const std::string& folder, const TrainedBpe& bpe);

}  // namespace dslite
