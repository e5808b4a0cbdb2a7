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
                            bool has_dot_products(); float peak_bf16_dot_products(int64_t iterations);
                            float peak_int8_dot_products(int64_t iterations);
                            float peak_read(const float* data, int64_t count);)

namespace {

constexpr int64_t kBytes = int64_t{192} << 20;
constexpr int64_t kBytesPerTask = int64_t{1} << 20;
constexpr int64_t kIterations = 1 << 19;  // per task: 2 ms on a current core

int64_t flops_per_iteration(const Context& context) { DSLITE_DISPATCH(context, peak_flops_per_iteration()); }
bool dot_products(const Context& context) { DSLITE_DISPATCH(context, has_dot_products()); }
float multiply_adds(const Context& context) {
  DSLITE_DISPATCH(context, peak_multiply_adds(kIterations, 0.999999f, 1e-6f));
}
float bf16_products(const Context& context) { DSLITE_DISPATCH(context, peak_bf16_dot_products(kIterations)); }
float int8_products(const Context& context) { DSLITE_DISPATCH(context, peak_int8_dot_products(kIterations)); }
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

template <float (*Loop)(const Context&)>
void loop_task(void* state, int64_t, int) {
  Trial& trial = *static_cast<Trial*>(state);
  trial.sink = Loop(*trial.context);
}

void read_task(void* state, int64_t task, int) {
  Trial& trial = *static_cast<Trial*>(state);
  const float* data = static_cast<const float*>(trial.context->scratch) + task * (kBytesPerTask / 4);
  trial.sink = read(*trial.context, data, kBytesPerTask / 4);
}

// Operations a second, on all threads and on one.
struct Rate {
  double all, one;
};
// Threads that have just started may share a core for a while: measured again until their sum tells that they do not.
template <float (*Loop)(const Context&)>
Rate rate_of(const Context& context, double operations_per_iteration) {
  const double operations = operations_per_iteration * kIterations;
  const int64_t tasks = 4 * context.num_threads;
  Rate rate{.all = 0, .one = operations / best_seconds(context, 10, 1, &loop_task<Loop>)};
  for (int attempt = 0; attempt < 5 && rate.all < 0.9 * context.num_threads * rate.one; ++attempt) {
    const double seconds = best_seconds(context, 10, tasks, &loop_task<Loop>);
    rate.all = std::max(rate.all, static_cast<double>(tasks) * operations / seconds);
  }
  return rate;
}

}  // namespace

int64_t peak_meter_scratch_bytes() { return kBytes; }

PeakRates measure_peak_rates(const Context& context) {
  std::memset(context.scratch, 0, kBytes);
  const auto flops = static_cast<double>(flops_per_iteration(context));
  const Rate fp32 = rate_of<&multiply_adds>(context, flops);
  const bool dots = dot_products(context);
  const Rate bf16 = dots ? rate_of<&bf16_products>(context, 2 * flops) : fp32;
  const Rate int8 = dots ? rate_of<&int8_products>(context, 4 * flops) : fp32;
  return {.flops_per_second = fp32.all,
          .one_thread_flops_per_second = fp32.one,
          .bf16_flops_per_second = bf16.all,
          .one_thread_bf16_flops_per_second = bf16.one,
          .int8_operations_per_second = int8.all,
          .read_bytes_per_second =
              static_cast<double>(kBytes) / best_seconds(context, 5, kBytes / kBytesPerTask, read_task)};
}

}  // namespace dslite::kernels
