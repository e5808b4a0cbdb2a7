// AdamW and the gradient statistics over 32M elements: bytes read and written as a share of the read bandwidth.
#include "kernels/adamw/adamw.h"

#include <cstring>

#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/ones.h>

#include "kernels/common/bench_aten.h"

namespace dslite::kernels {
namespace {

constexpr int64_t kSize = int64_t{32} << 20;

void step(benchmark::State& state, DType value_dtype, DType moment_dtype) {
  const bool split = value_dtype == DType::kBFloat16;
  const bench::Buffer value = bench::filled(value_dtype, kSize), low = bench::filled(DType::kBFloat16, kSize),
                      gradient = bench::filled(DType::kFloat32, kSize), exp_avg = bench::filled(moment_dtype, kSize),
                      exp_avg_sq(kSize * 4);
  std::memset(exp_avg_sq.data(), 0, kSize * 4);
  const double moment_bytes = moment_dtype == DType::kBFloat16 ? 2 : 4;
  const double bytes = kSize * (4 + 2 * 4 + 4 * moment_bytes);  // gradient; value (with low) and moments both ways
  bench::measure(state, DType::kFloat32, 0, bytes, [&] {
    adamw(bench::context(low, 0), {.size = kSize,
                                   .value = value.data(),
                                   .value_dtype = value_dtype,
                                   .low = split ? static_cast<int16_t*>(low.data()) : nullptr,
                                   .gradient = static_cast<const float*>(gradient.data()),
                                   .exp_avg = exp_avg.data(),
                                   .exp_avg_sq = exp_avg_sq.data(),
                                   .moment_dtype = moment_dtype,
                                   .learning_rate = 1e-4f,
                                   .beta1 = 0.9f,
                                   .beta2 = 0.95f,
                                   .eps = 1e-8f,
                                   .weight_decay = 0.1f,
                                   .bias_correction1 = 0.1f,
                                   .bias_correction2 = 0.05f,
                                   .gradient_scale = 0.5f});
  });
}

void at_fused_adamw(benchmark::State& state) {
  const bench::Buffer value = bench::filled(DType::kFloat32, kSize), gradient = bench::filled(DType::kFloat32, kSize),
                      exp_avg = bench::filled(DType::kFloat32, kSize), exp_avg_sq(kSize * 4);
  std::memset(exp_avg_sq.data(), 0, kSize * 4);
  const auto list = [](const bench::Buffer& buffer) {
    return std::vector<at::Tensor>{bench::tensor(buffer, {kSize}, at::kFloat)};
  };
  bench::measure(state, DType::kFloat32, 0, kSize * 28.0, [&] {
    at::_fused_adamw_(list(value), list(gradient), list(exp_avg), list(exp_avg_sq), {}, {at::ones({1})}, 1e-4, 0.9,
                      0.95, 0.1, 1e-8, false, false);
  });
}

void statistics(benchmark::State& state) {
  const bench::Buffer gradient = bench::filled(DType::kFloat32, kSize);
  const int64_t scratch_bytes = gradient_statistics_scratch_bytes(kSize);
  const bench::Buffer scratch(scratch_bytes);
  bench::measure(state, DType::kFloat32, 0, kSize * 4.0, [&] {
    gradient_statistics(bench::context(scratch, scratch_bytes), static_cast<const float*>(gradient.data()), kSize);
  });
}

#define DSLITE_BENCH(name, value, moment) \
  BENCHMARK_CAPTURE(step, name, value, moment)->UseManualTime()->Unit(benchmark::kMillisecond)
DSLITE_BENCH(split_bf16_moments, DType::kBFloat16, DType::kBFloat16);
DSLITE_BENCH(split_fp32_moments, DType::kBFloat16, DType::kFloat32);
DSLITE_BENCH(fp32, DType::kFloat32, DType::kFloat32);
BENCHMARK(at_fused_adamw)->Name("at_fused_adamw/fp32")->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(statistics)->UseManualTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace dslite::kernels

DSLITE_BENCH_MAIN()
