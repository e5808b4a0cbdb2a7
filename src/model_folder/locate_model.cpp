// What a --model argument names.
#include <spdlog/spdlog.h>

#include <filesystem>

#include "src/base/error.h"
#include "src/checkpoint/run_checkpoint.h"
#include "src/model_folder/model_folder.h"

namespace dslite {

namespace fs = std::filesystem;

ModelLocation locate_model(const std::string& path) {
  if (!fs::exists(path))
    fail_input("{}: no such folder; expected a model folder, a run folder or RUN/checkpoints/step-N", path);
  if (fs::exists(path + "/config.json")) return {.model_folder = path, .checkpoint = std::nullopt};
  if (fs::exists(path + "/recipe.toml")) {
    const auto newest = newest_sound_checkpoint(path, [](const std::string& folder, const std::string& reason) {
      spdlog::warn("{} is rejected: {}", folder, reason);
    });
    if (!newest) fail_input("{}: the run has no checkpoint yet", path);
    return {.model_folder = path + "/model", .checkpoint = newest->folder};
  }
  if (fs::exists(path + "/manifest.json")) {
    const fs::path run = fs::absolute(path).lexically_normal().parent_path();
    const fs::path checkpoints =
        run.filename().empty() || fs::path(path).filename().empty() ? run.parent_path() : run;  // a trailing slash
    return {.model_folder = (checkpoints.parent_path() / "model").string(), .checkpoint = path};
  }
  fail_input("{}: found neither config.json (a model folder) nor recipe.toml (a run) nor manifest.json (a checkpoint)",
             path);
}

}  // namespace dslite
