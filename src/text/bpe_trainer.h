// Training of a byte-level BPE (Sennrich et al., arXiv:1508.07909): merge the most frequent adjacent pair of tokens,
// again and again. Pair counts are kept up to date by looking only at the pieces that hold the merged pair. Equal
// counts: the pair with the smaller ids. A pair whose bytes are a token already (made from other halves) is passed
// over, so that merge i makes token 243 + i.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "src/text/pre_tokenizer.h"

namespace dslite {

struct TrainedBpe {
  std::vector<std::string> tokens;                  // bytes by id: the 243 bytes of UTF-8, then one for each merge
  std::vector<std::pair<int32_t, int32_t>> merges;  // ids, in order of rank
};

// Called now and then with the number of merges made.
using MergeProgress = void (*)(void* state, int64_t num_merges);

class BpeTrainer {
 public:
  BpeTrainer();
  // Adds the pieces of a text, which is well-formed UTF-8. A text may be cut after any line feed.
  void add_text(std::string_view text);
  void add_piece(std::string_view piece, int64_t count);
  // At most `num_tokens` tokens: fewer when the texts have no more pairs.
  TrainedBpe train(int64_t num_tokens, MergeProgress progress = nullptr, void* progress_state = nullptr) const;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view piece) const { return std::hash<std::string_view>()(piece); }
  };
  PreTokenizer pre_tokenizer_;
  Pattern::Scratch scratch_;
  std::unordered_map<std::string, int64_t, Hash, std::equal_to<>> pieces_;  // how often each occurs
};

}  // namespace dslite
