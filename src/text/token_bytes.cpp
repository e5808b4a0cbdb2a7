// Whole slots are stored and the next token overwrites what was too much.
#include "src/text/token_bytes.h"

#include <cstring>

namespace dslite {

TokenBytes::TokenBytes(std::vector<std::string> tokens) : tokens_(std::move(tokens)), slots_(tokens_.size()) {
  for (size_t id = 0; id < tokens_.size(); ++id) {
    const std::string& token = tokens_[id];
    if (token.size() >= kSlotBytes) {
      slots_[id].size = kLong;
    } else {
      std::memcpy(slots_[id].bytes.data(), token.data(), token.size());
      slots_[id].size = static_cast<uint8_t>(token.size());
    }
  }
}

std::string TokenBytes::joined(std::span<const int32_t> ids) const {
  size_t total = 0;
  for (const int32_t id : ids) total += size_of(id);
  std::string bytes(total + kSlotBytes, '\0');
  char* out = bytes.data();
  for (const int32_t id : ids) {
    const Slot& slot = slots_[id];
    if (slot.size == kLong) {
      std::memcpy(out, tokens_[id].data(), tokens_[id].size());
      out += tokens_[id].size();
    } else {
      std::memcpy(out, &slot, kSlotBytes);
      out += slot.size;
    }
  }
  bytes.resize(total);
  return bytes;
}

}  // namespace dslite
