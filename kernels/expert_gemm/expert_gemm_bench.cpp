// The routed experts of V2-Lite (hidden 2048, intermediate 1408, bf16) at 192, 128 and 48 rows an expert: forward,
// input gradient, weight gradient. Only the products' flops are counted.
#include "kernels/expert_gemm/expert_gemm.h"

#include <vector>

#include <ATen/ops/index_select.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/silu.h>

#include "kernels/common/bench_aten.h"

namespace dslite::kernels {
namespace {

constexpr int64_t kHidden = 2048, kWidth = 1408, kExperts = 16;  // 16 of 64: 277 MB of weights, far beyond the caches

// rows = tokens * 6 / 64 per expert on average; drawn around it, as a router gives them
struct Problem {
  explicit Problem(int64_t mean_rows) : offsets{0}, tokens(mean_rows * kExperts / 6) {
    for (int64_t e = 0; e < kExperts; ++e)
      offsets.push_back(offsets.back() + mean_rows * (60 + e * 80 / (kExperts - 1)) / 100);
    rows = offsets.back();
    for (int64_t r = 0; r < rows; ++r) row_token.push_back(static_cast<int32_t>(r * 37 % tokens));
    const PanelSource wide{weights.data(), DType::kBFloat16, kHidden, nullptr, false},
        deep{weights.data(), DType::kBFloat16, kWidth, nullptr, false};
    for (int64_t e = 0; e < kExperts; ++e) {
      ExpertWeights expert{wide, wide, deep};
      char* base = static_cast<char*>(weights.data()) + e * 3 * kMatrix * 2;
      expert.gate.data = base, expert.up.data = base + kMatrix * 2, expert.down.data = base + 2 * kMatrix * 2;
      experts.push_back(expert);
    }
  }
  static constexpr int64_t kMatrix = kHidden * kWidth;
  ExpertShape shape() const { return {tokens, rows, kExperts, kHidden, kWidth, offsets.data(), row_token.data()}; }
  double flops() const { return 2.0 * 3 * static_cast<double>(rows * kMatrix); }
  std::vector<int64_t> offsets;
  int64_t tokens, rows;
  std::vector<int32_t> row_token;
  bench::Buffer weights = bench::filled(DType::kBFloat16, kExperts * 3 * kMatrix);
  std::vector<ExpertWeights> experts;
};

Matrix matrix(const bench::Buffer& buffer, int64_t columns) { return {buffer.data(), DType::kBFloat16, columns}; }
ConstMatrix input(const bench::Buffer& buffer, int64_t columns) { return {buffer.data(), DType::kBFloat16, columns}; }

void forward(benchmark::State& state) {
  const Problem p(state.range(0));
  const bench::Buffer x = bench::filled(DType::kBFloat16, p.tokens * kHidden), z(p.rows * 4 * kWidth),
                      a(p.rows * 2 * kWidth), y(p.rows * 2 * kHidden);
  const int64_t bytes = expert_forward_scratch_bytes(p.shape(), num_threads());
  const bench::Buffer scratch(bytes);
  bench::measure(state, DType::kBFloat16, p.flops(), 0, [&] {
    expert_forward(bench::context(scratch, bytes), {p.shape(), p.experts.data(), input(x, kHidden),
                                                    matrix(z, 2 * kWidth), matrix(a, kWidth), matrix(y, kHidden)});
  });
}

void input_gradient(benchmark::State& state) {
  const Problem p(state.range(0));
  const bench::Buffer d_out = bench::filled(DType::kBFloat16, p.tokens * kHidden),
                      z = bench::filled(DType::kBFloat16, p.rows * 2 * kWidth), dz(p.rows * 4 * kWidth),
                      scaled_a(p.rows * 2 * kWidth), dx(p.rows * 2 * kHidden);
  const std::vector<float> row_weights(p.rows, 0.5f);
  std::vector<float> ds(p.rows);
  const int64_t bytes = expert_input_gradient_scratch_bytes(p.shape(), num_threads());
  const bench::Buffer scratch(bytes);
  bench::measure(state, DType::kBFloat16, p.flops(), 0, [&] {
    expert_input_gradient(bench::context(scratch, bytes),
                          {p.shape(), p.experts.data(), row_weights.data(), input(d_out, kHidden), input(z, 2 * kWidth),
                           ds.data(), matrix(dz, 2 * kWidth), matrix(scaled_a, kWidth), matrix(dx, kHidden), false});
  });
}

void weight_gradient(benchmark::State& state) {
  const Problem p(state.range(0));
  const bench::Buffer x = bench::filled(DType::kBFloat16, p.tokens * kHidden),
                      dz = bench::filled(DType::kBFloat16, p.rows * 2 * kWidth),
                      scaled_a = bench::filled(DType::kBFloat16, p.rows * kWidth),
                      gradient(kExperts * 3 * Problem::kMatrix * 4);
  std::vector<ExpertGradients> gradients;
  for (int64_t e = 0; e < kExperts; ++e) {
    float* base = static_cast<float*>(gradient.data()) + e * 3 * Problem::kMatrix;
    gradients.push_back({base, base + Problem::kMatrix, base + 2 * Problem::kMatrix, state.range(1) != 0});
  }
  const int64_t bytes = expert_weight_gradient_scratch_bytes(p.shape(), num_threads());
  const bench::Buffer scratch(bytes);
  bench::measure(state, DType::kBFloat16, p.flops(), 0, [&] {
    expert_weight_gradient(bench::context(scratch, bytes),
                           {p.shape(), input(x, kHidden), input(x, kHidden), input(dz, 2 * kWidth),
                            input(scaled_a, kWidth), gradients.data()});
  });
}

// Gathered rows, one at::mm after another, SwiGLU.
void at_mm_forward(benchmark::State& state) {
  const Problem p(state.range(0));
  const bench::Buffer x = bench::filled(DType::kBFloat16, p.tokens * kHidden);
  const at::Tensor x_tensor = bench::tensor(x, {p.tokens, kHidden}),
                   weights = bench::tensor(p.weights, {kExperts * 3 * Problem::kMatrix}),
                   row_token = at::from_blob(const_cast<int32_t*>(p.row_token.data()), {p.rows}, at::kInt);
  const auto matrix_of = [&](int64_t number, int64_t rows, int64_t columns) {
    return weights.slice(0, number * Problem::kMatrix, (number + 1) * Problem::kMatrix).view({rows, columns}).t();
  };
  bench::measure(state, DType::kBFloat16, p.flops(), 0, [&] {
    const at::Tensor rows = at::index_select(x_tensor, 0, row_token);
    for (int64_t e = 0; e < kExperts; ++e) {
      const at::Tensor mine = rows.slice(0, p.offsets[e], p.offsets[e + 1]);
      const at::Tensor gate = at::mm(mine, matrix_of(3 * e, kWidth, kHidden)),
                       up = at::mm(mine, matrix_of(3 * e + 1, kWidth, kHidden));
      at::mm(at::mul(at::silu(gate), up), matrix_of(3 * e + 2, kHidden, kWidth));
    }
  });
}

BENCHMARK(at_mm_forward)
    ->Name("at_mm/forward")
    ->ArgName("rows")
    ->Arg(192)
    ->Arg(128)
    ->Arg(48)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(forward)->ArgName("rows")->Arg(192)->Arg(128)->Arg(48)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(input_gradient)->ArgName("rows")->Arg(192)->Arg(128)->Arg(48)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(weight_gradient)
    ->ArgNames({"rows", "accumulate"})
    ->Args({192, 0})
    ->Args({192, 1})
    ->Args({128, 0})
    ->Args({128, 1})
    ->Args({48, 0})
    ->Args({48, 1})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace dslite::kernels

DSLITE_BENCH_MAIN()
