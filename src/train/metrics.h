// What a run records: one JSON line per logged step in metrics.jsonl, the same as TensorBoard scalars. Everything that
// depends on the machine's speed stands in the object `timing`, so that an interrupted and an undisturbed run differ
// there alone.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "src/base/json.h"
#include "src/train/loss_and_gradient.h"
#include "src/train/tensorboard.h"

namespace dslite {

// Load of the routed experts of one layer over the step's tokens.
struct ExpertLoad {
  double entropy = 0;  // of the load / ln E: 1 is uniform
  double max_over_mean = 0;
  int64_t unused = 0;
};
ExpertLoad expert_load(const std::vector<int64_t>& expert_tokens);

struct StepMetrics {
  int64_t step = 0;
  int64_t tokens = 0;  // inputs since the start of the run
  int64_t trained_tokens = 0;
  double loss = 0;                   // weighted mean over the step's labels
  double accuracy = 0;               // of the next token, over trained labels
  std::vector<double> balance_loss;  // [MoE layers], before alpha
  double gradient_norm = 0, learning_rate = 0;
  std::vector<ExpertLoad> load;  // [MoE layers]
  double seconds = 0;            // of the step
  int64_t step_tokens = 0;
  double share_of_peak = 0;  // necessary floating-point operations / measured fp32 peak
  int64_t resident_bytes = 0;
  double data_wait_seconds = 0;  // of the step's seconds
};
Json metrics_json(const StepMetrics& metrics);

struct ValidationMetrics {
  int64_t step = 0;
  double loss = 0, accuracy = 0;
};

// Appends to RUN/metrics.jsonl and RUN/tensorboard. One writer a run.
class MetricsLog {
 public:
  // Cuts metrics.jsonl back to `last_step`: lines of later steps, and a torn last line, go.
  MetricsLog(const std::string& run_folder, int64_t last_step, bool tensorboard,
             const std::vector<int64_t>& moe_layers);
  ~MetricsLog();
  void write(const StepMetrics& metrics);
  void write(const ValidationMetrics& metrics, double seconds);
  void write_sample(int64_t step, const std::string& prompt, const std::string& completion);
  void sync();  // before a checkpoint names this step

 private:
  void line(const Json& json);
  std::string path_;
  int descriptor_ = -1;
  std::vector<int64_t> moe_layers_;
  std::unique_ptr<TensorBoardWriter> tensorboard_;
};

}  // namespace dslite
