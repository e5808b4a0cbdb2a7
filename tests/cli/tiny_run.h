// A tiny model, tokenizer and token files made with the dslite binary itself, for tests that train.
#pragma once
#include <string>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/temp_folder.h"

namespace dslite::testing {

// The path of the binary under test.
std::string dslite_binary();
ProcessResult dslite(const std::vector<std::string>& arguments, const std::string& input = {});

struct TinyRunOptions {
  std::string dtype = "float32", moments = "float32";
  bool q_lora = false;
};

class TinyRun {
 public:
  explicit TinyRun(const TinyRunOptions& options = {});  // throws with the program's message when a step fails
  // The arguments of `dslite train` for a run in `folder`.
  std::vector<std::string> train_arguments(const std::string& folder,
                                           const std::vector<std::string>& overrides = {}) const;
  std::string path(const std::string& name) const { return folder_ / name; }

 private:
  TempFolder folder_;
};

// Everything that must be equal between two runs: names and bytes of the newest checkpoint's tensors, metrics without
// timing.
struct RunResult {
  std::string newest_checkpoint;  // "step-30"
  std::vector<std::pair<std::string, std::string>> tensor_files;
  std::string metrics;
};
RunResult run_result(const std::string& run_folder);

}  // namespace dslite::testing
