// A tiny random model folder with a tokenizer, for tests of the commands that run models; and the same model in this
// process.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "src/model_folder/model_folder.h"
#include "tests/support/process.h"
#include "tests/support/temp_folder.h"

namespace dslite::testing {

struct FixtureOptions {
  int64_t max_position_embeddings = 400;
  bool chat_template = true;
};

class ModelFolderFixture {
 public:
  explicit ModelFolderFixture(const FixtureOptions& options = {});
  const std::string& folder() const { return model_folder_; }
  std::string path(const std::string& name) const { return temp_ / name; }
  const DeepseekV2& model() const { return *model_; }
  const Tokenizer& tokenizer() const { return *open_.tokenizer; }
  const ChatFormat& chat_format() const { return *open_.chat_format; }
  int32_t eos() const { return *tokenizer().eos_id(); }
  // Greedy, by the training forward over the whole sequence for each token; ends with eos or after `count`.
  std::vector<int32_t> greedy(std::vector<int32_t> tokens, int64_t count) const;
  // Runs `dslite COMMAND --model FOLDER arguments...` with one thread.
  ProcessResult run(const std::string& command, std::vector<std::string> arguments,
                    const std::string& input = {}) const;

 private:
  TempFolder temp_;
  std::string model_folder_;
  OpenModel open_;
  std::unique_ptr<DeepseekV2> model_;
};

std::string dslite_program();
// Logits of every token by the training forward, [T, V].
at::Tensor training_logits(const DeepseekV2& model, const std::vector<int32_t>& tokens);

}  // namespace dslite::testing
