// Everything that a run is at a step: model, optimizer, data position, counters. Saved whole, so that a continued run
// ends with the bits of an undisturbed one.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "src/checkpoint/run_checkpoint.h"
#include "src/data/prefetcher.h"
#include "src/model/deepseek_v2.h"
#include "src/optim/adamw.h"
#include "src/train/loss_and_gradient.h"

namespace dslite {

struct BestValidation {
  int64_t step = 0;  // 0: none yet
  double loss = 0;
};

struct TrainState {
  std::unique_ptr<DeepseekV2> model;
  AdamW optimizer;
  std::unique_ptr<Prefetcher> loader;
  int64_t step = 0;                        // steps done
  int64_t tokens = 0, trained_tokens = 0;  // inputs and trained labels so far
  BestValidation best;
  std::vector<std::vector<int64_t>> expert_tokens;  // [MoE layers][E] tokens that each expert got so far
};

// Values by Hugging Face name, the optimizer's as NAME.low, NAME.exp_avg, NAME.exp_avg_sq.
CheckpointInfo save_train_state(TrainState& state, const std::string& run_folder, const SavePolicy& policy);
// Verifies and reads a checkpoint into `state`; differences of threads, instruction set or library versions are logged.
void restore_train_state(TrainState& state, const std::string& checkpoint_folder);

}  // namespace dslite
