// One optimizer step: gradients of the global batch, norm, finite check, clip, AdamW.
#pragma once
#include "src/parallel/mesh.h"
#include "src/train/train_state.h"

namespace dslite {

struct StepResult {
  LossSum loss;
  BatchTotals totals;
  double gradient_norm = 0, learning_rate = 0;
  double flops = 0;  // necessary floating-point operations of this rank's rows
  double data_wait_seconds = 0;
};

struct StepOptions {
  double balance_alpha = 0, max_grad_norm = 0, learning_rate = 0;
};
// Each rank of the mesh's data axis trains on the rows that its loader gives; gradients and losses are summed over
// them. Error, with the weights unchanged, when the loss or a gradient is not finite: names the tensors, the step and
// the rows.
StepResult train_step(TrainState& state, const Mesh& mesh, const StepOptions& options);

}  // namespace dslite
