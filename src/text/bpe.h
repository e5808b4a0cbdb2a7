// Byte-level byte-pair encoding of one piece: merge the adjacent pair of lowest rank, the leftmost of equals, until
// none is left (Sennrich et al., arXiv:1508.07909; ranks as in GPT-2). Pieces that are one token are found by one
// look-up, long ones are merged by a heap.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dslite {

// (left id, right id) -> (rank, merged id), an open-addressing table.
class MergeTable {
 public:
  static constexpr int32_t kNone = INT32_MAX;
  struct Merge {
    int32_t rank = kNone, id = -1;  // rank kNone: no such merge
  };

  explicit MergeTable(size_t num_merges);
  // False when the pair is there already.
  bool insert(int32_t left, int32_t right, Merge merge);
  Merge find(int32_t left, int32_t right) const;

 private:
  struct Slot {
    uint64_t pair;
    Merge merge;
  };
  size_t slot_of(uint64_t pair) const;
  std::vector<Slot> slots_;
  uint64_t mask_;
};

class Bpe {
 public:
  // The tokens' bytes by id (empty: no such token); ids of the single bytes, -1 for those that occur in no UTF-8 text.
  Bpe(std::vector<std::string> tokens, const std::array<int32_t, 256>& byte_ids, MergeTable merges);

  // Appends the ids of a piece.
  void encode(std::string_view piece, std::vector<int32_t>& ids) const;
  const std::string& token(int32_t id) const { return tokens_[id]; }
  int32_t num_tokens() const { return static_cast<int32_t>(tokens_.size()); }

 private:
  void merge_short(std::string_view piece, std::vector<int32_t>& ids) const;
  void merge_long(std::string_view piece, std::vector<int32_t>& ids) const;
  void merge(std::string_view piece, std::vector<int32_t>& ids) const;
  size_t whole_slot(std::string_view piece) const;

  std::vector<std::string> tokens_;
  std::array<int32_t, 256> byte_ids_;
  MergeTable merges_;
  std::vector<int32_t> whole_;  // ids of the tokens that merging gives for their own bytes, by hash; -1: free
  size_t longest_whole_ = 0;
};

}  // namespace dslite
