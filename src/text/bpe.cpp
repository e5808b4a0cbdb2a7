// Pair-merge encoding with two strategies of the same result: an array for short pieces, a heap over a linked list for
// long ones.
#include "src/text/bpe.h"

#include <cstring>
#include <queue>

#include "src/base/error.h"
#include "src/text/character_ids.h"
#include "src/text/utf8.h"

namespace dslite {
namespace {

constexpr int kShortSymbols = 48;  // the array scan is quadratic, but faster up to about here
constexpr size_t kShortBytes = 3 * kShortSymbols;

}  // namespace

Bpe::Bpe(const std::vector<std::string>& tokens, const std::array<int32_t, 256>& byte_ids, MergeTable merges,
         bool ignore_merges)
    : byte_ids_(byte_ids),
      merges_(std::move(merges)),
      character_ids_(mergeable_characters(tokens, byte_ids_, merges_)),
      whole_(tokens.size()) {
  find_whole_tokens(tokens, ignore_merges);
}

void Bpe::find_whole_tokens(const std::vector<std::string>& tokens, bool ignore_merges) {
  std::vector<int32_t> ids;
  for (size_t id = 0; id < tokens.size(); ++id) {
    const std::string& token = tokens[id];
    bool mergeable = !token.empty() && find_invalid_utf8(token) == std::string::npos;
    for (const char byte : token) mergeable = mergeable && byte_ids_[static_cast<uint8_t>(byte)] >= 0;
    if (!mergeable) continue;
    ids.clear();
    if (ignore_merges) {
      ids.push_back(static_cast<int32_t>(id));
    } else {
      merge(token, ids);
    }
    if (ids.size() != 1 || ids[0] != static_cast<int32_t>(id)) continue;
    longest_whole_ = std::max(longest_whole_, token.size());
    if (token.size() <= kMaxKeyBytes) {
      whole_.insert(piece_key(token), ids[0]);
    } else {
      long_whole_.emplace(token, ids[0]);
    }
  }
}

void Bpe::encode(std::string_view piece, PieceCache& cache, std::vector<int32_t>& ids) const {
  if (piece.size() > kMaxKeyBytes) {
    const auto whole = piece.size() <= longest_whole_ ? long_whole_.find(piece) : long_whole_.end();
    return whole != long_whole_.end() ? ids.push_back(whole->second) : merge(piece, ids);
  }
  const PieceKey key = piece_key(piece);
  const uint64_t hash = key.hash();
  if (const int32_t id = whole_.find(key, hash); id >= 0) return ids.push_back(id);
  if (cache.find(key, hash, ids)) return;
  const size_t before = ids.size();
  merge(piece, ids);
  cache.put(key, hash, ids.data() + before, ids.size() - before);
}

// Calls add(id) for the characters that merging may start from and for the bytes of all others.
template <class Add>
void Bpe::for_each_symbol(std::string_view piece, Add&& add) const {
  for (size_t i = 0; i < piece.size();) {
    const CodePoint c = code_point_at(piece, i);
    const int32_t id = c.size_bytes == 2 || c.size_bytes == 3 ? character_ids_[c.value] : -1;
    if (id >= 0) {
      add(id);
      i += c.size_bytes;
      continue;
    }
    for (const size_t end = i + c.size_bytes; i < end; ++i) add(byte_ids_[static_cast<uint8_t>(piece[i])]);
  }
}

void Bpe::merge(std::string_view piece, std::vector<int32_t>& ids) const {
  if (piece.size() > kShortBytes) return merge_long(piece, ids);
  Symbol symbols[kShortBytes];
  int count = 0;
  for_each_symbol(piece, [&](int32_t id) { symbols[count++].id = id; });
  if (count > kShortSymbols) return merge_long(piece, ids);
  merge_short(symbols, count, ids);
}

void Bpe::merge_short(Symbol* symbols, int count, std::vector<int32_t>& ids) const {
  const auto look = [&](int i) {
    symbols[i].next = i + 1 < count ? merges_.find(symbols[i].id, symbols[i + 1].id) : Merge{};
  };
  for (int i = 0; i < count; ++i) look(i);
  while (true) {
    int best = 0;
    for (int i = 1; i < count; ++i) {
      if (symbols[i].next.rank < symbols[best].next.rank) best = i;
    }
    if (symbols[best].next.rank == Merge::kNone) break;
    symbols[best].id = symbols[best].next.id;
    --count;
    std::memmove(symbols + best + 1, symbols + best + 2, sizeof(Symbol) * static_cast<size_t>(count - best - 1));
    look(best);
    if (best > 0) look(best - 1);
  }
  for (int i = 0; i < count; ++i) ids.push_back(symbols[i].id);
}

void Bpe::merge_long(std::string_view piece, std::vector<int32_t>& ids) const {
  struct Link {
    int32_t id;
    int32_t previous, next;  // -1: none
    Merge merge;             // with the next
  };
  if (piece.size() > static_cast<size_t>(INT32_MAX))
    fail_input("a piece of {} bytes without a place to split: at most 2 GiB are supported", piece.size());
  std::vector<Link> links;
  for_each_symbol(piece, [&](int32_t id) {
    const auto at = static_cast<int32_t>(links.size());
    links.push_back({id, at - 1, at + 1, {}});
  });
  links.back().next = -1;
  std::vector<uint64_t> candidates;  // rank, then position: the lowest rank and of equals the leftmost
  const auto look = [&](int32_t i) {
    Link& s = links[i];
    s.merge = s.next >= 0 ? merges_.find(s.id, links[s.next].id) : Merge{};
    return s.merge.rank != Merge::kNone;
  };
  const auto key = [&](int32_t i) {
    return static_cast<uint64_t>(links[i].merge.rank) << 32 | static_cast<uint32_t>(i);
  };
  for (int32_t i = 0; i < static_cast<int32_t>(links.size()); ++i) {
    if (look(i)) candidates.push_back(key(i));
  }
  std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> queue(std::greater<>(), std::move(candidates));
  while (!queue.empty()) {
    const uint64_t top = queue.top();
    queue.pop();
    const auto at = static_cast<int32_t>(top & 0xFFFFFFFF);
    Link& s = links[at];
    if (s.merge.rank != static_cast<int32_t>(top >> 32)) continue;  // the pair is gone: a rank belongs to one pair
    const int32_t eaten = s.next;
    s.id = s.merge.id;
    s.next = links[eaten].next;
    links[eaten].merge.rank = Merge::kNone;
    if (s.next >= 0) links[s.next].previous = at;
    if (look(at)) queue.push(key(at));
    if (s.previous >= 0 && look(s.previous)) queue.push(key(s.previous));
  }
  for (int32_t i = 0; i >= 0; i = links[i].next) ids.push_back(links[i].id);
}

}  // namespace dslite
