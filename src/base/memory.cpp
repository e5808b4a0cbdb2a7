#include "src/base/memory.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <string>

#include "src/base/control_group.h"

namespace dslite {
namespace {

// "VmHWM:     123 kB" of a /proc file.
int64_t field_bytes(const char* path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(name)) continue;
    const size_t digit = line.find_first_of("0123456789");
    int64_t kib = 0;
    if (digit != std::string::npos) std::from_chars(line.data() + digit, line.data() + line.size(), kib);
    return kib * 1024;
  }
  return 0;
}

}  // namespace

ProcessMemory process_memory() {
  return {.resident_bytes = field_bytes("/proc/self/status", "VmRSS:"),
          .peak_resident_bytes = field_bytes("/proc/self/status", "VmHWM:")};
}
int64_t available_memory_bytes() {
  std::ifstream file("/proc/self/cgroup");
  const std::string groups{std::istreambuf_iterator<char>(file), {}};
  const int64_t machine = field_bytes("/proc/meminfo", "MemAvailable:");
  return std::min(machine, control_group_memory_left(groups).value_or(machine));
}
int64_t free_swap_bytes() { return field_bytes("/proc/meminfo", "SwapFree:"); }

}  // namespace dslite
