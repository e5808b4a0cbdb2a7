// Sampled completions in the training loop: greedy, so that they show the model and not the dice.
#pragma once
#include <string>
#include <vector>

#include "src/model_folder/model_folder.h"

namespace dslite {

struct SampleOptions {
  std::vector<std::string> prompts;
  int64_t max_new_tokens = 64;
  bool chat = false;  // each prompt is a user's message; else text after bos
};
// One completion a prompt. UserError when the model has no tokenizer, or no chat format that `chat` needs.
std::vector<std::string> sample_completions(const DeepseekV2& model, const OpenModel& open,
                                            const SampleOptions& options);

}  // namespace dslite
