// The merges of a BPE model: (left id, right id) -> (rank, merged id), an open-addressing table.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace dslite {

struct Merge {
  static constexpr int32_t kNone = INT32_MAX;
  int32_t rank = kNone, id = -1;  // rank kNone: no such merge
};

class MergeTable {
 public:
  explicit MergeTable(size_t num_merges);
  // False when the pair is there already.
  bool insert(int32_t left, int32_t right, Merge merge);

  Merge find(int32_t left, int32_t right) const {
    const uint64_t pair = key_of(left, right);
    for (size_t slot = first_slot(pair);; slot = (slot + 1) & mask_) {
      if (slots_[slot].pair == pair || slots_[slot].pair == kFree) return slots_[slot].merge;
    }
  }

  // Calls each(left, right, merge) in no particular order.
  template <class Each>
  void for_each(Each&& each) const {
    for (const Slot& slot : slots_) {
      if (slot.pair != kFree)
        each(static_cast<int32_t>(slot.pair >> 32), static_cast<int32_t>(slot.pair & 0xFFFFFFFF), slot.merge);
    }
  }

 private:
  static constexpr uint64_t kFree = UINT64_MAX;
  struct Slot {
    uint64_t pair;
    Merge merge;
  };
  static uint64_t key_of(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t first_slot(uint64_t pair) const {
    const uint64_t hash = pair * 0x9E3779B97F4A7C15u;
    return (hash ^ hash >> 32) & mask_;
  }
  std::vector<Slot> slots_;
  uint64_t mask_;
};

}  // namespace dslite
