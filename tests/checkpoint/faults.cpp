// The interposed functions.
#include "tests/checkpoint/faults.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <map>
#include <vector>

namespace dslite::faults {
namespace {

struct Created {
  std::string path;
  bool data_synced = false, name_synced = false;
};
struct Plan {
  bool armed = false, fired = false, inside = false;
  std::string folder;
  int64_t operation = 0, count = 0;
  Kind kind = Kind::kIo;
  std::map<int, std::string> open_files;  // by descriptor
  std::vector<Created> created;
  std::vector<std::pair<std::string, std::string>> renames;  // not yet synced
};
Plan& plan() {
  static Plan value;
  return value;
}

template <class Function>
Function original(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

std::string parent(const std::string& path) { return path.substr(0, path.rfind('/')); }
bool counts(const std::string& path) { return plan().armed && !plan().inside && path.starts_with(plan().folder); }

void lose_what_was_not_synced() {
  for (const Created& file : plan().created) {
    if (!file.name_synced) {
      ::syscall(SYS_unlink, file.path.c_str());
    } else if (!file.data_synced) {
      ::syscall(SYS_truncate, file.path.c_str(), 0);
    }
  }
  for (auto it = plan().renames.rbegin(); it != plan().renames.rend(); ++it) {
    ::syscall(SYS_rename, it->second.c_str(), it->first.c_str());
  }
}

enum class Outcome : uint8_t { kPass, kFail, kShort };

// Called before each operation.
Outcome decide(bool interruptible, bool writes) {
  Plan& p = plan();
  if (++p.count != p.operation) return Outcome::kPass;
  if ((p.kind == Kind::kInterrupted && !interruptible) || (p.kind == Kind::kShortWrite && !writes))
    return Outcome::kPass;
  p.fired = true;
  if (p.kind == Kind::kCrashLosing) lose_what_was_not_synced();
  if (p.kind == Kind::kCrash && writes) return Outcome::kShort;
  if (p.kind == Kind::kCrash || p.kind == Kind::kCrashLosing) ::_exit(kCrashExitCode);
  if (p.kind == Kind::kShortWrite) return Outcome::kShort;
  errno = p.kind == Kind::kNoSpace ? ENOSPC : p.kind == Kind::kIo ? EIO : EINTR;
  return Outcome::kFail;
}

void synced(const std::string& path) {
  for (Created& file : plan().created) {
    if (file.path == path) file.data_synced = true;
    if (parent(file.path) == path) file.name_synced = true;
  }
  std::erase_if(plan().renames, [&](const auto& names) { return parent(names.second) == path; });
}

void renamed(const std::string& from, const std::string& to) {
  plan().renames.emplace_back(from, to);
  for (Created& file : plan().created) {
    if (file.path.starts_with(from + "/")) file.path = to + file.path.substr(from.size());
  }
}

}  // namespace

void arm(const std::string& folder, int64_t operation, Kind kind) {
  plan() = Plan{};
  plan().folder = folder;
  plan().operation = operation;
  plan().kind = kind;
  plan().armed = true;
}
int64_t disarm() {
  plan().armed = false;
  return plan().count;
}
bool fired() { return plan().fired; }

// Shared by the C functions below.
int open_file(const char* path, int flags, mode_t mode) {
  const auto real = original<int (*)(const char*, int, ...)>("open");
  const bool counted = counts(path) && (flags & O_CREAT) != 0;
  if (counted && decide(true, false) == Outcome::kFail) return -1;
  const int descriptor = real(path, flags, mode);
  if (counts(path) && descriptor >= 0) {
    plan().open_files[descriptor] = path;
    if (counted) plan().created.push_back({.path = path});
  }
  return descriptor;
}
ssize_t write_file(int descriptor, const void* data, size_t size) {
  const auto real = original<ssize_t (*)(int, const void*, size_t)>("write");
  const auto found = plan().open_files.find(descriptor);
  if (!plan().armed || found == plan().open_files.end()) return real(descriptor, data, size);
  const Outcome outcome = decide(true, true);
  if (outcome == Outcome::kFail) return -1;
  const ssize_t written = real(descriptor, data, outcome == Outcome::kShort ? (size + 1) / 2 : size);
  if (outcome == Outcome::kShort && plan().kind == Kind::kCrash) ::_exit(kCrashExitCode);
  return written;
}
int sync_file(int descriptor) {
  const auto real = original<int (*)(int)>("fsync");
  const auto found = plan().open_files.find(descriptor);
  if (!plan().armed || found == plan().open_files.end()) return real(descriptor);
  if (decide(true, false) == Outcome::kFail) return -1;
  const int result = real(descriptor);
  if (result == 0) synced(found->second);
  return result;
}
int close_file(int descriptor) {
  const auto real = original<int (*)(int)>("close");
  const auto found = plan().open_files.find(descriptor);
  if (!plan().armed || found == plan().open_files.end()) return real(descriptor);
  plan().open_files.erase(found);
  const bool failed = decide(true, false) == Outcome::kFail;
  const int error = errno;
  const int result = real(descriptor);  // the descriptor is gone either way
  if (!failed) return result;
  errno = error;
  return -1;
}
template <class Call>
int by_name(const char* path, const Call& call) {
  if (counts(path) && decide(false, false) == Outcome::kFail) return -1;
  return call();
}

}  // namespace dslite::faults

using dslite::faults::by_name;
using dslite::faults::original;

extern "C" {
int open(const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(list, mode_t) : 0;
  va_end(list);
  return dslite::faults::open_file(path, flags, mode);
}
ssize_t write(int descriptor, const void* data, size_t size) {
  return dslite::faults::write_file(descriptor, data, size);
}
int fsync(int descriptor) { return dslite::faults::sync_file(descriptor); }
int close(int descriptor) { return dslite::faults::close_file(descriptor); }
int mkdir(const char* path, mode_t mode) noexcept {
  return by_name(path, [&] { return original<int (*)(const char*, mode_t)>("mkdir")(path, mode); });
}
int rename(const char* from, const char* to) noexcept {
  return by_name(to, [&] {
    const int result = original<int (*)(const char*, const char*)>("rename")(from, to);
    if (result == 0 && dslite::faults::counts(to)) dslite::faults::renamed(from, to);
    return result;
  });
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) noexcept {
  return by_name(to, [&] {
    return original<int (*)(int, const char*, int, const char*, unsigned)>("renameat2")(from_folder, from, to_folder,
                                                                                        to, flags);
  });
}
int unlink(const char* path) noexcept {
  return by_name(path, [&] { return original<int (*)(const char*)>("unlink")(path); });
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  // Relative names too: remove_all walks with descriptors.
  return by_name(path[0] == '/' ? path : dslite::faults::plan().folder.c_str(),
                 [&] { return original<int (*)(int, const char*, int)>("unlinkat")(folder, path, flags); });
}
int rmdir(const char* path) noexcept {
  return by_name(path, [&] { return original<int (*)(const char*)>("rmdir")(path); });
}
}
