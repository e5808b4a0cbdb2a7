// Dispatch and combine in plain loops.
#include "kernels/permute/permute_reference.h"

namespace dslite::kernels {

void dispatch_plan_reference(int64_t num_tokens, int64_t num_experts_per_tok, int64_t num_experts,
                             const int32_t* indices, DispatchPlan plan) {
  int64_t row = 0;
  for (int64_t e = 0; e < num_experts; ++e) {
    plan.offsets[e] = row;
    for (int64_t slot = 0; slot < num_tokens * num_experts_per_tok; ++slot) {
      if (indices[slot] != e) continue;
      plan.row_token[row] = static_cast<int32_t>(slot / num_experts_per_tok);
      plan.row_of_slot[slot] = static_cast<int32_t>(row++);
    }
  }
  plan.offsets[num_experts] = row;
}

template <class T>
void combine_reference(const CombineReference<T>& arguments) {
  const int64_t width = arguments.hidden, slots = arguments.num_experts_per_tok;
  for (int64_t t = 0; t < arguments.num_tokens; ++t) {
    for (int64_t d = 0; d < width; ++d) {
      T sum = 0;
      if (arguments.residual) sum += arguments.residual[t * width + d];
      if (arguments.shared) sum += arguments.shared[t * width + d];
      for (int64_t k = 0; k < slots; ++k) {
        const T weight = arguments.weights ? arguments.weights[t * slots + k] : T(1);
        sum += weight * arguments.y[arguments.row_of_slot[t * slots + k] * width + d];
      }
      arguments.out[t * width + d] = sum;
    }
  }
}

template void combine_reference<float>(const CombineReference<float>&);
template void combine_reference<double>(const CombineReference<double>&);

}  // namespace dslite::kernels
