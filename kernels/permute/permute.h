// The dispatch plan of a mixture of experts and its sums: rows are (token, slot) pairs sorted by expert, stably (counting sort, no atomics).
// T tokens, K chosen experts a token, E experts, rows = T * K.
#pragma once
#include "kernels/common/context.h"

namespace dslite::kernels {

struct DispatchPlan {
  int64_t* offsets;      // [E + 1]  expert e owns rows offsets[e] .. offsets[e + 1]
  int32_t* row_token;    // [rows]   the token of a row (gather index)
  int32_t* row_of_slot;  // [T, K]   the row of (token, slot) (inverse index)
};
// indices [T, K], each in [0, E).
void make_dispatch_plan(const Context& context, int64_t num_tokens, int64_t num_experts_per_tok, int64_t num_experts, const int32_t* indices, DispatchPlan plan);

// out[t] = residual[t] + shared[t] + sum_k weights[t, k] * y[row_of_slot[t, k]], in this order, in fp32, rounded once. residual, shared: data null when absent.
// weights null: all 1 (the sum of the input gradients). D columns.
struct CombineArguments {
  int64_t num_tokens, num_experts_per_tok, hidden;
  const int32_t* row_of_slot;
  const float* weights;  // [T, K] or null
  ConstMatrix y;         // [rows, D]
  ConstMatrix shared, residual;
  Matrix out;            // [T, D]
};
void combine(const Context& context, const CombineArguments& arguments);

// rows[row_of_slot[t, k]] = values[t, k]: routing weights in row order; and back.
void slots_to_rows(const Context& context, int64_t num_slots, const int32_t* row_of_slot, const float* slots, float* rows);
void rows_to_slots(const Context& context, int64_t num_slots, const int32_t* row_of_slot, const float* rows, float* slots);

}  // namespace dslite::kernels
