// Files that survive: whole reads, durable writes (write, fsync, rename, fsync the folder), memory maps, locks. Errors
// name the path and the system's reason.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace dslite {

// The whole file. UserError when it cannot be opened or is not a regular file.
std::string read_file(const std::string& path);

// A new file, created exclusively, written with loops over short writes and EINTR. Error on any failure; a failed fsync
// is final.
class DurableFile {
 public:
  enum class Existing { kRefuse, kReplace };
  explicit DurableFile(std::string path, Existing existing = Existing::kRefuse);
  ~DurableFile();  // closes without syncing when close() was not reached
  DurableFile(const DurableFile&) = delete;
  DurableFile& operator=(const DurableFile&) = delete;
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  void sync_and_close();
  int64_t size_bytes() const { return size_bytes_; }

 private:
  std::string path_;
  int descriptor_ = -1;
  int64_t size_bytes_ = 0;
};

// Replaces `path` by `text` in one step: path.tmp-<pid> is written and synced, renamed, its folder synced. The old file
// stays whole on any failure.
void write_file_atomically(const std::string& path, std::string_view text);
void sync_directory(const std::string& path);
void rename_durably(const std::string& from, const std::string& to);  // rename, then sync the parent of `to`
// Swaps two names of one folder in one step and syncs the folder; false when the file system cannot.
bool exchange_durably(const std::string& a, const std::string& b);
void make_directories(const std::string& path);

// A read-only memory map of a regular file. size 0 is legal.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }
  // Throws when the file's size or modification time is no longer what it was at the mapping.
  void check_unchanged() const;
  // Takes the whole pages inside `part` out of this process's memory; reading them again brings them back.
  void release(std::span<const std::byte> part) const;

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  int descriptor_ = -1;
  int64_t modified_ns_ = 0;
};

// An exclusive advisory lock (flock) on a file, held until destruction; UserError naming `what` when another process
// holds it.
class FileLock {
 public:
  FileLock(const std::string& path, const std::string& what);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int descriptor_ = -1;
};

int64_t free_space_bytes(const std::string& directory);

}  // namespace dslite
