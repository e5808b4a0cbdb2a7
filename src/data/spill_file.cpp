// Unnamed temporary files: O_TMPFILE, or a name that is removed at once.
#include "src/data/spill_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "src/base/error.h"

namespace dslite {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 18;

}  // namespace

SpillFile::SpillFile(const std::string& folder) : folder_(folder) {
  descriptor_ = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor_ < 0) {
    std::string name = folder + "/.dslite-spill-XXXXXX";
    descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
    if (descriptor_ < 0) fail_work("cannot create a temporary file in {}: {}", folder, std::strerror(errno));
    ::unlink(name.c_str());
  }
  buffer_.reserve(kBufferBytes);
}
SpillFile::~SpillFile() { ::close(descriptor_); }

void SpillFile::append(std::span<const std::byte> bytes) {
  size_bytes_ += bytes.size();
  while (!bytes.empty()) {
    const size_t piece = std::min(bytes.size(), kBufferBytes - buffer_.size());
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(piece));
    bytes = bytes.subspan(piece);
    if (buffer_.size() == kBufferBytes) flush();
  }
}

void SpillFile::flush() {
  std::span<const std::byte> bytes = buffer_;
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0)
      fail_work("cannot write a temporary file in {}: {}", folder_,
                written == 0 ? "nothing was written" : std::strerror(errno));
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  buffer_.clear();
}

void SpillFile::read(uint64_t offset, std::span<std::byte> bytes) {
  flush();
  while (!bytes.empty()) {
    const ssize_t got = ::pread(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      fail_work("cannot read a temporary file in {}: {}", folder_,
                got == 0 ? "it ends too early" : std::strerror(errno));
    bytes = bytes.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
}

}  // namespace dslite
