// RMSNorm forward with a residual and backward, 32,768 rows of 2,048: bytes read and written as a share of the read
// bandwidth.
#include "kernels/rms_norm/rms_norm.h"

#include <ATen/ops/add.h>
#include <ATen/ops/rms_norm.h>

#include "kernels/common/bench_aten.h"

namespace dslite::kernels {
namespace {

constexpr int64_t kRows = 32768, kWidth = 2048;

Matrix matrix(const bench::Buffer& buffer) { return {buffer.data(), DType::kBFloat16, kWidth}; }
ConstMatrix input(const bench::Buffer& buffer) { return {buffer.data(), DType::kBFloat16, kWidth}; }

void forward(benchmark::State& state) {
  const bench::Buffer x = bench::filled(DType::kBFloat16, kRows * kWidth),
                      residual = bench::filled(DType::kBFloat16, kRows * kWidth),
                      weight = bench::filled(DType::kBFloat16, kWidth), h(kRows * kWidth * 2), y(kRows * kWidth * 2),
                      rstd(kRows * 4);
  bench::measure(state, DType::kFloat32, 0, kRows * kWidth * 2.0 * 4, [&] {
    rms_norm_forward(bench::context(rstd, 0), {.num_rows = kRows,
                                               .width = kWidth,
                                               .eps = 1e-6f,
                                               .x = input(x),
                                               .residual = input(residual),
                                               .weight = weight.data(),
                                               .weight_dtype = DType::kBFloat16,
                                               .h = matrix(h),
                                               .y = matrix(y),
                                               .rstd = static_cast<float*>(rstd.data())});
  });
}

void backward(benchmark::State& state) {
  const bench::Buffer h = bench::filled(DType::kBFloat16, kRows * kWidth),
                      dy = bench::filled(DType::kBFloat16, kRows * kWidth),
                      weight = bench::filled(DType::kBFloat16, kWidth), rstd = bench::filled(DType::kFloat32, kRows),
                      dh(kRows * kWidth * 2), dw(kWidth * 4);
  const int64_t scratch_bytes = rms_norm_backward_scratch_bytes(kRows, kWidth, num_threads());
  const bench::Buffer scratch(scratch_bytes);
  bench::measure(state, DType::kFloat32, 0, kRows * kWidth * 2.0 * 3, [&] {
    rms_norm_backward(bench::context(scratch, scratch_bytes), {.num_rows = kRows,
                                                               .width = kWidth,
                                                               .h = input(h),
                                                               .rstd = static_cast<const float*>(rstd.data()),
                                                               .weight = weight.data(),
                                                               .weight_dtype = DType::kBFloat16,
                                                               .dy = input(dy),
                                                               .d_residual = {},
                                                               .dh = matrix(dh),
                                                               .dw = static_cast<float*>(dw.data()),
                                                               .accumulate_dw = false});
  });
}

void at_rms_norm(benchmark::State& state) {
  const bench::Buffer x = bench::filled(DType::kBFloat16, kRows * kWidth),
                      residual = bench::filled(DType::kBFloat16, kRows * kWidth),
                      weight = bench::filled(DType::kBFloat16, kWidth);
  bench::measure(state, DType::kFloat32, 0, kRows * kWidth * 2.0 * 4, [&] {
    const at::Tensor h = at::add(bench::tensor(x, {kRows, kWidth}), bench::tensor(residual, {kRows, kWidth}));
    at::rms_norm(h, {kWidth}, bench::tensor(weight, {kWidth}), 1e-6);
  });
}

BENCHMARK(at_rms_norm)->Name("at_rms_norm/forward")->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(forward)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(backward)->UseManualTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace dslite::kernels

DSLITE_BENCH_MAIN()
