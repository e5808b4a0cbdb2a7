// Initial weights of one tensor: ones for norms, N(0, initializer_range) for every other. A pure function of (seed,
// tensor name): no order, no threads, no other tensor.
#pragma once
#include <cstdint>
#include <span>

#include "src/model/config.h"

namespace dslite {

// Fills `out`, the elements of `tensor` in row-major order.
void initial_values(const TensorSpec& tensor, double initializer_range, uint64_t seed, std::span<float> out);

}  // namespace dslite
