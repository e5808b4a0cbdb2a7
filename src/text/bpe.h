// Byte-level byte-pair encoding of one piece: merge the adjacent pair of lowest rank, the leftmost of equals, until
// none is left (Sennrich et al., arXiv:1508.07909; ranks as in GPT-2). Pieces that are one token are found by one
// look-up, those that were merged lately in a cache; short ones are merged in an array, long ones by a heap.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "src/text/merge_table.h"
#include "src/text/piece_table.h"

namespace dslite {

class Bpe {
 public:
  // The tokens' bytes by id (empty: no such token); ids of the single bytes, -1 for those that occur in no UTF-8 text.
  // ignore_merges: a piece that is a token becomes it, whatever the merges give.
  Bpe(const std::vector<std::string>& tokens, const std::array<int32_t, 256>& byte_ids, MergeTable merges,
      bool ignore_merges = false);

  // Appends the ids of a piece, which is not empty and well-formed UTF-8.
  void encode(std::string_view piece, PieceCache& cache, std::vector<int32_t>& ids) const;

 private:
  struct Symbol {
    int32_t id;
    Merge next;  // with the symbol after it
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view piece) const { return std::hash<std::string_view>()(piece); }
  };
  void find_whole_tokens(const std::vector<std::string>& tokens, bool ignore_merges);
  void merge(std::string_view piece, std::vector<int32_t>& ids) const;
  void merge_short(Symbol* symbols, int count, std::vector<int32_t>& ids) const;
  void merge_long(std::string_view piece, std::vector<int32_t>& ids) const;
  template <class Add>
  void for_each_symbol(std::string_view piece, Add&& add) const;

  std::array<int32_t, 256> byte_ids_;
  MergeTable merges_;
  std::vector<int32_t> character_ids_;  // [0x10000]
  // Tokens that their own bytes become: those of at most kMaxKeyBytes, and the others.
  PieceTable whole_;
  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> long_whole_;
  size_t longest_whole_ = 0;
};

}  // namespace dslite
