// The oracle of permute: the plan by a stable search per expert, combine in plain loops.
#pragma once
#include <cstdint>

#include "kernels/permute/permute.h"

namespace dslite::kernels {

void dispatch_plan_reference(int64_t num_tokens, int64_t num_experts_per_tok, int64_t num_experts,
                             const int32_t* indices, DispatchPlan plan);

// Null: absent (weights: all 1).
template <class T>
struct CombineReference {
  int64_t num_tokens, num_experts_per_tok, hidden;
  const int32_t* row_of_slot;
  const T* weights;   // [T, K]
  const T* y;         // [rows, D]
  const T* shared;    // [T, D]
  const T* residual;  // [T, D]
  T* out;             // [T, D]
};
template <class T>
void combine_reference(const CombineReference<T>& arguments);

}  // namespace dslite::kernels
