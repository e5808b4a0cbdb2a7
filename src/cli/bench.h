// The benchmarks of `dslite bench`: each measures work on this machine's processors beside the machine's own peak.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "src/base/json.h"
#include "src/base/peak_meter.h"
#include "src/model/config.h"

namespace dslite {

// The peak of this process, measured before and after the work; the larger counts, as another program may have
// disturbed the other.
class MeasuredPeak {
 public:
  MeasuredPeak() { measure_again(); }
  void measure_again();
  const PeakRates& rates() const { return rates_; }

 private:
  PeakRates rates_{};
};

struct BenchOptions {
  int64_t steps = 3;      // timed training steps, after one that warms up
  int64_t tokens = 2048;  // of a training step: one micro-batch of one segment
  int64_t layers = 3;     // of the slice of V2-Lite
  bool bf16 = true;       // of a training step: bf16 weights and moments with split fp32 masters, or all fp32
};

struct BenchResult {
  std::string line;  // one line for people
  Json values;       // the same for programs; units in the names
};

BenchResult bench_gemm(const BenchOptions& options, MeasuredPeak& peak);
BenchResult bench_experts(const BenchOptions& options, MeasuredPeak& peak);
BenchResult bench_attention(const BenchOptions& options, MeasuredPeak& peak);
BenchResult bench_train(const BenchOptions& options, MeasuredPeak& peak);
BenchResult bench_decode(const BenchOptions& options, MeasuredPeak& peak);

// Operations a second of LibTorch's own product of two large matrices, at::mm: what there is to beat.
double at_mm_flops_per_second(bool bf16 = true);

// The first layers of DeepSeek-V2-Lite (arXiv:2405.04434, Appendix B) at full width, with 32,000 words.
ModelConfig v2_lite_slice(int64_t num_layers);

// Seconds of each call, after one that warms up: at least three, then until two seconds are over, at most ten.
std::vector<double> time_runs(const std::function<void()>& run);
double fastest(const std::vector<double>& seconds);
double median(std::vector<double> seconds);

}  // namespace dslite
