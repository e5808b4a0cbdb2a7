// Cross-entropy of one chunk at the vocabulary of V2-Lite: 512 x 102,400 logits; read once, written once with the
// gradient.
#include "kernels/cross_entropy/cross_entropy.h"

#include <vector>

#include "kernels/common/bench.h"

namespace dslite::kernels {
namespace {

void chunk(benchmark::State& state, bool gradient) {
  constexpr int64_t kRows = 512, kVocabulary = 102400;
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

BENCHMARK_CAPTURE(chunk, loss, false)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(chunk, loss_and_gradient, true)->UseManualTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace dslite::kernels

DSLITE_BENCH_MAIN()
