// The end of a run: losses, speed, tokens per expert.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "src/base/json.h"
#include "src/train/metrics.h"
#include "src/train/train_state.h"

namespace dslite {

struct RunSummary {
  double first_loss = 0, last_loss = 0, seconds = 0, data_wait_seconds = 0;  // of this process
  int64_t num_steps = 0, tokens = 0;
  std::optional<ValidationMetrics> validation;

  void add_step(double loss, int64_t step_tokens, double step_seconds, double step_data_wait_seconds);
  Json json(const TrainState& state) const;  // whole run, this process's speed in `timing`
  std::string text(const TrainState& state, const std::vector<int64_t>& moe_layers) const;
};

}  // namespace dslite
