// Files in memory for the readers that take paths.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>

#include "src/base/files.h"
#include "tests/fuzz/readers.h"
#include "tests/support/temp_folder.h"

namespace dslite::fuzz {

const std::string& scratch_folder() {
  static const TempFolder folder(TempFolder::memory());
  return folder.path();
}

std::string scratch_file(const std::string& name, std::string_view bytes) {
  std::string path = scratch_folder() + "/" + name;
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  DSLITE_FUZZ_CHECK(descriptor >= 0);
  DSLITE_FUZZ_CHECK(::write(descriptor, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  ::close(descriptor);
  return path;
}

std::string repository_file(const std::string& path) { return read_file(std::string(DSLITE_SOURCE_DIR) + "/" + path); }

}  // namespace dslite::fuzz
