// Shared by the X_bench.cpp programs: operands, a Context on all cores, and the fastest iteration as a share of the
// peak that the same process measured.
#pragma once
#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>

#include "kernels/common/context.h"
#include "kernels/common/cpu.h"
#include "kernels/common/peak_meter.h"
#include "src/base/parallel_for.h"

namespace dslite::bench {

class Buffer {
 public:
  // On huge pages where it fills some, as the program's own tensors are.
  explicit Buffer(int64_t bytes)
      : data_(std::aligned_alloc(kHugePage, (bytes + kHugePage - 1) / kHugePage * kHugePage), &std::free) {
    madvise(data_.get(), static_cast<size_t>(bytes), MADV_HUGEPAGE);
  }
  void* data() const { return data_.get(); }

 private:
  static constexpr int64_t kHugePage = int64_t{1} << 21;
  std::unique_ptr<void, decltype(&std::free)> data_;
};

// Small finite values; bf16 bit patterns around 1 with both signs, or fp32 ones.
inline Buffer filled(kernels::DType dtype, int64_t count) {
  Buffer buffer(count * (dtype == kernels::DType::kBFloat16 ? 2 : 4));
  uint64_t state = 1;
  for (int64_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const auto bits = static_cast<uint16_t>(0x3f00 | (state >> 48 & 0x80ff));
    if (dtype == kernels::DType::kBFloat16) {
      static_cast<uint16_t*>(buffer.data())[i] = bits;
    } else {
      static_cast<uint32_t*>(buffer.data())[i] = static_cast<uint32_t>(bits) << 16;
    }
  }
  return buffer;
}

inline kernels::Context context(const Buffer& scratch, int64_t scratch_bytes) {
  return {.parallel_for = &parallel_for,
          .num_threads = num_threads(),
          .instruction_set = kernels::chosen_instruction_set(),
          .scratch = scratch.data(),
          .scratch_bytes = scratch_bytes};
}

inline const kernels::PeakRates& peak() {
  static const kernels::PeakRates rates = [] {
    const Buffer scratch(kernels::peak_meter_scratch_bytes());
    const auto measured = kernels::measure_peak_rates(context(scratch, kernels::peak_meter_scratch_bytes()));
    std::printf(
        "%s, %d threads: multiply-adds %.1f GF/s fp32 (one thread %.1f), %.1f bf16, %.1f int8; %.1f GB/s read\n",
        kernels::instruction_set_name(kernels::chosen_instruction_set()), num_threads(),
        measured.flops_per_second * 1e-9, measured.one_thread_flops_per_second * 1e-9,
        measured.bf16_flops_per_second * 1e-9, measured.int8_operations_per_second * 1e-9,
        measured.read_bytes_per_second * 1e-9);
    return measured;
  }();
  return rates;
}

inline double process_cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Times `run` and reports GF/s and the share of the dtype's peak of the fastest iteration, with the share of the read
// bandwidth when `bytes` (read once at least) is given. share_by_cpu: the same from processor seconds and the
// one-thread peak; means something on a busy machine too.
template <class Run>
void measure(benchmark::State& state, kernels::DType dtype, double flops, double bytes, const Run& run) {
  double best = 1e30, best_cpu = 1e30;
  run();  // touches every page
  for (auto _ : state) {
    const double cpu_start = process_cpu_seconds();
    const auto start = std::chrono::steady_clock::now();
    run();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    state.SetIterationTime(seconds);
    best = std::min(best, seconds);
    best_cpu = std::min(best_cpu, process_cpu_seconds() - cpu_start);
  }
  state.counters["best_GF/s"] = flops / best * 1e-9;
  state.counters["share_of_peak"] = flops / best / peak().flops_of(dtype);
  const bool bf16 = dtype == kernels::DType::kBFloat16;
  state.counters["share_by_cpu"] =
      flops / best_cpu / (bf16 ? peak().one_thread_bf16_flops_per_second : peak().one_thread_flops_per_second);
  if (bytes > 0) state.counters["share_of_read"] = bytes / best / peak().read_bytes_per_second;
}

}  // namespace dslite::bench

#define DSLITE_BENCH_MAIN()              \
  int main(int argc, char** argv) {      \
    dslite::bench::peak();               \
    benchmark::Initialize(&argc, argv);  \
    benchmark::RunSpecifiedBenchmarks(); \
  }
