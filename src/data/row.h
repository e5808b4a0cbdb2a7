// A row of a packing with its tokens, labels and weights.
#pragma once
#include <span>

#include "src/data/batch.h"
#include "src/data/packing.h"
#include "src/data/token_store.h"

namespace dslite {

struct Row {
  const TokenStore* store;
  std::span<const Segment> segments;
  bool isolated;    // as of its packing
  float scale = 1;  // multiplies the loss weights
};
void append_row(const Row& row, Batch& batch);
// The row's share of the totals; reads loss weights only.
BatchTotals row_totals(const Row& row);

}  // namespace dslite
