// The messages of an HDF5 object header (HDF5 File Format Specification 3.0, section IV.A.2), as hdf5_structure reads
// them: those that TokenStoreWriter makes; any other is refused by name. Every read is bounded by its message.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/base/error.h"
#include "src/data/hdf5_structure.h"

namespace dslite::hdf5 {

using Bytes = std::span<const std::byte>;
constexpr uint64_t kUndefined = UINT64_MAX;

// Reads a block from its front; `what` names it in messages.
class Cursor {
 public:
  Cursor(Bytes bytes, const std::string& path, const std::string& what) : bytes_(bytes), path_(path), what_(what) {}
  [[noreturn]] void fail(std::string_view problem) const { fail_input("{}: {}: {}", path_, what_, problem); }
  void demand(bool holds, std::string_view problem) const {
    if (!holds) fail(problem);
  }
  Bytes take(uint64_t count) {
    demand(count <= bytes_.size(), "damaged HDF5 structure: it ends too early");
    const Bytes part = bytes_.first(static_cast<size_t>(count));
    bytes_ = bytes_.subspan(static_cast<size_t>(count));
    return part;
  }
  uint64_t integer(size_t size) {  // little-endian
    uint64_t value = 0;
    std::memcpy(&value, take(size).data(), size);
    return value;
  }
  uint8_t byte() { return static_cast<uint8_t>(integer(1)); }
  std::string_view text(uint64_t count) {
    const Bytes part = take(count);
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }
  Cursor part(uint64_t count) { return {take(count), path_, what_}; }
  size_t left() const { return bytes_.size(); }
  void end() const { demand(bytes_.empty(), "damaged HDF5 structure: something follows"); }

 private:
  Bytes bytes_;
  const std::string &path_, &what_;
};

struct Type {
  std::string text;  // "u32", "i64", "f32", "string[64]", "{begin u64, role u8}"
  uint64_t bytes;
};

// All that the messages of one object say.
struct Messages {
  Hdf5Object object;
  std::optional<Type> type;
  std::optional<uint64_t> num_elements;
  std::optional<std::pair<uint64_t, uint64_t>> place;  // address, bytes
  const char* foreign = nullptr;                       // why its data is not in this file as it is
  std::vector<std::pair<uint64_t, uint64_t>> continuations;
};

// Adds what the messages of one block of an object header say.
void read_messages(Cursor cursor, Messages& messages);

}  // namespace dslite::hdf5
