// What generate, chat and eval share: the options that choose a model, and the model with its tokenizer.
#pragma once
#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "src/generate/generator.h"
#include "src/model_folder/model_folder.h"

namespace dslite {

struct ModelChoice {
  std::string path, dtype;  // dtype empty: the model's own
};
void add_model_options(CLI::App& app, ModelChoice& choice);

struct OpenedModel {
  OpenModel folder;
  std::unique_ptr<DeepseekV2> model;
  std::string path;
  // UserError naming the folder when it has none.
  const Tokenizer& tokenizer() const;
  const ChatFormat& chat_format() const;
  // Of the model's and the tokenizer's configuration.
  std::vector<int32_t> eos_ids() const;
};
OpenedModel open_chosen_model(const ModelChoice& choice);

struct SamplingChoice {
  Sampling sampling;
  int64_t max_new_tokens = 256;
};
void add_sampling_options(CLI::App& app, SamplingChoice& choice);
// UserError for values out of range; a warning for those without effect.
void check_sampling(const CLI::App& app, const SamplingChoice& choice);

// The text of a reply, piece by piece: special tokens give nothing, ids that the tokenizer does not know U+FFFD.
class ReplyText {
 public:
  explicit ReplyText(const Tokenizer& tokenizer) : tokenizer_(tokenizer), decoder_(tokenizer) {}
  std::string push(int32_t id);
  std::string finish() { return decoder_.finish(); }

 private:
  const Tokenizer& tokenizer_;
  StreamDecoder decoder_;
};
std::string reply_text(const Tokenizer& tokenizer, std::span<const int32_t> ids);

// To stdout at once; Error when it cannot be written.
void print_result(std::string_view text);

}  // namespace dslite
