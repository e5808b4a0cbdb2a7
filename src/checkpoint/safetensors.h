// The safetensors format: 8 bytes little-endian header length, JSON header, tensor bytes. The reader refuses every malformed file (list: tests/checkpoint).
// Knows named tensors, never models.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "src/base/files.h"
#include "src/base/hash.h"

namespace dslite {

enum class TensorType : uint8_t { kBool, kU8, kI8, kI16, kU16, kF16, kBF16, kI32, kU32, kF32, kF64, kI64, kU64, kF8E4M3, kF8E5M2 };
const char* tensor_type_name(TensorType type);  // "F32", "BF16", ...
std::optional<TensorType> tensor_type_named(std::string_view name);
int64_t tensor_type_bytes(TensorType type);

struct TensorInfo {
  std::string name;
  TensorType type;
  std::vector<int64_t> shape;       // rank 0 and zero sizes are legal
  int64_t begin = 0, end = 0;       // byte range in the data section
  int64_t num_elements() const;
};

struct SafetensorsLimits {
  int64_t max_header_bytes = int64_t{16} << 20;
};

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path, const SafetensorsLimits& limits = {});  // UserError on any damage
  const std::string& path() const { return file_.path(); }
  const std::vector<TensorInfo>& tensors() const { return tensors_; }      // by offset
  const TensorInfo* find(const std::string& name) const;
  std::span<const std::byte> bytes(const TensorInfo& tensor) const;        // not aligned
  // The pages of this part may leave memory; a later read brings them back from the file.
  void release(std::span<const std::byte> part) const { file_.release(part); }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  void check_unchanged() const { file_.check_unchanged(); }

 private:
  MappedFile file_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, size_t> by_name_;
  std::map<std::string, std::string> metadata_;
  int64_t data_begin_ = 0;
};

// Writes one file in a stream: the header comes from the list, then each tensor's bytes in that order (in pieces, if wanted).
class SafetensorsWriter {
 public:
  // `tensors`: name, type, shape; offsets are assigned in the order given.
  SafetensorsWriter(const std::string& path, std::vector<TensorInfo> tensors, const std::map<std::string, std::string>& metadata = {});
  ~SafetensorsWriter();
  void write(std::span<const std::byte> bytes);   // continues the current tensor, moves on when it is full
  // Syncs and closes; throws unless exactly all bytes came. Returns the SHA-256 of the file.
  std::string finish();
  const std::vector<TensorInfo>& tensors() const;
  int64_t file_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dslite
