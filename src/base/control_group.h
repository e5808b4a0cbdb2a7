// The limit that a container or a service manager sets for the memory of its processes (Linux control groups, versions
// 1 and 2; kernel documentation, admin-guide/cgroup-v1/memory and cgroup-v2).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dslite {

// What a process in `groups` (the text of /proc/<pid>/cgroup) may still take: the least, over its group and all above
// it, of limit - usage + file pages that would be given up at once. Nothing when no group has a limit. `root` is where
// the groups are mounted; a container sees its own group there, whatever its name is outside.
std::optional<int64_t> control_group_memory_left(std::string_view groups, const std::string& root = "/sys/fs/cgroup");

}  // namespace dslite
