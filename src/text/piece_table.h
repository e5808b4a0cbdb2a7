// Tables from short pieces of text (1 to 16 bytes) to token ids: one that never changes, for the pieces that are a
// token, and a small cache for those that were merged lately.
#pragma once
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace dslite {

constexpr size_t kMaxKeyBytes = 16;

// A piece's bytes in two words that overlap in the middle: with the size they tell all pieces apart.
struct PieceKey {
  uint64_t head, tail;
  uint32_t size;
  bool operator==(const PieceKey&) const = default;

  uint64_t hash() const {
    const uint64_t mixed = (head ^ size) * 0x9E3779B97F4A7C15u ^ (tail + size) * 0xC2B2AE3D27D4EB4Fu;
    return (mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9u >> 20;
  }
};

inline PieceKey piece_key(std::string_view piece) {
  const char* bytes = piece.data();
  const size_t size = piece.size();
  PieceKey key{0, 0, static_cast<uint32_t>(size)};
  if (size >= 8) {
    std::memcpy(&key.head, bytes, 8);
    std::memcpy(&key.tail, bytes + size - 8, 8);
  } else if (size >= 4) {
    uint32_t head, tail;
    std::memcpy(&head, bytes, 4);
    std::memcpy(&tail, bytes + size - 4, 4);
    key.head = head | static_cast<uint64_t>(tail) << 32;
  } else {
    const auto byte = [&](size_t i) { return static_cast<uint64_t>(static_cast<uint8_t>(bytes[i])); };
    key.head = byte(0) | byte(size / 2) << 8 | byte(size - 1) << 16;
  }
  return key;
}

class PieceTable {
 public:
  explicit PieceTable(size_t num_pieces);
  void insert(const PieceKey& key, int32_t id);
  // -1: not there.
  int32_t find(const PieceKey& key, uint64_t hash) const {
    for (size_t slot = hash & mask_;; slot = (slot + 1) & mask_) {
      const Slot& s = slots_[slot];
      if (s.id < 0 || (s.head == key.head && s.tail == key.tail && s.size == key.size)) return s.id;
    }
  }

 private:
  struct Slot {
    uint64_t head, tail;
    uint32_t size;
    int32_t id;  // -1: free
  };
  std::vector<Slot> slots_;
  size_t mask_;
};

// The last piece of each hash value with its ids; one per thread.
class PieceCache {
 public:
  PieceCache() : entries_(kNumEntries) {}
  // Appends the ids of a piece that is there; false where it is not.
  bool find(const PieceKey& key, uint64_t hash, std::vector<int32_t>& ids) const {
    const Entry& entry = entries_[hash % kNumEntries];
    if (!(entry.key == key)) return false;
    ids.insert(ids.end(), entry.ids, entry.ids + entry.num_ids);
    return true;
  }
  void put(const PieceKey& key, uint64_t hash, const int32_t* ids, size_t num_ids) {
    if (num_ids > kMaxIds) return;
    Entry& entry = entries_[hash % kNumEntries];
    entry.key = key;
    entry.num_ids = static_cast<uint32_t>(num_ids);
    std::memcpy(entry.ids, ids, num_ids * sizeof(int32_t));
  }

 private:
  static constexpr size_t kNumEntries = 4096, kMaxIds = 9;  // 64 bytes each: 256 KiB stay in a second-level cache
  struct Entry {
    PieceKey key{0, 0, 0};  // no piece has the size 0
    uint32_t num_ids = 0;
    int32_t ids[kMaxIds];
  };
  std::vector<Entry> entries_;
};

}  // namespace dslite
