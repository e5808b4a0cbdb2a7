// Told by what lies there, not by names; a file that is no JSON is taken for a token file, whose reader says more.
#include "src/cli/path_kind.h"

#include <filesystem>

#include "src/base/error.h"

namespace dslite {

PathKind kind_of_path(const std::string& path) {
  namespace fs = std::filesystem;
  if (!fs::exists(path)) fail_input("{}: no such file or folder", path);
  if (!fs::is_directory(path)) return path.ends_with(".json") ? PathKind::kConfigFile : PathKind::kTokenFile;
  if (fs::exists(path + "/config.json")) return PathKind::kModelFolder;
  if (fs::exists(path + "/manifest.json")) return PathKind::kCheckpoint;
  if (fs::is_directory(path + "/checkpoints")) return PathKind::kRun;
  fail_input("{}: found neither config.json (a model folder) nor manifest.json (a checkpoint) nor checkpoints/ (a run)",
             path);
}

}  // namespace dslite
