// POSIX files.
#include "src/base/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "src/base/error.h"

namespace dslite {
namespace {

std::string reason() { return std::strerror(errno); }

int open_retrying(const std::string& path, int flags, mode_t mode = 0644) {
  int descriptor;
  do {
    descriptor = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

int64_t modified_ns(const struct stat& status) {
  return status.st_mtim.tv_sec * int64_t{1000000000} + status.st_mtim.tv_nsec;
}

std::string parent_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace

std::string read_file(const std::string& path) {
  const MappedFile file(path);
  return std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
}

DurableFile::DurableFile(std::string path, Existing existing) : path_(std::move(path)) {
  descriptor_ = open_retrying(path_, O_WRONLY | O_CREAT | (existing == Existing::kRefuse ? O_EXCL : O_TRUNC));
  if (descriptor_ < 0) fail_work("cannot create {}: {}", path_, reason());
}
DurableFile::~DurableFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}
void DurableFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail_work("cannot write {}: {}", path_, written == 0 ? "nothing was written" : reason());
    bytes = bytes.subspan(static_cast<size_t>(written));
    size_bytes_ += written;
  }
}
void DurableFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }
void DurableFile::sync_and_close() {
  int result;
  do {
    result = ::fsync(descriptor_);
  } while (result != 0 && errno == EINTR);
  if (result != 0) fail_work("cannot sync {}: {}", path_, reason());
  const int descriptor = descriptor_;
  descriptor_ = -1;
  if (::close(descriptor) != 0 && errno != EINTR) fail_work("cannot close {}: {}", path_, reason());
}

void write_file_atomically(const std::string& path, std::string_view text) {
  const std::string temporary = path + ".tmp-" + std::to_string(::getpid());
  ::unlink(temporary.c_str());
  try {
    DurableFile file(temporary);
    file.write(text);
    file.sync_and_close();
    rename_durably(temporary, path);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

void sync_directory(const std::string& path) {
  const int descriptor = open_retrying(path, O_RDONLY | O_DIRECTORY);
  if (descriptor < 0) fail_work("cannot open folder {}: {}", path, reason());
  int result;
  do {
    result = ::fsync(descriptor);
  } while (result != 0 && errno == EINTR);
  const int error = errno;
  ::close(descriptor);
  if (result != 0) fail_work("cannot sync folder {}: {}", path, std::strerror(error));
}
void rename_durably(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) fail_work("cannot rename {} to {}: {}", from, to, reason());
  sync_directory(parent_of(to));
}

bool exchange_durably(const std::string& a, const std::string& b) {
  if (::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) != 0) {
    if (errno == EINVAL || errno == ENOSYS) return false;
    fail_work("cannot exchange {} and {}: {}", a, b, reason());
  }
  sync_directory(parent_of(a));
  return true;
}

void make_directories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) fail_work("cannot make folder {}: {}", path, error.message());
  if (!std::filesystem::is_directory(path)) fail_input("{}: found a file, expected a folder", path);
}

MappedFile::MappedFile(const std::string& path) : path_(path) {
  descriptor_ = open_retrying(path, O_RDONLY | O_NONBLOCK);  // O_NONBLOCK: a named pipe must not hang
  if (descriptor_ < 0) fail_input("cannot open {}: {}", path, reason());
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    fail_input("{}: found {}, expected a regular file", path, S_ISDIR(status.st_mode) ? "a folder" : "something else");
  }
  size_ = static_cast<size_t>(status.st_size);
  modified_ns_ = modified_ns(status);
  if (size_ == 0) return;
  void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, descriptor_, 0);
  if (mapped == MAP_FAILED) {
    const std::string why = reason();
    ::close(descriptor_);
    fail_work("cannot map {}: {}", path, why);
  }
  data_ = static_cast<const std::byte*>(mapped);
}
MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
  if (descriptor_ >= 0) ::close(descriptor_);
}
void MappedFile::check_unchanged() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0 || static_cast<size_t>(status.st_size) != size_ ||
      modified_ns(status) != modified_ns_) {
    fail_input("{}: the file changed while it was read", path_);
  }
}

void MappedFile::release(std::span<const std::byte> part) const {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(part.data()), end = begin + part.size();
  const uintptr_t first = (begin + page - 1) / page * page, last = end / page * page;
  if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

FileLock::FileLock(const std::string& path, const std::string& what) {
  descriptor_ = open_retrying(path, O_RDWR | O_CREAT);
  if (descriptor_ < 0) fail_work("cannot open the lock file {}: {}", path, reason());
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    ::close(descriptor_);
    fail_input("{} is in use by another process (lock file {})", what, path);
  }
}
FileLock::~FileLock() { ::close(descriptor_); }

int64_t free_space_bytes(const std::string& directory) {
  struct statvfs status {};
  if (::statvfs(directory.c_str(), &status) != 0)
    fail_work("cannot read the free space of {}: {}", directory, reason());
  return static_cast<int64_t>(status.f_bavail) * static_cast<int64_t>(status.f_frsize);
}

}  // namespace dslite
