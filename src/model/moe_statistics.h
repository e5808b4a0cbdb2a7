// What one MoE layer tells about a forward. T tokens, E experts, K chosen.
#pragma once
#include <vector>

#include "src/ops/types.h"

namespace dslite {

struct MoeStatistics {
  int64_t layer = 0;
  double balance_loss_sum = 0;         // sum over segments of T_s * L_s: divide by the global batch's tokens
  std::vector<int64_t> expert_tokens;  // [E]
  Route route;
  at::Tensor weights;  // [T, K] fp32
};

}  // namespace dslite
