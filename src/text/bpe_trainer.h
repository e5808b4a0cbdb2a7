// Training of a byte-level BPE (Sennrich et al., arXiv:1508.07909): merge the most frequent adjacent pair of tokens,
// again and again. Pair counts are kept up to date by looking only at the pieces that hold the merged pair. Equal
// counts: the pair with the smaller ids. A pair whose bytes are a token already, made from other halves, becomes that
// token, as in the `tokenizers` package.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "src/text/piece_counter.h"
#include "src/text/pre_tokenizer.h"

namespace dslite {

struct TrainedMerge {
  int32_t left, right, id;  // id: of what they become
  bool operator==(const TrainedMerge&) const = default;
};

struct TrainedBpe {
  std::vector<std::string> tokens;   // bytes by id: the 243 bytes of UTF-8, then the new ones in order
  std::vector<TrainedMerge> merges;  // in order of rank
};

// Called now and then with the number of tokens made beyond the bytes.
using MergeProgress = void (*)(void* state, int64_t num_tokens);

class BpeTrainer {
 public:
  BpeTrainer();
  // Adds the pieces of a text, which is well-formed UTF-8, on all threads. A text may be cut after any line feed.
  void add_text(std::string_view text);
  void add_piece(std::string_view piece, int64_t count) { pieces_.add(piece, count); }
  // At most `num_tokens` tokens: fewer when the texts have no more pairs.
  TrainedBpe train(int64_t num_tokens, MergeProgress progress = nullptr, void* progress_state = nullptr);

 private:
  PreTokenizer pre_tokenizer_;
  PieceCounter pieces_;
  std::vector<PieceCounter> by_thread_;  // of add_text(); their sum counts, whichever thread took a part
};

}  // namespace dslite
