// Patterns, one folder level after another.
#include "src/data/input_paths.h"

#include <fnmatch.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "src/base/error.h"

namespace dslite {
namespace {

namespace fs = std::filesystem;

bool is_pattern(const std::string& text) { return text.find_first_of("*?[") != std::string::npos; }

std::vector<fs::path> sorted_entries(const fs::path& folder) {
  std::vector<fs::path> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder.empty() ? fs::path(".") : folder, error))
    names.push_back(entry.path().filename());
  if (error && error != std::errc::not_a_directory && error != std::errc::no_such_file_or_directory)
    fail_input("cannot read the folder {}: {}", folder.string(), error.message());
  std::sort(names.begin(), names.end());
  return names;
}

// Files below `folder` that match the parts from `part` on.
void match(const fs::path& folder, const std::vector<std::string>& parts, size_t part,
           std::vector<std::string>& found) {
  const bool last = part + 1 == parts.size();
  if (!is_pattern(parts[part])) {
    const fs::path path = folder / parts[part];
    if (!last) return match(path, parts, part + 1, found);
    if (fs::is_regular_file(path)) found.push_back(path.string());
    return;
  }
  const bool any_folders = parts[part] == "**";
  if (any_folders && !last) match(folder, parts, part + 1, found);
  for (const fs::path& name : sorted_entries(folder)) {
    const fs::path path = folder / name;
    if (::fnmatch(parts[part].c_str(), name.c_str(), FNM_PERIOD) != 0) continue;
    if (last && fs::is_regular_file(path)) found.push_back(path.string());
    if (!fs::is_directory(path) || (any_folders && fs::is_symlink(path))) continue;
    if (any_folders || !last) match(path, parts, any_folders ? part : part + 1, found);
  }
}

std::vector<std::string> expand(const std::string& input) {
  std::error_code ignored;
  if (!is_pattern(input) || fs::exists(input, ignored)) return {input};
  std::vector<std::string> parts, found;
  const fs::path pattern(input);
  for (const fs::path& part : pattern.relative_path()) {
    if (!part.empty()) parts.push_back(part.string());
  }
  match(pattern.root_path(), parts, 0, found);
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());  // of several `**`
  if (found.empty()) fail_input("{}: no file matches this pattern", input);
  return found;
}

}  // namespace

std::vector<std::string> expand_inputs(const std::vector<std::string>& inputs) {
  std::vector<std::string> paths;
  std::map<fs::path, std::string> seen;
  for (const std::string& input : inputs) {
    for (const std::string& path : expand(input)) {
      std::error_code ignored;
      const auto [before, is_new] = seen.emplace(fs::weakly_canonical(path, ignored), path);
      if (!is_new) {
        fail_input("{}: is among the inputs twice{}; a weight in the recipe shows a file more often", path,
                   before->second == path ? "" : fmt::format(" (also as {})", before->second));
      }
      paths.push_back(path);
    }
  }
  return paths;
}

}  // namespace dslite
