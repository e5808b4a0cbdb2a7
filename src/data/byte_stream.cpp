// Plain files by read(2), gzip by zlib; members that follow each other are one stream, as gzip itself has it.
#include "src/data/byte_stream.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "src/base/error.h"

namespace dslite {
namespace {

constexpr int64_t kMaxInputBytes = int64_t{1} << 18;

}  // namespace

struct ByteStream::Inflater {
  explicit Inflater(int64_t file_bytes) : input(static_cast<size_t>(std::min(file_bytes, kMaxInputBytes))) {
    DSLITE_ASSERT(inflateInit2(&stream, 15 + 16) == Z_OK);  // the largest window, gzip headers only
  }
  ~Inflater() { inflateEnd(&stream); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  z_stream stream{};
  std::vector<char> input;
  bool in_member = true;  // a member's end has not been seen
};

ByteStream::ByteStream(const std::string& path) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) fail_input("cannot open {}: {}", path, std::strerror(errno));
  struct stat status {};
  char magic[6] = {};
  const bool readable = ::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode);
  const ssize_t got = readable ? ::pread(descriptor_, magic, sizeof magic, 0) : -1;
  if (got < 0) {
    ::close(descriptor_);
    fail_input("{}: {}", path, readable ? std::strerror(errno) : "expected a regular file");
  }
  file_bytes_ = status.st_size;
  const std::string_view head(magic, static_cast<size_t>(got));
  const char* refused = head.starts_with("\x28\xb5\x2f\xfd") ? "packed by zstd"
                        : head.starts_with("BZh")            ? "packed by bzip2"
                        : head.starts_with(
                              "\xfd"
                              "7zXZ")
                            ? "packed by xz"
                        : head.starts_with("PK\x03\x04") ? "a zip archive"
                        : head.starts_with("PAR1")       ? "a Parquet file"
                        : head.starts_with("\xff\xfe")   ? "UTF-16"
                        : head.starts_with("\xfe\xff")   ? "UTF-16"
                                                         : nullptr;
  if (refused) {
    ::close(descriptor_);
    fail_input("{}: found {}, expected UTF-8 text or JSON, plain or packed by gzip (README.md says how to convert)",
               path, refused);
  }
  if (head.starts_with("\x1f\x8b")) inflater_ = std::make_unique<Inflater>(file_bytes_);
}

ByteStream::~ByteStream() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

size_t ByteStream::read_file(std::span<char> out) {
  ssize_t got = -1;
  do {
    got = ::read(descriptor_, out.data(), out.size());
  } while (got < 0 && errno == EINTR);
  if (got < 0) fail_work("cannot read {}: {}", path_, std::strerror(errno));
  file_bytes_read_ += got;
  if (file_bytes_read_ > file_bytes_ || (got == 0 && file_bytes_read_ != file_bytes_))
    fail_input("{}: changed while it was read: found {} bytes, expected {}", path_, file_bytes_read_, file_bytes_);
  sha256_.add(std::string_view(out.data(), static_cast<size_t>(got)));
  return static_cast<size_t>(got);
}

size_t ByteStream::inflate(std::span<char> out) {
  z_stream& stream = inflater_->stream;
  const auto room = static_cast<uInt>(std::min(out.size(), size_t{1} << 30));
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = room;
  while (stream.avail_out == room) {
    if (stream.avail_in == 0) {
      const size_t got = read_file(inflater_->input);
      if (got == 0) {
        if (inflater_->in_member) fail_input("{}: the gzip data is cut off", path_);
        return 0;
      }
      stream.next_in = reinterpret_cast<Bytef*>(inflater_->input.data());
      stream.avail_in = static_cast<uInt>(got);
    }
    if (!inflater_->in_member) {  // more members
      DSLITE_ASSERT(inflateReset(&stream) == Z_OK);
      inflater_->in_member = true;
    }
    const int result = ::inflate(&stream, Z_NO_FLUSH);
    if (result == Z_STREAM_END) {
      inflater_->in_member = false;
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      fail_input("{}: damaged gzip data before byte {}: {}", path_,
                 file_bytes_read_ - static_cast<int64_t>(stream.avail_in), stream.msg ? stream.msg : "no reason given");
    }
  }
  return room - stream.avail_out;
}

size_t ByteStream::read(std::span<char> out) {
  DSLITE_ASSERT(!out.empty());
  return inflater_ ? inflate(out) : read_file(out);
}

}  // namespace dslite
