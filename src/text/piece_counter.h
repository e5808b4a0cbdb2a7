// How often each piece occurs: an open-addressing table whose texts lie one after the other in blocks.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace dslite {

class PieceCounter {
 public:
  PieceCounter();
  void add(std::string_view piece, int64_t count = 1);
  void add(const PieceCounter& other);
  size_t size() const { return size_; }

  // Calls each(std::string_view piece, int64_t count) in no particular order.
  template <class Each>
  void for_each(Each&& each) const {
    for (const Slot& slot : slots_) {
      if (slot.count != 0) each(std::string_view(slot.text, slot.size_bytes), slot.count);
    }
  }

 private:
  struct Slot {
    const char* text = nullptr;
    int64_t count = 0;  // 0: free
    uint32_t size_bytes = 0, hash = 0;
  };
  Slot& slot_of(std::string_view piece, uint64_t hash);
  void grow();
  const char* stored(std::string_view piece);

  std::vector<Slot> slots_;
  size_t size_ = 0;
  std::vector<std::unique_ptr<char[]>> blocks_;
  size_t block_used_, block_bytes_;
};

}  // namespace dslite
