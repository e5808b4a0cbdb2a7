// The layout of a run folder.
#include "src/train/run_folder.h"

#include <filesystem>

#include "src/base/error.h"

namespace dslite {
namespace {

namespace fs = std::filesystem;

bool may_hold(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name != "lock" && name != "model") return false;
  }
  return true;
}

}  // namespace

RunFolder::RunFolder(const std::string& path) : path_(path) {
  if (fs::exists(path) && !fs::is_directory(path)) fail_input("run.folder {}: found a file, expected a folder", path);
  if (fs::exists(path) && !fs::exists(recipe_path()) && !may_hold(path)) {
    fail_input("run.folder {}: the folder is not empty and holds no recipe.toml; expected an empty folder or a run",
               path);
  }
  make_directories(path);
  lock_ = std::make_unique<FileLock>(path + "/lock", "run folder " + path);
}

std::optional<RunConfig> RunFolder::saved_recipe() const {
  if (!fs::exists(recipe_path())) return std::nullopt;
  return read_resolved_recipe(recipe_path());
}

void RunFolder::start(const std::string& model_folder, const RunConfig& config) const {
  make_directories(path_ + "/model");
  for (const char* name :
       {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}) {
    const std::string source = model_folder + "/" + name;
    if (fs::exists(source)) write_file_atomically(path_ + "/model/" + name, read_file(source));
  }
  save_recipe(config);
}

void RunFolder::save_recipe(const RunConfig& config) const {
  write_file_atomically(recipe_path(), resolved_toml(config));
}

}  // namespace dslite
