// Floating-point operations that a model needs (2 a multiply-add), counted from its shapes: what every "share of the
// peak" is made of. Normalisation, softmax, activations and the optimizer are not counted.
#pragma once
#include <cstdint>
#include <span>

#include "src/model/config.h"

namespace dslite {

struct Flops {
  double products = 0;   // with weights: projections, router, experts, head
  double attention = 0;  // causal scores and weighted sums, expanded form
  double total() const { return products + attention; }
};

// Forward of a row of segments (offsets [S + 1]), the logits of every token included.
Flops forward_flops(const ModelConfig& config, std::span<const int64_t> offsets);
// Forward and backward when every weight is trained: each product again for its input and its weight. Attention's
// backward is counted 2.0x as well, though a memory-saving one executes 2.5x (it forms the scores again).
Flops training_flops(const ModelConfig& config, std::span<const int64_t> offsets);

}  // namespace dslite
