// What the model trains on: T tokens in a row, no batch dimension, no padding.
#pragma once
#include <cstdint>
#include <vector>

namespace dslite {

struct Batch {
  std::vector<int32_t> tokens;       // [T] inputs
  std::vector<int32_t> labels;       // [T] next token of the same segment; -1: none
  std::vector<float> loss_weight;    // [T] of the label; 0 where there is none
  std::vector<int32_t> positions;    // [T] restart at 0 in each segment
  std::vector<int64_t> offsets;      // [S + 1] segments: attention, positions and balance loss never cross one
};

// Sums over the global batch (all micro-batches of all ranks): known before the first forward, so that every loss is scaled by the same owner.
struct BatchTotals {
  double target_weight = 0;          // sum of loss_weight over labels
  int64_t num_tokens = 0;            // inputs
  int64_t num_trained_tokens = 0;    // labels with weight > 0
};

struct GlobalBatch {
  std::vector<Batch> micro_batches;  // this rank's
  BatchTotals totals;                // of all ranks
};

}  // namespace dslite
