// The two conditions for each character of the basic plane.
#include "src/text/character_ids.h"

#include <algorithm>

#include "src/text/utf8.h"

namespace dslite {
namespace {

constexpr size_t kNumCharacters = 0x10000;

bool continues(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

// By token: the ranks of the merges around it.
struct Ranks {
  std::vector<int32_t> to_left;   // the lowest in which it is the right half
  std::vector<int32_t> to_right;  // the lowest in which it is the left half and a new character follows
};

Ranks ranks_of(const std::vector<std::string>& tokens, const MergeTable& merges) {
  Ranks ranks{.to_left = std::vector<int32_t>(tokens.size(), Merge::kNone),
              .to_right = std::vector<int32_t>(tokens.size(), Merge::kNone)};
  merges.for_each([&](int32_t left, int32_t right, const Merge& merge) {
    ranks.to_left[right] = std::min(ranks.to_left[right], merge.rank);
    if (!continues(tokens[right][0])) ranks.to_right[left] = std::min(ranks.to_right[left], merge.rank);
  });
  return ranks;
}

// The only token that `bytes` (2 or 3) merge to, the highest rank of these merges, and the lowest of those that join a
// part of them or the token with a neighbour.
struct Merged {
  int32_t id = -1, rank = -1;
  int32_t outside = Merge::kNone;
};

Merged merge_character(const std::string& bytes, const std::array<int32_t, 256>& byte_ids, const MergeTable& merges,
                       const Ranks& ranks) {
  std::vector<int32_t> ids;
  for (const char byte : bytes) ids.push_back(byte_ids[static_cast<uint8_t>(byte)]);
  Merged merged;
  while (ids.size() > 1) {
    merged.outside = std::min({merged.outside, ranks.to_left[ids.front()], ranks.to_right[ids.back()]});
    const Merge first = merges.find(ids[0], ids[1]);
    const Merge second = ids.size() == 3 ? merges.find(ids[1], ids[2]) : Merge{};
    const size_t at = second.rank < first.rank ? 1 : 0;
    const Merge best = at == 1 ? second : first;
    if (best.rank == Merge::kNone) return {};
    ids[at] = best.id;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    merged.rank = std::max(merged.rank, best.rank);
  }
  merged.id = ids[0];
  merged.outside = std::min({merged.outside, ranks.to_left[ids[0]], ranks.to_right[ids[0]]});
  return merged;
}

}  // namespace

std::vector<int32_t> mergeable_characters(const std::vector<std::string>& tokens,
                                          const std::array<int32_t, 256>& byte_ids, const MergeTable& merges) {
  std::vector<int32_t> ids(kNumCharacters, -1);
  const Ranks ranks = ranks_of(tokens, merges);
  for (uint32_t c = 0x80; c < kNumCharacters; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string bytes;
    append_utf8(bytes, c);
    const Merged merged = merge_character(bytes, byte_ids, merges, ranks);
    if (merged.id >= 0 && merged.outside > merged.rank) ids[c] = merged.id;
  }
  return ids;
}

}  // namespace dslite
