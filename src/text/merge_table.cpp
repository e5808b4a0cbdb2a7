// Building the table of merges.
#include "src/text/merge_table.h"

#include <bit>

namespace dslite {

MergeTable::MergeTable(size_t num_merges)
    : slots_(std::bit_ceil(2 * num_merges + 2), Slot{kFree, {}}), mask_(slots_.size() - 1) {}

bool MergeTable::insert(int32_t left, int32_t right, Merge merge) {
  const uint64_t pair = key_of(left, right);
  size_t slot = first_slot(pair);
  while (slots_[slot].pair != kFree) {
    if (slots_[slot].pair == pair) return false;
    slot = (slot + 1) & mask_;
  }
  slots_[slot] = {pair, merge};
  return true;
}

}  // namespace dslite
