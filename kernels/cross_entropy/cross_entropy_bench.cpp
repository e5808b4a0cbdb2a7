// The head of V2-Lite on one chunk of 512 tokens: cross-entropy of 512 x 102,400 logits (read once, written once with
// the gradient), and the whole of it with its three products (bf16).
#include "kernels/cross_entropy/cross_entropy.h"

#include <vector>

#include <ATen/ops/mm.h>

#include "kernels/common/bench_aten.h"
#include "kernels/gemm/gemm.h"

namespace dslite::kernels {
namespace {

constexpr int64_t kRows = 512, kVocabulary = 102400, kHidden = 2048;

void chunk(benchmark::State& state, bool gradient) {
  const bench::Buffer logits = bench::filled(DType::kFloat32, kRows * kVocabulary);
  const std::vector<int32_t> labels(kRows, 7);
  const std::vector<float> weight(kRows, 1);
  std::vector<float> loss(kRows);
  std::vector<int32_t> prediction(kRows);
  bench::measure(state, DType::kFloat32, 0, kRows * kVocabulary * (gradient ? 8.0 : 4.0), [&] {
    cross_entropy(bench::context(logits, 0), {.num_rows = kRows,
                                              .vocab_size = kVocabulary,
                                              .logits = static_cast<float*>(logits.data()),
                                              .labels = labels.data(),
                                              .loss_weight = weight.data(),
                                              .scale = 1.0f / kRows,
                                              .gradient = gradient,
                                              .loss = loss.data(),
                                              .prediction = prediction.data()});
  });
}

constexpr double kHeadFlops = 3 * 2.0 * kRows * kVocabulary * kHidden;

// Logits, their gradient in place, then dx and dW (fp32).
void head(benchmark::State& state) {
  const bench::Buffer x = bench::filled(DType::kBFloat16, kRows * kHidden),
                      w = bench::filled(DType::kBFloat16, kVocabulary * kHidden), logits(kRows * kVocabulary * 4),
                      dx(kRows * kHidden * 2), dw(kVocabulary * kHidden * 4);
  const std::vector<int32_t> labels(kRows, 7);
  const std::vector<float> weight(kRows, 1);
  std::vector<float> loss(kRows);
  const int64_t scratch_bytes = gemm_scratch_bytes(kVocabulary, kHidden, kRows, num_threads());
  const bench::Buffer scratch(scratch_bytes);
  const Context context = bench::context(scratch, scratch_bytes);
  const PanelSource x_rows{x.data(), DType::kBFloat16, kHidden, nullptr, false},
      w_rows{w.data(), DType::kBFloat16, kHidden, nullptr, false},
      d_logits{logits.data(), DType::kBFloat16, 2 * kVocabulary, nullptr, false};
  const auto transposed = [](PanelSource source) { return source.transposed = true, source; };
  bench::measure(state, DType::kBFloat16, kHeadFlops, 0, [&] {
    gemm(context, {kRows,
                   kVocabulary,
                   kHidden,
                   x_rows,
                   transposed(w_rows),
                   {logits.data(), DType::kFloat32, kVocabulary},
                   false});
    cross_entropy(context, {.num_rows = kRows,
                            .vocab_size = kVocabulary,
                            .logits = static_cast<float*>(logits.data()),
                            .labels = labels.data(),
                            .loss_weight = weight.data(),
                            .scale = 1.0f / kRows,
                            .gradient = true,
                            .gradient_dtype = DType::kBFloat16,
                            .loss = loss.data(),
                            .prediction = nullptr});
    gemm(context, {kRows, kHidden, kVocabulary, d_logits, w_rows, {dx.data(), DType::kBFloat16, kHidden}, false});
    gemm(context,
         {kVocabulary, kHidden, kRows, transposed(d_logits), x_rows, {dw.data(), DType::kFloat32, kHidden}, false});
  });
}

// The three products alone, all bf16.
void at_mm(benchmark::State& state) {
  const bench::Buffer x = bench::filled(DType::kBFloat16, kRows * kHidden),
                      w = bench::filled(DType::kBFloat16, kVocabulary * kHidden),
                      g = bench::filled(DType::kBFloat16, kRows * kVocabulary);
  const at::Tensor x_tensor = bench::tensor(x, {kRows, kHidden}), w_tensor = bench::tensor(w, {kVocabulary, kHidden}),
                   g_tensor = bench::tensor(g, {kRows, kVocabulary});
  bench::measure(state, DType::kBFloat16, kHeadFlops, 0, [&] {
    at::mm(x_tensor, w_tensor.t());
    at::mm(g_tensor, w_tensor);
    at::mm(g_tensor.t(), x_tensor);
  });
}

BENCHMARK(head)->Name("head/loss_and_gradient_with_products")->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(at_mm)->Name("at_mm/loss_and_gradient_with_products")->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(chunk, loss, false)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(chunk, loss_and_gradient, true)->UseManualTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace dslite::kernels

DSLITE_BENCH_MAIN()
