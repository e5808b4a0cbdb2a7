// A run folder: recipe.toml (resolved), model/ (config and tokenizer files), checkpoints/, metrics.jsonl, tensorboard/,
// summary.json. One writer at a time.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "src/base/files.h"
#include "src/train/run_config.h"

namespace dslite {

class RunFolder {
 public:
  // Makes or opens it and takes its lock. UserError when the folder holds something else or another process trains in
  // it.
  explicit RunFolder(const std::string& path);
  const std::string& path() const { return path_; }
  // The recipe that the run was started with; empty for a new run.
  std::optional<RunConfig> saved_recipe() const;
  std::string recipe_path() const { return path_ + "/recipe.toml"; }
  // Copies config and tokenizer files of the model folder (not the weights), then writes the recipe: from here on it is
  // a run.
  void start(const std::string& model_folder, const RunConfig& config) const;
  void save_recipe(const RunConfig& config) const;

 private:
  std::string path_;
  std::unique_ptr<FileLock> lock_;
};

}  // namespace dslite
