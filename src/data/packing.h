// Documents become segments, segments become rows. A document of n tokens has n - 1 labels (token 0 is never one); it
// is cut every L labels, and consecutive segments share one token (last label of one, first input of the next), so
// every other token is a label exactly once. Rows of at most L inputs are filled by best-fit decreasing. All is a pure
// function of (document offsets, L, seed).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "src/data/batch.h"
#include "src/data/token_store.h"

namespace dslite {

struct Segment {
  uint64_t begin;  // first input: an index into the file's tokens; the last label is token begin + num_inputs
  uint32_t num_inputs;
};

struct Packing {
  std::vector<Segment> segments;      // row after row
  std::vector<uint64_t> row_offsets;  // [R + 1] into segments
  int64_t num_rows() const { return static_cast<int64_t>(row_offsets.size()) - 1; }
  std::span<const Segment> row(int64_t index) const {
    return std::span(segments).subspan(row_offsets[index], row_offsets[index + 1] - row_offsets[index]);
  }
};

constexpr int64_t kMaxSequenceTokens = int64_t{1} << 24;

// Longest first; ties in an order drawn from the seed. A segment goes to the row that it fills best; of rows with equal
// room, to the one with the smallest sum of squared lengths, so that rows cost attention alike.
Packing pack_documents(std::span<const uint64_t> document_offsets, int64_t sequence_tokens, uint64_t seed);

struct Row {
  const TokenStore* store;
  std::span<const Segment> segments;
  float scale = 1;  // multiplies the loss weights
};
void append_row(const Row& row, Batch& batch);
// The row's share of the totals; reads loss weights only.
BatchTotals row_totals(const Row& row);

}  // namespace dslite
