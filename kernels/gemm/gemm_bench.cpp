// gemm at the shapes of V2-Lite: training, few rows, decoding, weight gradients. bf16 operands unless the name says
// fp32.
#include "kernels/gemm/gemm.h"

#include <vector>

#include <ATen/ops/mm.h>

#include "kernels/common/bench_aten.h"
#include "kernels/gemm/packed.h"

namespace dslite::kernels {
namespace {

struct Shape {
  int64_t m, n, k;
  DType dtype;
  bool transpose_a, transpose_b;
};

void run_gemm(benchmark::State& state, Shape s) {
  const bench::Buffer a = bench::filled(s.dtype, s.m * s.k), b = bench::filled(s.dtype, s.n * s.k), c(s.m * s.n * 4);
  const int64_t scratch_bytes = gemm_scratch_bytes(s.m, s.n, s.k, num_threads());
  const bench::Buffer scratch(scratch_bytes);
  const Context context = bench::context(scratch, scratch_bytes);
  const GemmArguments arguments{.m = s.m,
                                .n = s.n,
                                .k = s.k,
                                .a = {a.data(), s.dtype, s.transpose_a ? s.m : s.k, nullptr, s.transpose_a},
                                .b = {b.data(), s.dtype, s.transpose_b ? s.k : s.n, nullptr, s.transpose_b},
                                .c = {c.data(), s.transpose_a ? DType::kFloat32 : s.dtype, s.n},
                                .accumulate = false};
  const double weight_bytes = static_cast<double>(s.n * s.k) * (s.dtype == DType::kBFloat16 ? 2 : 4);
  bench::measure(state, s.dtype, 2.0 * static_cast<double>(s.m * s.n * s.k), s.m <= 8 ? weight_bytes : 0,
                 [&] { gemm(context, arguments); });
}

// The same product by at::mm; its C has the operands' dtype.
void at_mm(benchmark::State& state, Shape s) {
  const auto dtype = s.dtype == DType::kFloat32 ? at::kFloat : at::kBFloat16;
  const bench::Buffer a = bench::filled(s.dtype, s.m * s.k), b = bench::filled(s.dtype, s.n * s.k);
  const at::Tensor a_tensor =
      s.transpose_a ? bench::tensor(a, {s.k, s.m}, dtype).t() : bench::tensor(a, {s.m, s.k}, dtype);
  const at::Tensor b_tensor =
      s.transpose_b ? bench::tensor(b, {s.n, s.k}, dtype).t() : bench::tensor(b, {s.k, s.n}, dtype);
  const double weight_bytes = static_cast<double>(s.n * s.k) * (s.dtype == DType::kBFloat16 ? 2 : 4);
  bench::measure(state, s.dtype, 2.0 * static_cast<double>(s.m * s.n * s.k), s.m <= 8 ? weight_bytes : 0,
                 [&] { at::mm(a_tensor, b_tensor); });
}

// y = x W^T from packed weights: `matrices` of them in turn, so that they come from memory (or stay in a cache, if
// one).
struct PackedShape {
  int64_t m, n, k, matrices;
};
void packed(benchmark::State& state, PackedShape s) {
  const bench::Buffer a = bench::filled(DType::kBFloat16, s.m * s.k), rows = bench::filled(DType::kBFloat16, s.n * s.k),
                      c(s.m * s.n * 2), weights(s.matrices * packed_bytes(s.n, s.k));
  const int64_t scratch_bytes = gemm_scratch_bytes(s.m, s.n, s.k, num_threads());
  const bench::Buffer scratch(scratch_bytes);
  const Context context = bench::context(scratch, scratch_bytes);
  std::vector<PanelSource> sources;
  for (int64_t i = 0; i < s.matrices; ++i) {
    void* out = static_cast<char*>(weights.data()) + i * packed_bytes(s.n, s.k);
    sources.push_back(pack_matrix(
        context, {.rows = s.n, .cols = s.k, .x = {rows.data(), DType::kBFloat16, s.k, nullptr, false}, .out = out}));
  }
  const double weight_bytes = static_cast<double>(s.matrices * packed_bytes(s.n, s.k));
  bench::measure(state, DType::kBFloat16, 2.0 * static_cast<double>(s.matrices * s.m * s.n * s.k),
                 s.m <= 8 ? weight_bytes : 0, [&] {
                   for (const PanelSource& source : sources) {
                     gemm(context, {.m = s.m,
                                    .n = s.n,
                                    .k = s.k,
                                    .a = {a.data(), DType::kBFloat16, s.k, nullptr, false},
                                    .b = source,
                                    .c = {c.data(), DType::kBFloat16, s.n},
                                    .accumulate = false});
                   }
                 });
}

#define DSLITE_BENCH_PACKED(name, ...) \
  BENCHMARK_CAPTURE(packed, name, PackedShape __VA_ARGS__)->UseManualTime()->Unit(benchmark::kMillisecond)
DSLITE_BENCH_PACKED(rows_48, {48, 2816, 2048, 24});  // 277 MB of weights
DSLITE_BENCH_PACKED(rows_128, {128, 2816, 2048, 24});
DSLITE_BENCH_PACKED(rows_1, {1, 10944, 2048, 6});
DSLITE_BENCH_PACKED(rows_8, {8, 10944, 2048, 6});
DSLITE_BENCH_PACKED(hot_240, {240, 1024, 512, 1});  // all in L2: how near the microkernel comes to the meter

#define DSLITE_BENCH(name, ...)                                                                         \
  BENCHMARK_CAPTURE(run_gemm, name, Shape __VA_ARGS__)->UseManualTime()->Unit(benchmark::kMillisecond); \
  BENCHMARK_CAPTURE(at_mm, name, Shape __VA_ARGS__)->UseManualTime()->Unit(benchmark::kMillisecond)
DSLITE_BENCH(forward_2048, {2048, 2816, 2048, DType::kBFloat16, false, true});
DSLITE_BENCH(forward_2048_fp32, {2048, 2816, 2048, DType::kFloat32, false, true});
DSLITE_BENCH(input_gradient_2048, {2048, 2048, 2816, DType::kBFloat16, false, false});
DSLITE_BENCH(weight_gradient_2048, {2816, 2048, 2048, DType::kBFloat16, true, false});
DSLITE_BENCH(forward_512, {512, 2816, 2048, DType::kBFloat16, false, true});
DSLITE_BENCH(forward_128, {128, 2816, 2048, DType::kBFloat16, false, true});
DSLITE_BENCH(forward_48, {48, 2816, 2048, DType::kBFloat16, false, true});
DSLITE_BENCH(input_gradient_48, {48, 2048, 2816, DType::kBFloat16, false, false});
DSLITE_BENCH(weight_gradient_48, {2816, 2048, 48, DType::kBFloat16, true, false});
DSLITE_BENCH(decode_8, {8, 10944, 2048, DType::kBFloat16, false, true});
DSLITE_BENCH(decode_1, {1, 10944, 2048, DType::kBFloat16, false, true});
DSLITE_BENCH(decode_1_fp32, {1, 10944, 2048, DType::kFloat32, false, true});
DSLITE_BENCH(hot_240,
             {240, 512, 512, DType::kBFloat16, false, true});  // all in L2: how near the microkernel comes to the meter
DSLITE_BENCH(hot_1, {1, 512, 512, DType::kBFloat16, false, true});

}  // namespace
}  // namespace dslite::kernels

DSLITE_BENCH_MAIN()
