#include "src/base/control_group.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace dslite {
namespace {

// The names of one version's files.
struct Names {
  const char *limit, *usage, *file_pages;  // file_pages: a line of memory.stat
};
constexpr Names kVersion1{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"};
constexpr Names kVersion2{"memory.max", "memory.current", "inactive_file"};
constexpr int64_t kUnlimited = int64_t{1} << 60;  // version 1 says "none" by a number near 2^63

std::optional<int64_t> number_in(const std::filesystem::path& path) {
  std::ifstream file(path);
  int64_t value = 0;
  return file >> value ? std::optional(value) : std::nullopt;  // "max" is no number
}

int64_t statistic(const std::filesystem::path& path, const std::string& name) {
  std::ifstream file(path);
  std::string key;
  for (int64_t value = 0; file >> key >> value;)
    if (key == name) return value;
  return 0;
}

std::optional<int64_t> left_in(const std::filesystem::path& group, const Names& names) {
  const std::optional<int64_t> limit = number_in(group / names.limit), usage = number_in(group / names.usage);
  if (!limit || !usage || *limit >= kUnlimited) return std::nullopt;
  return std::max<int64_t>(0, *limit - *usage + statistic(group / "memory.stat", names.file_pages));
}

// Of the group and of all above it, the mounted root included.
std::optional<int64_t> least_left(const std::filesystem::path& mount, std::filesystem::path group, const Names& names) {
  std::optional<int64_t> least;
  for (group = group.relative_path();; group = group.parent_path()) {
    if (const auto left = left_in(mount / group, names)) least = std::min(least.value_or(*left), *left);
    if (group.empty()) return least;
  }
}

}  // namespace

std::optional<int64_t> control_group_memory_left(std::string_view groups, const std::string& root) {
  std::optional<int64_t> least;
  std::istringstream lines{std::string(groups)};
  for (std::string line; std::getline(lines, line);) {  // number:controllers:/path
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string group = line.substr(second + 1);
    std::optional<int64_t> left;
    if (controllers == ",,") left = least_left(root, group, kVersion2);
    if (controllers.find(",memory,") != std::string::npos)
      left = least_left(std::filesystem::path(root) / "memory", group, kVersion1);
    if (left) least = std::min(least.value_or(*left), *left);
  }
  return least;
}

}  // namespace dslite
