// The dispatch plan (serial: T * K integers) and the threads of combine.
#include "kernels/permute/permute.h"

#include <algorithm>

#include "kernels/common/contract.h"
#include "kernels/common/dispatch.h"

namespace dslite::kernels {

DSLITE_DECLARE_FOR_EACH_SET(void combine_tokens(int64_t first, int64_t last, const CombineArguments& arguments);)

namespace {

constexpr int64_t kTokensPerTask = 16;

struct Combine {
  const Context* context;
  const CombineArguments* arguments;
};
void combine_range(const Combine& c, int64_t first, int64_t last) {
  DSLITE_DISPATCH(*c.context, combine_tokens(first, last, *c.arguments));
}

}  // namespace

void make_dispatch_plan(const Context&, int64_t num_tokens, int64_t num_experts_per_tok, int64_t num_experts,
                        const int32_t* indices, DispatchPlan plan) {
  const int64_t num_slots = num_tokens * num_experts_per_tok;
  DSLITE_CONTRACT(num_tokens >= 0 && num_experts_per_tok >= 0 && num_experts >= 0 && plan.offsets);
  DSLITE_CONTRACT(is_given(indices, num_slots) && are_below(indices, num_slots, num_experts));
  DSLITE_CONTRACT(is_given(plan.row_token, num_slots) && is_given(plan.row_of_slot, num_slots));
  std::fill(plan.offsets, plan.offsets + num_experts + 1, 0);
  for (int64_t slot = 0; slot < num_slots; ++slot) ++plan.offsets[indices[slot] + 1];
  for (int64_t e = 0; e < num_experts; ++e) plan.offsets[e + 1] += plan.offsets[e];
  for (int64_t slot = 0; slot < num_slots; ++slot) {  // offsets[e] serves as expert e's cursor ...
    const int64_t row = plan.offsets[indices[slot]]++;
    plan.row_token[row] = static_cast<int32_t>(slot / num_experts_per_tok);
    plan.row_of_slot[slot] = static_cast<int32_t>(row);
  }
  for (int64_t e = num_experts; e > 0; --e)
    plan.offsets[e] = plan.offsets[e - 1];  // ... and ends at the next one's start
  plan.offsets[0] = 0;
}

void combine(const Context& context, const CombineArguments& arguments) {
  const CombineArguments& x = arguments;
  const int64_t slots = x.num_tokens * x.num_experts_per_tok;
  DSLITE_CONTRACT(is_usable(context) && x.num_tokens >= 0 && x.num_experts_per_tok >= 0);
  DSLITE_CONTRACT(is_given(x.row_of_slot, slots) && are_below(x.row_of_slot, slots, slots));
  DSLITE_CONTRACT(is_matrix(x.y, slots, x.hidden) && is_matrix(x.out, x.num_tokens, x.hidden));
  DSLITE_CONTRACT(!x.shared.data || is_matrix(x.shared, x.num_tokens, x.hidden));
  DSLITE_CONTRACT(!x.residual.data || is_matrix(x.residual, x.num_tokens, x.hidden));
  Combine state{&context, &arguments};
  context.parallel_for((arguments.num_tokens + kTokensPerTask - 1) / kTokensPerTask,
                       [](void* pointer, int64_t task, int) {
                         const Combine& c = *static_cast<Combine*>(pointer);
                         combine_range(c, task * kTokensPerTask,
                                       std::min(c.arguments->num_tokens, (task + 1) * kTokensPerTask));
                       },
                       &state);
}

void slots_to_rows(const Context&, int64_t num_slots, const int32_t* row_of_slot, const float* slots, float* rows) {
  DSLITE_CONTRACT(is_given(row_of_slot, num_slots) && are_below(row_of_slot, num_slots, num_slots));
  DSLITE_CONTRACT(is_given(slots, num_slots) && is_given(rows, num_slots));
  for (int64_t slot = 0; slot < num_slots; ++slot) rows[row_of_slot[slot]] = slots[slot];
}

void rows_to_slots(const Context&, int64_t num_slots, const int32_t* row_of_slot, const float* rows, float* slots) {
  DSLITE_CONTRACT(is_given(row_of_slot, num_slots) && are_below(row_of_slot, num_slots, num_slots));
  DSLITE_CONTRACT(is_given(slots, num_slots) && is_given(rows, num_slots));
  for (int64_t slot = 0; slot < num_slots; ++slot) slots[slot] = rows[row_of_slot[slot]];
}

}  // namespace dslite::kernels
