// Incremental pair counts: a merge visits only the pieces of its pair's list and corrects the counts of the neighbours
// there.
#include "src/text/bpe_trainer.h"

#include <array>
#include <queue>
#include <unordered_set>

#include "src/text/byte_level.h"
#include "src/text/v2_pre_tokenizer.h"

namespace dslite {
namespace {

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

struct PairHash {
  size_t operator()(uint64_t pair) const { return (pair * 0x9E3779B97F4A7C15u) >> 20; }
};

// A piece as the tokens that it is made of so far.
struct Word {
  size_t begin;  // in the common array of symbols
  int32_t size;
  int64_t count;
};

struct PairState {
  int64_t count = 0;
  std::vector<int32_t> words;  // each word that has held the pair, ascending within one merge; may hold it no more
};

// The most frequent first, then the smaller ids.
struct Candidate {
  int64_t count;
  uint64_t pair;
  bool operator<(const Candidate& other) const {
    return count != other.count ? count < other.count : pair > other.pair;
  }
};

class Training {
 public:
  Training() {
    std::array<int32_t, 256> ids{};
    for (const uint8_t byte : utf8_bytes_in_token_order()) {
      ids[byte] = static_cast<int32_t>(result_.tokens.size());
      result_.tokens.emplace_back(1, static_cast<char>(byte));
    }
    byte_ids_ = ids;
    known_.insert(result_.tokens.begin(), result_.tokens.end());
  }

  void add_word(std::string_view piece, int64_t count) {
    const int32_t word = static_cast<int32_t>(words_.size());
    words_.push_back({symbols_.size(), static_cast<int32_t>(piece.size()), count});
    for (const char byte : piece) symbols_.push_back(byte_ids_[static_cast<uint8_t>(byte)]);
    const int32_t* s = symbols_.data() + words_[word].begin;
    for (size_t i = 0; i + 1 < piece.size(); ++i) change(pair_key(s[i], s[i + 1]), word, count);
  }

  TrainedBpe run(int64_t num_tokens, MergeProgress progress, void* progress_state) {
    for (const auto& [pair, state] : pairs_) queue_.push({state.count, pair});
    while (static_cast<int64_t>(result_.tokens.size()) < num_tokens && !queue_.empty()) {
      const Candidate top = queue_.top();
      queue_.pop();
      const auto found = pairs_.find(top.pair);
      if (found == pairs_.end()) continue;
      if (found->second.count != top.count) {  // it has become rarer since it was queued
        if (found->second.count > 0) queue_.push({found->second.count, top.pair});
        continue;
      }
      merge(top.pair, std::move(found->second.words));
      if (progress && result_.merges.size() % 64 == 0)
        progress(progress_state, static_cast<int64_t>(result_.merges.size()));
    }
    return std::move(result_);
  }

 private:
  // A pair that a word gains or loses.
  void change(uint64_t pair, int32_t word, int64_t count) {
    PairState& state = pairs_[pair];
    state.count += count;
    if (count > 0 && (state.words.empty() || state.words.back() != word)) state.words.push_back(word);
  }

  void merge(uint64_t pair, std::vector<int32_t> words) {
    const int32_t left = static_cast<int32_t>(pair >> 32), right = static_cast<int32_t>(pair & 0xFFFFFFFF);
    std::string token = result_.tokens[left] + result_.tokens[right];
    if (!known_.insert(token).second) {
      pairs_.erase(pair);
      return;
    }
    const int32_t merged = static_cast<int32_t>(result_.tokens.size());
    result_.tokens.push_back(std::move(token));
    result_.merges.emplace_back(left, right);
    for (const int32_t word : words) merge_in_word(word, left, right, merged);
    pairs_.erase(pair);
    for (const uint64_t made : made_) {
      if (const int64_t count = pairs_[made].count; count > 0) queue_.push({count, made});  // 0: each was merged further at once
    }
    made_.clear();
  }

  void merge_in_word(int32_t index, int32_t left, int32_t right, int32_t merged) {
    Word& word = words_[index];
    int32_t* s = symbols_.data() + word.begin;
    int32_t out = 0;
    for (int32_t i = 0; i < word.size; ++out) {
      if (i + 1 == word.size || s[i] != left || s[i + 1] != right) {
        s[out] = s[i++];
        continue;
      }
      if (out > 0) {
        change(pair_key(s[out - 1], left), index, -word.count);
        gain(pair_key(s[out - 1], merged), index, word.count);
      }
      if (i + 2 < word.size) {
        change(pair_key(right, s[i + 2]), index, -word.count);
        gain(pair_key(merged, s[i + 2]), index, word.count);
      }
      s[out] = merged;
      i += 2;
    }
    word.size = out;
  }

  // A pair with the new token: queued when the merge is done and its count final.
  void gain(uint64_t pair, int32_t word, int64_t count) {
    if (!pairs_.contains(pair)) made_.push_back(pair);
    change(pair, word, count);
  }

  TrainedBpe result_;
  std::array<int32_t, 256> byte_ids_;
  std::unordered_set<std::string> known_;
  std::vector<int32_t> symbols_;
  std::vector<Word> words_;
  std::unordered_map<uint64_t, PairState, PairHash> pairs_;
  std::priority_queue<Candidate> queue_;
  std::vector<uint64_t> made_;
};

}  // namespace

BpeTrainer::BpeTrainer() : pre_tokenizer_(deepseek_v2_pre_tokenizer(), "the built-in pre-tokenizer") {}

void BpeTrainer::add_text(std::string_view text) {
  pre_tokenizer_.split(text, scratch_, [&](std::string_view piece) { add_piece(piece, 1); });
}

void BpeTrainer::add_piece(std::string_view piece, int64_t count) {
  const auto found = pieces_.find(piece);
  if (found != pieces_.end()) {
    found->second += count;
  } else {
    pieces_.emplace(piece, count);
  }
}

TrainedBpe BpeTrainer::train(int64_t num_tokens, MergeProgress progress, void* progress_state) const {
  Training training;
  for (const auto& [piece, count] : pieces_) training.add_word(piece, count);
  return training.run(num_tokens, progress, progress_state);
}

}  // namespace dslite
