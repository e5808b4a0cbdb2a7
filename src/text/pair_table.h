// How often each adjacent pair of tokens occurs in the words of a training, and in which of them.
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

namespace dslite {

inline uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

class PairTable {
 public:
  PairTable() : slots_(size_t{1} << 12, kFree) {}

  // A word holds the pair `times` times more: the words of one merge come in ascending order. True for the pair's first
  // gain in this merge.
  bool gain(uint64_t pair, int32_t word, int64_t times, int32_t merge) {
    State& state = state_of(pair);
    state.count += times;
    if (state.words.empty() || state.words.back() != word) state.words.push_back(word);
    return std::exchange(state.last_gain, merge) != merge;
  }
  void lose(uint64_t pair, int64_t times) { state_of(pair).count -= times; }
  int64_t count(uint64_t pair) { return state_of(pair).count; }

  // The words that have gained the pair; some may hold it no more.
  std::vector<int32_t> take_words(uint64_t pair) { return std::exchange(state_of(pair).words, {}); }
  // The pair occurs no more.
  void forget(uint64_t pair) { state_of(pair).count = 0; }

  // Calls each(pair, count) for those that occur.
  template <class Each>
  void for_each(Each&& each) const {
    for (const State& state : states_) {
      if (state.count > 0) each(state.pair, state.count);
    }
  }

 private:
  static constexpr uint32_t kFree = UINT32_MAX;
  struct State {
    uint64_t pair;
    int64_t count = 0;
    int32_t last_gain = -1;  // the merge
    std::vector<int32_t> words;
  };

  State& state_of(uint64_t pair) {
    uint32_t& slot = slot_of(pair);
    if (slot != kFree) return states_[slot];
    slot = static_cast<uint32_t>(states_.size());
    states_.push_back({.pair = pair});
    if (2 * states_.size() > slots_.size()) grow();
    return states_.back();
  }
  uint32_t& slot_of(uint64_t pair) {
    const size_t mask = slots_.size() - 1;
    const uint64_t mixed = pair * 0x9E3779B97F4A7C15u;
    size_t at = (mixed ^ mixed >> 32) & mask;
    while (slots_[at] != kFree && states_[slots_[at]].pair != pair) at = (at + 1) & mask;
    return slots_[at];
  }
  void grow() {
    slots_.assign(2 * slots_.size(), kFree);
    for (uint32_t i = 0; i < states_.size(); ++i) slot_of(states_[i].pair) = i;
  }

  std::vector<uint32_t> slots_;  // indices into states_
  std::vector<State> states_;
};

}  // namespace dslite
