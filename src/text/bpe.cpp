// Pair-merge encoding with two strategies of the same result: an array for short pieces, a heap over a linked list for
// long ones.
#include "src/text/bpe.h"

#include <bit>
#include <cstring>
#include <queue>

#include "src/base/error.h"
#include "src/base/hash.h"

namespace dslite {
namespace {

constexpr size_t kShortBytes = 48;  // the array scan is quadratic, but faster up to about here
constexpr uint64_t kFree = UINT64_MAX;

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

MergeTable::MergeTable(size_t num_merges)
    : slots_(std::bit_ceil(2 * num_merges + 2), Slot{kFree, {}}), mask_(slots_.size() - 1) {}

size_t MergeTable::slot_of(uint64_t pair) const {
  uint64_t hash = pair * 0x9E3779B97F4A7C15u;
  size_t slot = (hash ^ hash >> 32) & mask_;
  while (slots_[slot].pair != pair && slots_[slot].pair != kFree) slot = (slot + 1) & mask_;
  return slot;
}

bool MergeTable::insert(int32_t left, int32_t right, Merge merge) {
  Slot& slot = slots_[slot_of(pair_key(left, right))];
  if (slot.pair != kFree) return false;
  slot = {pair_key(left, right), merge};
  return true;
}

MergeTable::Merge MergeTable::find(int32_t left, int32_t right) const {
  return slots_[slot_of(pair_key(left, right))].merge;
}

Bpe::Bpe(std::vector<std::string> tokens, const std::array<int32_t, 256>& byte_ids, MergeTable merges)
    : tokens_(std::move(tokens)),
      byte_ids_(byte_ids),
      merges_(std::move(merges)),
      whole_(std::bit_ceil(2 * tokens_.size() + 2), -1) {
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < num_tokens(); ++id) {
    bool mergeable = !tokens_[id].empty();
    for (const char byte : tokens_[id]) mergeable = mergeable && byte_ids_[static_cast<uint8_t>(byte)] >= 0;
    if (!mergeable) continue;
    ids.clear();
    merge(tokens_[id], ids);
    if (ids.size() != 1 || ids[0] != id) continue;
    whole_[whole_slot(tokens_[id])] = id;
    longest_whole_ = std::max(longest_whole_, tokens_[id].size());
  }
}

// Where the piece is, or the free slot where it would be.
size_t Bpe::whole_slot(std::string_view piece) const {
  const size_t mask = whole_.size() - 1;
  size_t slot = xxh3_64(piece) & mask;
  while (whole_[slot] >= 0 && tokens_[whole_[slot]] != piece) slot = (slot + 1) & mask;
  return slot;
}

void Bpe::encode(std::string_view piece, std::vector<int32_t>& ids) const {
  if (piece.size() <= longest_whole_) {
    const int32_t id = whole_[whole_slot(piece)];
    if (id >= 0) return ids.push_back(id);
  }
  merge(piece, ids);
}

void Bpe::merge(std::string_view piece, std::vector<int32_t>& ids) const {
  if (piece.size() <= kShortBytes) {
    merge_short(piece, ids);
  } else {
    merge_long(piece, ids);
  }
}

void Bpe::merge_short(std::string_view piece, std::vector<int32_t>& ids) const {
  struct Symbol {
    int32_t id;
    MergeTable::Merge next;  // with the symbol after it
  };
  Symbol symbols[kShortBytes];
  int count = static_cast<int>(piece.size());
  for (int i = 0; i < count; ++i) symbols[i].id = byte_ids_[static_cast<uint8_t>(piece[i])];
  const auto look = [&](int i) {
    symbols[i].next = i + 1 < count ? merges_.find(symbols[i].id, symbols[i + 1].id) : MergeTable::Merge{};
  };
  for (int i = 0; i < count; ++i) look(i);
  while (true) {
    int best = 0;
    for (int i = 1; i < count; ++i) {
      if (symbols[i].next.rank < symbols[best].next.rank) best = i;
    }
    if (symbols[best].next.rank == MergeTable::kNone) break;
    symbols[best].id = symbols[best].next.id;
    --count;
    std::memmove(symbols + best + 1, symbols + best + 2, sizeof(Symbol) * (count - best - 1));
    look(best);
    if (best > 0) look(best - 1);
  }
  for (int i = 0; i < count; ++i) ids.push_back(symbols[i].id);
}

void Bpe::merge_long(std::string_view piece, std::vector<int32_t>& ids) const {
  struct Symbol {
    int32_t id;
    int32_t previous, next;   // -1: none
    MergeTable::Merge merge;  // with the next
  };
  if (piece.size() > static_cast<size_t>(INT32_MAX))
    fail_input("a piece of {} bytes without a place to split: at most 2 GiB are supported", piece.size());
  const int32_t count = static_cast<int32_t>(piece.size());
  std::vector<Symbol> symbols(count);
  std::vector<uint64_t> candidates;  // rank, then position: the lowest rank and of equals the leftmost
  for (int32_t i = 0; i < count; ++i)
    symbols[i] = {byte_ids_[static_cast<uint8_t>(piece[i])], i - 1, i + 1 < count ? i + 1 : -1, {}};
  const auto look = [&](int32_t i) {
    Symbol& s = symbols[i];
    s.merge = s.next >= 0 ? merges_.find(s.id, symbols[s.next].id) : MergeTable::Merge{};
    return s.merge.rank != MergeTable::kNone;
  };
  const auto key = [&](int32_t i) {
    return static_cast<uint64_t>(symbols[i].merge.rank) << 32 | static_cast<uint32_t>(i);
  };
  for (int32_t i = 0; i < count; ++i) {
    if (look(i)) candidates.push_back(key(i));
  }
  std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> queue(std::greater<>(), std::move(candidates));
  while (!queue.empty()) {
    const uint64_t top = queue.top();
    queue.pop();
    const int32_t at = static_cast<int32_t>(top & 0xFFFFFFFF);
    Symbol& s = symbols[at];
    if (s.merge.rank != static_cast<int32_t>(top >> 32)) continue;  // the pair is gone: a rank belongs to one pair
    const int32_t eaten = s.next;
    s.id = s.merge.id;
    s.next = symbols[eaten].next;
    symbols[eaten].merge.rank = MergeTable::kNone;
    if (s.next >= 0) symbols[s.next].previous = at;
    if (look(at)) queue.push(key(at));
    if (s.previous >= 0 && look(s.previous)) queue.push(key(s.previous));
  }
  for (int32_t i = 0; i >= 0; i = symbols[i].next) ids.push_back(symbols[i].id);
}

}  // namespace dslite
