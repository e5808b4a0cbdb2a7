// Walks a folder. Hidden names and links are left out, and their number is said.
#include "src/data/source_tree.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>

#include "src/base/error.h"
#include "src/base/files.h"

namespace dslite {
namespace {

constexpr size_t kBatchRecords = 4096;
constexpr size_t kBatchBytes = size_t{8} << 20;

}  // namespace

SourceTree::SourceTree(const std::string& path) : Input(path) {
  namespace fs = std::filesystem;
  int64_t hidden = 0, others = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().filename().string().starts_with('.')) {
      ++hidden;
      if (entry->is_directory()) entry.disable_recursion_pending();
    } else if (entry->is_symlink() || (!entry->is_directory() && !entry->is_regular_file())) {
      ++others;
    } else if (entry->is_regular_file()) {
      const auto bytes = static_cast<int64_t>(entry->file_size());
      files_.push_back({entry->path().lexically_relative(path).string(), bytes});
      size_bytes_ += bytes;
    }
  }
  if (error) fail_input("cannot read the folder {}: {}", path, error.message());
  if (files_.empty()) fail_input("{}: found no files in the folder", path);
  std::sort(files_.begin(), files_.end(), [](const File& a, const File& b) { return a.name < b.name; });
  if (hidden + others > 0)
    spdlog::info("{}: left out: hidden names {}, links and devices {}", path, hidden, others);
}

bool SourceTree::next(RecordBatch& batch) {
  batch.records.clear();
  batch.text.clear();
  std::vector<size_t> ends;
  while (next_ < files_.size() && ends.size() < kBatchRecords && batch.text.size() < kBatchBytes) {
    const File& file = files_[next_++];
    RawRecord record{.file = file.name, .too_large = file.bytes > static_cast<int64_t>(kMaxTextBytes)};
    const std::string text = record.too_large ? std::string() : read_file(path_ + "/" + file.name);
    sha256_.add(fmt::format("{}\n{}\n", file.name, file.bytes));
    sha256_.add(text);
    batch.text += text;
    bytes_done_ += file.bytes;
    batch.records.push_back(std::move(record));
    ends.push_back(batch.text.size());
  }
  size_t begin = 0;
  for (size_t i = 0; i < ends.size(); begin = ends[i++])
    batch.records[i].bytes = std::string_view(batch.text).substr(begin, ends[i] - begin);
  return !ends.empty();
}

}  // namespace dslite
