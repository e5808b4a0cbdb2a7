// Safetensors files: the reader checks the header against the file before any byte is handed out; the writer hashes
// while it streams.
#include "src/checkpoint/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "src/base/error.h"
#include "src/checkpoint/safetensors_header.h"

namespace dslite {
namespace {

struct TypeRow {
  const char* name;
  int64_t bytes;
};
constexpr std::array<TypeRow, 15> kTypes = {{{"BOOL", 1},
                                             {"U8", 1},
                                             {"I8", 1},
                                             {"I16", 2},
                                             {"U16", 2},
                                             {"F16", 2},
                                             {"BF16", 2},
                                             {"I32", 4},
                                             {"U32", 4},
                                             {"F32", 4},
                                             {"F64", 8},
                                             {"I64", 8},
                                             {"U64", 8},
                                             {"F8_E4M3", 1},
                                             {"F8_E5M2", 1}}};

constexpr int64_t kPrefixBytes = 8, kMaxHeaderBytesEver = 100'000'000;

std::string_view header_of(std::span<const std::byte> file, const std::string& path, int64_t max_header_bytes) {
  if (file.size() < kPrefixBytes)
    fail_input("{}: found a file of {} bytes, expected a safetensors file of at least 8", path, file.size());
  uint64_t length = 0;
  for (size_t i = 0; i < kPrefixBytes; ++i) length |= std::to_integer<uint64_t>(file[i]) << (8 * i);
  const auto allowed = static_cast<uint64_t>(std::min(max_header_bytes, kMaxHeaderBytesEver));
  if (length < 2) fail_input("{}: found a header of {} bytes, expected at least 2", path, length);
  if (length > allowed) fail_input("{}: found a header of {} bytes, expected at most {}", path, length, allowed);
  if (length > file.size() - kPrefixBytes) {
    fail_input("{}: found a header of {} bytes in a file of {}: not a safetensors file, or cut short", path, length,
               file.size());
  }
  return {reinterpret_cast<const char*>(file.data()) + kPrefixBytes, static_cast<size_t>(length)};
}

// The tensors' ranges must cover the data exactly, one after the other.
void check_ranges(const std::vector<TensorInfo>& by_offset, int64_t data_bytes, const std::string& path) {
  int64_t reached = 0;
  for (const TensorInfo& info : by_offset) {
    if (info.begin < reached)
      fail_input("{}: tensor {} at byte {} overlaps the one before, which ends at {}", path, shown(info.name),
                 info.begin, reached);
    if (info.begin > reached)
      fail_input("{}: bytes {} to {} before tensor {} belong to no tensor", path, reached, info.begin,
                 shown(info.name));
    reached = info.end;
    if (reached > data_bytes)
      fail_input("{}: tensor {} ends at byte {} of {}: the file is cut short", path, shown(info.name), reached,
                 data_bytes);
  }
  if (reached != data_bytes) fail_input("{}: {} bytes follow the last tensor", path, data_bytes - reached);
}

}  // namespace

const char* tensor_type_name(TensorType type) { return kTypes[static_cast<size_t>(type)].name; }
int64_t tensor_type_bytes(TensorType type) { return kTypes[static_cast<size_t>(type)].bytes; }

std::optional<TensorType> tensor_type_named(std::string_view name) {
  const auto found = std::ranges::find(kTypes, name, &TypeRow::name);
  if (found == kTypes.end()) return std::nullopt;
  return static_cast<TensorType>(found - kTypes.begin());
}

int64_t TensorInfo::num_elements() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

SafetensorsFile::SafetensorsFile(const std::string& path, const SafetensorsLimits& limits) : file_(path) {
  const std::string_view header_text = header_of(file_.bytes(), path, limits.max_header_bytes);
  SafetensorsHeader header = parse_safetensors_header(header_text, path);
  data_begin_ = kPrefixBytes + static_cast<int64_t>(header_text.size());
  tensors_ = std::move(header.tensors);
  metadata_ = std::move(header.metadata);
  std::ranges::stable_sort(tensors_, {}, [](const TensorInfo& info) { return std::pair(info.begin, info.end); });
  check_ranges(tensors_, static_cast<int64_t>(file_.bytes().size()) - data_begin_, path);
  by_name_.reserve(tensors_.size());
  for (size_t i = 0; i < tensors_.size(); ++i) by_name_.emplace(tensors_[i].name, i);
}

const TensorInfo* SafetensorsFile::find(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}
std::span<const std::byte> SafetensorsFile::bytes(const TensorInfo& tensor) const {
  return file_.bytes().subspan(static_cast<size_t>(data_begin_ + tensor.begin),
                               static_cast<size_t>(tensor.end - tensor.begin));
}

struct SafetensorsWriter::State {
  State(const std::string& path, std::vector<TensorInfo> list) : tensors(std::move(list)), file(path) {}
  std::vector<TensorInfo> tensors;
  DurableFile file;
  Sha256 hash;
  int64_t left_bytes = 0;

  void put(std::span<const std::byte> bytes) {
    file.write(bytes);
    hash.add(bytes);
  }
};

SafetensorsWriter::SafetensorsWriter(const std::string& path, std::vector<TensorInfo> tensors,
                                     const std::map<std::string, std::string>& metadata) {
  int64_t end = 0;
  for (TensorInfo& info : tensors) {
    info.begin = end;
    end += info.num_elements() * tensor_type_bytes(info.type);
    info.end = end;
  }
  const std::string header = safetensors_header_text(tensors, metadata);
  parse_safetensors_header(header, path);  // what we write, we must be able to read: names, counts, ranks
  if (header.size() > static_cast<size_t>(SafetensorsLimits{}.max_header_bytes))
    fail_work("{}: a header of {} bytes is too long", path, header.size());
  state_ = std::make_unique<State>(path, std::move(tensors));
  state_->left_bytes = end;
  std::array<std::byte, kPrefixBytes> prefix;
  for (size_t i = 0; i < kPrefixBytes; ++i) prefix[i] = static_cast<std::byte>(header.size() >> (8 * i));
  state_->put(prefix);
  state_->put(std::as_bytes(std::span(header)));
}
SafetensorsWriter::~SafetensorsWriter() = default;

void SafetensorsWriter::write(std::span<const std::byte> bytes) {
  state_->left_bytes -= static_cast<int64_t>(bytes.size());
  DSLITE_ASSERT(state_->left_bytes >= 0);
  state_->put(bytes);
}
std::string SafetensorsWriter::finish() {
  DSLITE_ASSERT(state_->left_bytes == 0);
  state_->file.sync_and_close();
  return state_->hash.hex();
}
const std::vector<TensorInfo>& SafetensorsWriter::tensors() const { return state_->tensors; }
int64_t SafetensorsWriter::file_bytes() const { return state_->file.size_bytes(); }

}  // namespace dslite
