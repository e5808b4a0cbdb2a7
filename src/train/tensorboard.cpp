// Event files by hand: six kinds of field, so that no protobuf library is needed.
#include "src/train/tensorboard.h"

#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <string_view>

#include "src/base/error.h"
#include "src/base/files.h"

namespace dslite {
namespace {

uint32_t crc32c(std::string_view bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> made{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) ? 0x82F63B78u : 0u);
      made[i] = value;
    }
    return made;
  }();
  uint32_t crc = 0xFFFFFFFFu;
  for (const char c : bytes) crc = (crc >> 8) ^ table[(crc ^ static_cast<unsigned char>(c)) & 0xFF];
  return crc ^ 0xFFFFFFFFu;
}
uint32_t masked_crc(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
}

template <class T>
std::string little_endian(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}
std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}
std::string key(int field, int wire_type) {
  return varint(static_cast<uint64_t>(field) << 3 | static_cast<uint64_t>(wire_type));
}
std::string field_varint(int field, uint64_t value) { return key(field, 0) + varint(value); }
std::string field_double(int field, double value) { return key(field, 1) + little_endian(value); }
std::string field_bytes(int field, std::string_view bytes) {
  return key(field, 2) + varint(bytes.size()) + std::string(bytes);
}
std::string field_float(int field, float value) { return key(field, 5) + little_endian(value); }

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}
// Event: wall_time = 1, step = 2, file_version = 3, summary = 5, session_log = 7.
std::string event_head(int64_t step) {
  return field_double(1, wall_time()) + field_varint(2, static_cast<uint64_t>(step));
}

}  // namespace

TensorBoardWriter::TensorBoardWriter(const std::string& folder, int64_t first_step) {
  make_directories(folder);
  for (int number = 0;; ++number) {
    path_ = fmt::format("{}/events.out.tfevents.{:010d}.dslite.{}", folder, static_cast<int64_t>(wall_time()), number);
    if (!std::filesystem::exists(path_)) break;
  }
  file_ = std::fopen(path_.c_str(), "wb");
  if (!file_) fail_work("cannot create {}: {}", path_, std::strerror(errno));
  record(field_double(1, wall_time()) + field_bytes(3, "brain.Event:2"));
  if (first_step > 0) record(event_head(first_step) + field_bytes(7, field_varint(1, 1)));  // SessionLog.status = START
}
TensorBoardWriter::~TensorBoardWriter() { std::fclose(file_); }

void TensorBoardWriter::record(const std::string& event) {
  const std::string length = little_endian(static_cast<uint64_t>(event.size()));
  const std::string bytes = length + little_endian(masked_crc(length)) + event + little_endian(masked_crc(event));
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size())
    fail_work("cannot write {}: {}", path_, std::strerror(errno));
}

// Summary.value = 1; Value: tag = 1, simple_value = 2, tensor = 8, metadata = 9.
void TensorBoardWriter::scalars(int64_t step, const std::vector<std::pair<std::string, double>>& values) {
  std::string summary;
  for (const auto& [tag, value] : values)
    summary += field_bytes(1, field_bytes(1, tag) + field_float(2, static_cast<float>(value)));
  record(event_head(step) + field_bytes(5, summary));
}

// TensorProto: dtype = 1 (DT_STRING 7), tensor_shape = 2, string_val = 8; SummaryMetadata.plugin_data = 1, plugin_name
// = 1.
void TensorBoardWriter::text(int64_t step, const std::string& tag, const std::string& text) {
  const std::string tensor = field_varint(1, 7) + field_bytes(2, "") + field_bytes(8, text);
  const std::string metadata = field_bytes(1, field_bytes(1, "text"));
  record(event_head(step) +
         field_bytes(5, field_bytes(1, field_bytes(1, tag) + field_bytes(8, tensor) + field_bytes(9, metadata))));
}

void TensorBoardWriter::flush() {
  if (std::fflush(file_) != 0) fail_work("cannot write {}: {}", path_, std::strerror(errno));
}

}  // namespace dslite
