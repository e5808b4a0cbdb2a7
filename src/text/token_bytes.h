// The bytes of every token, laid out for decoding: short tokens with their size in one 16-byte slot, so that a token
// costs one load and one store.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dslite {

class TokenBytes {
 public:
  // By id; empty: no such token.
  explicit TokenBytes(std::vector<std::string> tokens);

  int32_t size() const { return static_cast<int32_t>(tokens_.size()); }
  bool contains(int32_t id) const { return id >= 0 && id < size() && slots_[id].size > 0; }
  const std::string& operator[](int32_t id) const { return tokens_[id]; }
  // The tokens one after the other; all of them are contained.
  std::string joined(std::span<const int32_t> ids) const;

 private:
  static constexpr size_t kSlotBytes = 16, kLong = 255;
  struct Slot {
    std::array<char, kSlotBytes - 1> bytes{};
    uint8_t size = 0;  // kLong: the token is longer than the slot
  };
  size_t size_of(int32_t id) const { return slots_[id].size == kLong ? tokens_[id].size() : slots_[id].size; }
  std::vector<std::string> tokens_;
  std::vector<Slot> slots_;
};

}  // namespace dslite
