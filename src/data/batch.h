// What the model trains on: T tokens in a row, no batch dimension, no padding.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dslite {

struct Batch {
  std::vector<int32_t> tokens;     // [T] inputs
  std::vector<int32_t> labels;     // [T] next token of the same segment; -1: none
  std::vector<float> loss_weight;  // [T] of the label; 0 where there is none
  std::vector<int32_t> positions;  // [T] restart at 0 in each segment
  std::vector<int64_t> offsets;    // [S + 1] segments: attention, positions and balance loss never cross one
};

// Adds a document of which every token is an input: probes and tests, which look at all its logits. A label's weight is
// that of its token, so the first is not used.
inline void append_whole_document(std::span<const int32_t> ids, std::span<const float> loss_weight, Batch& batch) {
  if (batch.offsets.empty()) batch.offsets.push_back(0);
  for (size_t t = 0; t < ids.size(); ++t) {
    const bool last = t + 1 == ids.size();
    batch.tokens.push_back(ids[t]);
    batch.labels.push_back(last ? -1 : ids[t + 1]);
    batch.loss_weight.push_back(last ? 0 : loss_weight[t + 1]);
    batch.positions.push_back(static_cast<int32_t>(t));
  }
  batch.offsets.push_back(static_cast<int64_t>(batch.tokens.size()));
}

// Sums over the global batch (all micro-batches of all ranks): known before the first forward, so that every loss is
// scaled by the same owner.
struct BatchTotals {
  double target_weight = 0;        // sum of loss_weight over labels
  int64_t num_tokens = 0;          // inputs
  int64_t num_trained_tokens = 0;  // labels with weight > 0
};

struct GlobalBatch {
  std::vector<Batch> micro_batches;  // this rank's
  BatchTotals totals;                // of all ranks
};

}  // namespace dslite
