// Incremental pair counts: a merge visits only the pieces of its pair's list and corrects the counts of the neighbours
// there.
#include "src/text/bpe_trainer.h"

#include <array>
#include <queue>
#include <unordered_map>
#include <unordered_set>

#include "src/base/error.h"
#include "src/base/parallel_for.h"
#include "src/text/byte_level.h"
#include "src/text/pair_table.h"
#include "src/text/v2_pre_tokenizer.h"

namespace dslite {
namespace {

constexpr size_t kTaskBytes = size_t{1} << 20;
constexpr size_t kManyPieces = size_t{1} << 20;  // of all threads together, before they are added up
constexpr int64_t kNumBytes = 243;

// A piece as the tokens that it is made of so far.
struct Word {
  size_t begin;  // in the common array of symbols
  int32_t size;
  int64_t count;
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
    byte_ids_.fill(-1);
    for (const uint8_t byte : utf8_bytes_in_token_order()) {
      byte_ids_[byte] = static_cast<int32_t>(result_.tokens.size());
      result_.tokens.emplace_back(1, static_cast<char>(byte));
    }
    for (size_t id = 0; id < result_.tokens.size(); ++id) ids_.emplace(result_.tokens[id], static_cast<int32_t>(id));
  }

  void add_word(std::string_view piece, int64_t count) {
    if (piece.size() < 2) return;
    if (words_.size() == INT32_MAX) fail_input("more than {} different pieces to train on", INT32_MAX);
    const auto word = static_cast<int32_t>(words_.size());
    words_.push_back({symbols_.size(), static_cast<int32_t>(piece.size()), count});
    for (const char byte : piece) symbols_.push_back(byte_ids_[static_cast<uint8_t>(byte)]);
    const int32_t* s = symbols_.data() + words_[word].begin;
    for (size_t i = 0; i + 1 < piece.size(); ++i) pairs_.gain(pair_key(s[i], s[i + 1]), word, count, -1);
  }

  TrainedBpe run(int64_t num_tokens, MergeProgress progress, void* progress_state) {
    pairs_.for_each([&](uint64_t pair, int64_t count) { queue_.push({count, pair}); });
    while (static_cast<int64_t>(result_.tokens.size()) < num_tokens && !queue_.empty()) {
      const Candidate top = queue_.top();
      queue_.pop();
      const int64_t count = pairs_.count(top.pair);
      if (count != top.count) {  // more: it was queued again; fewer: it has become rarer since, or was merged
        if (count > 0 && count < top.count) queue_.push({count, top.pair});
        continue;
      }
      merge(top.pair);
      if (progress && result_.merges.size() % 64 == 0)
        progress(progress_state, static_cast<int64_t>(result_.tokens.size()) - kNumBytes);
    }
    return std::move(result_);
  }

 private:
  void merge(uint64_t pair) {
    const auto left = static_cast<int32_t>(pair >> 32), right = static_cast<int32_t>(pair & 0xFFFFFFFF);
    std::string token = result_.tokens[left] + result_.tokens[right];
    const auto [known, is_new] = ids_.emplace(token, static_cast<int32_t>(result_.tokens.size()));
    if (is_new) result_.tokens.push_back(std::move(token));
    const int32_t merged = known->second;
    // The words of a pair whose halves come back after its merge are merged again without a second line.
    if (merged_.insert(pair).second) result_.merges.push_back({left, right, merged});
    for (const int32_t word : pairs_.take_words(pair)) merge_in_word(word, left, right, merged);
    pairs_.forget(pair);
    for (const uint64_t gained : gained_) {
      // 0: each was merged further at once.
      if (const int64_t count = pairs_.count(gained); count > 0) queue_.push({count, gained});
    }
    gained_.clear();
    ++num_merges_;
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
        pairs_.lose(pair_key(s[out - 1], left), word.count);
        gain(pair_key(s[out - 1], merged), index, word.count);
      }
      if (i + 2 < word.size) {
        pairs_.lose(pair_key(right, s[i + 2]), word.count);
        gain(pair_key(merged, s[i + 2]), index, word.count);
      }
      s[out] = merged;
      i += 2;
    }
    word.size = out;
  }

  // A pair with the merged token: queued when the merge is done and its count final.
  void gain(uint64_t pair, int32_t word, int64_t count) {
    if (pairs_.gain(pair, word, count, num_merges_)) gained_.push_back(pair);
  }

  TrainedBpe result_;
  std::array<int32_t, 256> byte_ids_;
  std::unordered_map<std::string, int32_t> ids_;
  std::unordered_set<uint64_t> merged_;
  std::vector<int32_t> symbols_;
  std::vector<Word> words_;
  PairTable pairs_;
  std::priority_queue<Candidate> queue_;
  std::vector<uint64_t> gained_;  // in the merge at hand
  int32_t num_merges_ = 0;
};

}  // namespace

BpeTrainer::BpeTrainer() : pre_tokenizer_(deepseek_v2_pre_tokenizer(), "the built-in pre-tokenizer") {}

void BpeTrainer::add_text(std::string_view text) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0, end; begin < text.size(); begin = end) {
    const size_t line_feed = text.find('\n', std::min(text.size(), begin + kTaskBytes));
    end = line_feed == std::string_view::npos ? text.size() : line_feed + 1;
    parts.push_back(text.substr(begin, end - begin));
    if (parts.back().size() > UINT32_MAX) fail_input("a line of {} bytes is too long to train on", parts.back().size());
  }
  by_thread_.resize(std::max(by_thread_.size(), static_cast<size_t>(num_threads())));
  parallel_for(static_cast<int64_t>(parts.size()), [&](int64_t part, int thread) {
    Pattern::Scratch scratch;
    pre_tokenizer_.split(parts[static_cast<size_t>(part)], scratch,
                         [&](std::string_view piece) { by_thread_[static_cast<size_t>(thread)].add(piece); });
  });
  size_t pieces = 0;
  for (const PieceCounter& counter : by_thread_) pieces += counter.size();
  if (pieces < kManyPieces) return;
  for (const PieceCounter& counter : by_thread_) pieces_.add(counter);
  by_thread_.clear();
}

TrainedBpe BpeTrainer::train(int64_t num_tokens, MergeProgress progress, void* progress_state) {
  for (const PieceCounter& counter : by_thread_) pieces_.add(counter);
  by_thread_.clear();
  Training training;
  pieces_.for_each([&](std::string_view piece, int64_t count) { training.add_word(piece, count); });
  return training.run(num_tokens, progress, progress_state);
}

}  // namespace dslite
