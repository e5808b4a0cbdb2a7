// Times the peak loops; the best of a few short trials, so that another process's slice does not count.
#include "kernels/common/peak_meter.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

#include "kernels/common/dispatch.h"

namespace dslite::kernels {

DSLITE_DECLARE_FOR_EACH_SET(int64_t peak_flops_per_iteration();
                            float peak_multiply_adds(int64_t iterations, float factor, float addend);
                            float peak_read(const float* data, int64_t count);)

namespace {

constexpr int64_t kBytes = int64_t{192} << 20;
constexpr int64_t kBytesPerTask = int64_t{1} << 20;
constexpr int64_t kIterations = 1 << 20;  // per task: 3 ms on a current core

int64_t flops_per_iteration(const Context& context) { DSLITE_DISPATCH(context, peak_flops_per_iteration()); }
float multiply_adds(const Context& context, int64_t iterations, float factor, float addend) {
  DSLITE_DISPATCH(context, peak_multiply_adds(iterations, factor, addend));
}
float read(const Context& context, const float* data, int64_t count) {
  DSLITE_DISPATCH(context, peak_read(data, count));
}

struct Trial {
  const Context* context;
  std::atomic<float> sink{0};  // keeps the results alive
};

// Seconds of the fastest of `trials` runs of `num_tasks` tasks.
double best_seconds(const Context& context, int trials, int64_t num_tasks, TaskFunction body) {
  double best = 1e30;
  for (int i = 0; i < trials; ++i) {
    Trial trial{.context = &context};
    const auto start = std::chrono::steady_clock::now();
    context.parallel_for(num_tasks, body, &trial);
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

void multiply_add_task(void* state, int64_t, int) {
  Trial& trial = *static_cast<Trial*>(state);
  trial.sink = multiply_adds(*trial.context, kIterations, 0.999999f, 1e-6f);
}

void read_task(void* state, int64_t task, int) {
  Trial& trial = *static_cast<Trial*>(state);
  const float* data = static_cast<const float*>(trial.context->scratch) + task * (kBytesPerTask / 4);
  trial.sink = read(*trial.context, data, kBytesPerTask / 4);
}

}  // namespace

int64_t peak_meter_scratch_bytes() { return kBytes; }

PeakRates measure_peak_rates(const Context& context) {
  const double flops_per_task = static_cast<double>(kIterations * flops_per_iteration(context));
  std::memset(context.scratch, 0, kBytes);
  const int64_t tasks = 4 * context.num_threads;
  return {.flops_per_second =
              static_cast<double>(tasks) * flops_per_task / best_seconds(context, 10, tasks, multiply_add_task),
          .one_thread_flops_per_second = flops_per_task / best_seconds(context, 10, 1, multiply_add_task),
          .read_bytes_per_second =
              static_cast<double>(kBytes) / best_seconds(context, 5, kBytes / kBytesPerTask, read_task)};
}

}  // namespace dslite::kernels
