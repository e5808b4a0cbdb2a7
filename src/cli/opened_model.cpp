#include "src/cli/opened_model.h"

#include <spdlog/spdlog.h>

#include <cstdio>

#include "src/base/error.h"

namespace dslite {

void add_model_options(CLI::App& app, ModelChoice& choice) {
  app.add_option("--model", choice.path,
                 "a model folder, a run folder (its newest sound checkpoint) or RUN/checkpoints/step-N")
      ->required();
  app.add_option("--dtype", choice.dtype, "float32 or bfloat16, of weights and activations (default: the model's own)")
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->capture_default_str();
}

OpenedModel open_chosen_model(const ModelChoice& choice) {
  OpenedModel opened{.folder = open_model(choice.path), .model = nullptr, .path = choice.path};
  const std::string& dtype = choice.dtype.empty() ? opened.folder.config.torch_dtype : choice.dtype;
  opened.model = load_model(opened.folder, {.dtype = dtype == "float32" ? at::kFloat : at::kBFloat16, .trained = {}});
  return opened;
}

const Tokenizer& OpenedModel::tokenizer() const {
  if (!folder.tokenizer) fail_input("{}: the model folder has no tokenizer.json, which text needs", path);
  return *folder.tokenizer;
}

const ChatFormat& OpenedModel::chat_format() const {
  if (!folder.chat_format) fail_input("{}: messages need a chat format: {}", path, folder.chat_format_problem);
  return *folder.chat_format;
}

std::vector<int32_t> OpenedModel::eos_ids() const {
  std::vector<int32_t> ids;
  if (folder.config.eos_token_id) ids.push_back(static_cast<int32_t>(*folder.config.eos_token_id));
  if (const auto eos = folder.tokenizer ? folder.tokenizer->eos_id() : std::nullopt;
      eos && (ids.empty() || ids[0] != *eos))
    ids.push_back(*eos);
  return ids;
}

void add_sampling_options(CLI::App& app, SamplingChoice& choice) {
  app.add_option("--max-new-tokens", choice.max_new_tokens, "tokens of a reply at most")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
  app.add_option("--temperature", choice.sampling.temperature, "0: greedy");
  app.add_option("--top-p", choice.sampling.top_p,
                 "draw from the most probable tokens that together hold this probability");
  app.add_option("--seed", choice.sampling.seed, "of the random numbers")->check(CLI::NonNegativeNumber);
}

void check_sampling(const CLI::App& app, const SamplingChoice& choice) {
  const auto& [temperature, top_p, seed] = choice.sampling;
  if (!(temperature >= 0 && temperature <= 100))
    fail_input("--temperature: found {}, expected a number from 0 to 100", temperature);
  if (!(top_p > 0 && top_p <= 1)) fail_input("--top-p: found {}, expected a number above 0 and at most 1", top_p);
  for (const char* name : {"--top-p", "--seed"}) {
    if (temperature == 0 && app.count(name) > 0)
      spdlog::warn("{} has no effect at --temperature 0, which is greedy", name);
  }
}

std::string ReplyText::push(int32_t id) {
  try {
    tokenizer_.token_bytes(id);
  } catch (const UserError&) {  // the vocabulary of the weights is larger than the tokenizer's
    return decoder_.finish() + "\uFFFD";
  }
  return decoder_.push(id);
}

std::string reply_text(const Tokenizer& tokenizer, std::span<const int32_t> ids) {
  ReplyText text(tokenizer);
  std::string out;
  for (const int32_t id : ids) out += text.push(id);
  return out + text.finish();
}

void print_result(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    fail_work("stdout: cannot write");
}

}  // namespace dslite
