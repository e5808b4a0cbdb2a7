// What every kind of input shares.
#include "src/data/readers.h"

#include <filesystem>

#include "src/base/error.h"
#include "src/data/input_file.h"
#include "src/data/source_tree.h"

namespace dslite {

std::string RawRecord::where(const std::string& path) const {
  if (!file.empty()) return fmt::format("{}/{}:{}", path, file, line);
  return index < 0 ? fmt::format("{}:{}", path, line) : fmt::format("{}:{} (element {})", path, line, index);
}

std::string Input::name() const {
  const std::filesystem::path path(path_);
  return path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
}

std::unique_ptr<Input> open_input(const std::string& path, std::optional<RawFormat> forced) {
  if (!std::filesystem::is_directory(path)) return std::make_unique<InputFile>(path, forced);
  if (forced != RawFormat::kText)
    fail_input(
        "{}: is a folder: --format text reads each of its files as a document; else name its files, such as "
        "'{}/**/*.jsonl' (quoted)",
        path, path);
  return std::make_unique<SourceTree>(path);
}

}  // namespace dslite
