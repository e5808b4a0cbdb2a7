// Makes the k-th file operation of this process fail, or ends the process there. The functions of the C library that
// change files (open for creation, write, fsync, close, mkdir, rename, renameat2, unlink, unlinkat, rmdir) are defined
// in the test binary, count, and pass on.
#pragma once
#include <cstdint>
#include <string>

namespace dslite::faults {

enum class Kind : uint8_t {
  kNoSpace,      // ENOSPC
  kIo,           // EIO
  kInterrupted,  // EINTR, where the system may report it
  kShortWrite,   // half of the bytes
  kCrash,        // the process ends inside the operation
  kCrashLosing,  // the same, and what was not synced is lost: data, names, renames
};
constexpr int kCrashExitCode = 42;

// From now on; operations under `folder` count from 1.
void arm(const std::string& folder, int64_t operation, Kind kind);
// Returns how many operations there were.
int64_t disarm();
bool fired();

}  // namespace dslite::faults
