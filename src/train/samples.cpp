// Samples through the generator.
#include "src/train/samples.h"

#include "src/base/error.h"
#include "src/generate/generator.h"

namespace dslite {
namespace {

std::vector<int32_t> prompt_tokens(const OpenModel& open, const std::string& prompt, bool chat) {
  if (!chat) return open.tokenizer->encode(prompt, {.add_special = true});
  return tokenize_chat(*open.tokenizer, open.chat_format->render({{.role = Role::kUser, .text = prompt}}, true)).tokens;
}

}  // namespace

std::vector<std::string> sample_completions(const DeepseekV2& model, const OpenModel& open,
                                            const SampleOptions& options) {
  if (!open.tokenizer) fail_input("run.sample_prompts: {} has no tokenizer", open.location.model_folder);
  if (options.chat && !open.chat_format)
    fail_input("run.sample_prompts: {}: {}", open.location.model_folder, open.chat_format_problem);
  std::vector<GenerationRequest> requests;
  for (const std::string& prompt : options.prompts)
    requests.push_back({.prompt = prompt_tokens(open, prompt, options.chat)});
  GenerationOptions generation{.sampling = {.temperature = 0}, .max_new_tokens = options.max_new_tokens};
  if (const auto eos = open.tokenizer->eos_id()) generation.eos_ids = {*eos};
  std::vector<std::string> completions;
  for (const Reply& reply : Generator(model).complete(requests, generation))
    completions.push_back(open.tokenizer->decode(reply.tokens, true));
  return completions;
}

}  // namespace dslite
