// Linear probing at a load of at most three quarters; a slot keeps a part of the hash, so few texts are compared in
// vain.
#include "src/text/piece_counter.h"

#include <algorithm>
#include <cstring>

#include "src/base/error.h"
#include "src/base/hash.h"
#include "src/text/piece_table.h"

namespace dslite {
namespace {

constexpr size_t kBlockBytes = size_t{1} << 18;

uint64_t hash_of(std::string_view piece) {
  return !piece.empty() && piece.size() <= kMaxKeyBytes ? piece_key(piece).hash() : xxh3_64(piece);
}

}  // namespace

PieceCounter::PieceCounter() : slots_(size_t{1} << 12), block_used_(0), block_bytes_(0) {}

PieceCounter::Slot& PieceCounter::slot_of(std::string_view piece, uint64_t hash) {
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash & mask;; at = (at + 1) & mask) {
    Slot& slot = slots_[at];
    if (slot.count == 0) return slot;
    if (slot.hash == static_cast<uint32_t>(hash) && slot.size_bytes == piece.size() &&
        std::memcmp(slot.text, piece.data(), piece.size()) == 0)
      return slot;
  }
}

void PieceCounter::add(std::string_view piece, int64_t count) {
  DSLITE_ASSERT(count > 0 && piece.size() <= UINT32_MAX);
  const uint64_t hash = hash_of(piece);
  Slot& slot = slot_of(piece, hash);
  if (slot.count == 0) {
    slot.text = stored(piece);
    slot.size_bytes = static_cast<uint32_t>(piece.size());
    slot.hash = static_cast<uint32_t>(hash);
    ++size_;
  }
  slot.count += count;
  if (4 * size_ > 3 * slots_.size()) grow();
}

void PieceCounter::add(const PieceCounter& other) {
  other.for_each([&](std::string_view piece, int64_t count) { add(piece, count); });
}

void PieceCounter::grow() {
  std::vector<Slot> old(2 * slots_.size());
  old.swap(slots_);
  const size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.count == 0) continue;
    size_t at = hash_of({slot.text, slot.size_bytes}) & mask;
    while (slots_[at].count != 0) at = (at + 1) & mask;
    slots_[at] = slot;
  }
}

const char* PieceCounter::stored(std::string_view piece) {
  if (block_used_ + piece.size() > block_bytes_) {
    block_bytes_ = std::max(kBlockBytes, piece.size());
    blocks_.push_back(std::make_unique<char[]>(block_bytes_));
    block_used_ = 0;
  }
  char* text = blocks_.back().get() + block_used_;
  std::memcpy(text, piece.data(), piece.size());
  block_used_ += piece.size();
  return text;
}

}  // namespace dslite
