// Learning-rate schedules. Pure functions of the step and of the fraction of the tokens already seen.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace dslite {

enum class ScheduleKind : uint8_t { kConstant, kCosine, kWarmupStepDecay, kWarmupStableDecay };

struct ScheduleConfig {
  ScheduleKind kind = ScheduleKind::kWarmupStepDecay;
  double learning_rate = 0;               // peak
  int64_t warmup_steps = 0;               // linear: step s of 1..warmup has peak * s / warmup
  std::vector<double> decay_at;           // warmup_step_decay: fractions of the tokens, ascending; the report's are 0.8, 0.9
  double decay_factor = 0.316;            //   the rate is multiplied by it at each
  double min_learning_rate_ratio = 0.1;   // cosine, warmup_stable_decay: end / peak
  double stable_until = 0.9;              // warmup_stable_decay: fraction of the tokens where the linear decay begins
};

// The rate of step `step` (from 1) of a run of total_tokens with tokens_per_step places a step; the fraction is (step - 1) * tokens_per_step / total_tokens.
double learning_rate(const ScheduleConfig& config, int64_t step, int64_t tokens_per_step, int64_t total_tokens);

ScheduleKind schedule_kind(const std::string& name);   // UserError with the known names
const char* schedule_kind_name(ScheduleKind kind);

}  // namespace dslite
