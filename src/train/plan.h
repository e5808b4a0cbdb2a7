// The memory that training needs, added up from shapes (arXiv:2405.04434's model; what is saved per token is listed in
// plan.cpp).
#pragma once
#include <cstdint>
#include <string>

#include "src/model/config.h"
#include "src/model/recompute.h"

namespace dslite {

struct PlanInput {
  bool bf16 = true, bf16_moments = false;
  Recompute recompute = Recompute::kNothing;
  int64_t micro_batch_tokens = 0;
  int64_t trained_parameters = 0;  // of config's total
  int64_t program_bytes = 0;       // resident before the model is there
};
struct MemoryPlan {
  int64_t weights_bytes = 0, gradients_bytes = 0, optimizer_bytes = 0, activations_bytes = 0, program_bytes = 0;
  int64_t total_bytes() const {
    return weights_bytes + gradients_bytes + optimizer_bytes + activations_bytes + program_bytes;
  }
};
MemoryPlan plan_memory(const ModelConfig& config, const PlanInput& input);
std::string plan_text(const MemoryPlan& plan);
// Refuses (UserError) a run that would be killed in its first steps: `available_bytes` is what the machine still has, 0
// where that is not known; the program itself is there already.
void require_memory(const MemoryPlan& plan, int64_t available_bytes);

}  // namespace dslite
