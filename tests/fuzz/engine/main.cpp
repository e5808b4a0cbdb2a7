// libFuzzer's entry: the reader that the environment variable DSLITE_FUZZ_READER names.
#include <cstdint>
#include <cstring>

#include "tests/fuzz/readers.h"

namespace {

using dslite::fuzz::kReaders;

const dslite::fuzz::Reader& chosen() {
  const char* name = std::getenv("DSLITE_FUZZ_READER");
  for (const auto& reader : kReaders) {
    if (name && std::strcmp(name, reader.name) == 0) return reader;
  }
  std::fprintf(stderr, "DSLITE_FUZZ_READER: expected one of");
  for (const auto& reader : kReaders) std::fprintf(stderr, " %s", reader.name);
  std::fprintf(stderr, "\n");
  std::exit(2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const dslite::fuzz::Reader& reader = chosen();
  reader.run({reinterpret_cast<const char*>(data), size});
  return 0;
}
