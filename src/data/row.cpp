// Rows of isolated segments, and rows that are one text.
#include "src/data/row.h"

#include <algorithm>

namespace dslite {
namespace {

// Calls add(weight) for tokens [begin, end) as labels.
template <class Add>
void for_weights(const Row& row, uint64_t begin, uint64_t end, const Add& add) {
  if (row.store->info().kind == TokenFileKind::kSft) {
    for (const float weight : row.store->loss_weight(begin, end)) add(weight * row.scale);
  } else {
    for (uint64_t i = begin; i < end; ++i) add(row.scale);
  }
}

// Of every label: those of isolated segments are the tokens behind their inputs; those of one text are all its tokens
// but the first, where the first token of a document counts 1.
template <class Add>
void for_labels(const Row& row, const Add& add) {
  const auto offsets = row.store->document_offsets();
  for (const Segment& segment : row.segments) {
    uint64_t begin = segment.begin, end = segment.begin + segment.num_inputs;
    if (row.isolated) {
      ++begin, ++end;
    } else if (&segment == &row.segments.front()) {
      ++begin;
    } else if (std::binary_search(offsets.begin(), offsets.end(), begin)) {
      add(row.scale);
      ++begin;
    }
    for_weights(row, begin, end, add);
  }
}

}  // namespace

void append_row(const Row& row, Batch& batch) {
  if (batch.offsets.empty()) batch.offsets.push_back(0);
  const size_t first = batch.tokens.size();
  size_t segment_first = first;
  for (const Segment& segment : row.segments) {
    const uint64_t end = segment.begin + segment.num_inputs;
    const auto tokens = row.store->tokens(segment.begin, row.isolated ? end + 1 : end);
    batch.tokens.insert(batch.tokens.end(), tokens.begin(), tokens.begin() + segment.num_inputs);
    if (row.isolated) {
      batch.labels.insert(batch.labels.end(), tokens.begin() + 1, tokens.end());
      segment_first = batch.tokens.size() - segment.num_inputs;
    }
    for (size_t t = batch.tokens.size() - segment.num_inputs; t < batch.tokens.size(); ++t)
      batch.positions.push_back(static_cast<int32_t>(t - segment_first));
    if (row.isolated) batch.offsets.push_back(static_cast<int64_t>(batch.tokens.size()));
  }
  for_labels(row, [&](float weight) { batch.loss_weight.push_back(weight); });
  if (row.isolated) return;
  batch.labels.insert(batch.labels.end(), batch.tokens.begin() + static_cast<std::ptrdiff_t>(first) + 1,
                      batch.tokens.end());
  batch.labels.push_back(-1);  // of the row's last token
  batch.loss_weight.push_back(0);
  batch.offsets.push_back(static_cast<int64_t>(batch.tokens.size()));
}

BatchTotals row_totals(const Row& row) {
  BatchTotals totals;
  for (const Segment& segment : row.segments) totals.num_tokens += segment.num_inputs;
  for_labels(row, [&](float weight) {
    totals.num_trained_tokens += weight > 0;
    totals.target_weight += weight;
  });
  return totals;
}

}  // namespace dslite
