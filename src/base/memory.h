// The memory of this process and of the machine, as Linux reports it; 0 where it does not.
#pragma once
#include <cstdint>

namespace dslite {

struct ProcessMemory {
  int64_t resident_bytes = 0;       // now (VmRSS)
  int64_t peak_resident_bytes = 0;  // the most so far (VmHWM)
};
ProcessMemory process_memory();
int64_t available_memory_bytes();  // what can be had without swapping: MemAvailable, or what a container leaves
int64_t free_swap_bytes();

}  // namespace dslite
