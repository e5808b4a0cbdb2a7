// Combine of 6 slots a token with shared and residual, 8,192 tokens of 2,048: bytes read and written as a share of the
// read bandwidth.
#include "kernels/permute/permute.h"

#include <vector>

#include "kernels/common/bench.h"

namespace dslite::kernels {
namespace {

constexpr int64_t kTokens = 8192, kChosen = 6, kHidden = 2048;

void combine_slots(benchmark::State& state, bool weighted) {
  const bench::Buffer y = bench::filled(DType::kBFloat16, kTokens * kChosen * kHidden),
                      added = bench::filled(DType::kBFloat16, kTokens * kHidden), out(kTokens * kHidden * 4);
  const std::vector<float> weights(kTokens * kChosen, 0.25f);
  std::vector<int32_t> row_of_slot;
  for (int64_t slot = 0; slot < kTokens * kChosen; ++slot)
    row_of_slot.push_back(static_cast<int32_t>(slot * 7919 % (kTokens * kChosen)));
  const ConstMatrix token_rows{added.data(), DType::kBFloat16, kHidden};
  const double bytes = kTokens * kHidden * 2.0 * (kChosen + 3);
  bench::measure(state, DType::kFloat32, 0, bytes, [&] {
    combine(bench::context(out, 0), {.num_tokens = kTokens,
                                     .num_experts_per_tok = kChosen,
                                     .hidden = kHidden,
                                     .row_of_slot = row_of_slot.data(),
                                     .weights = weighted ? weights.data() : nullptr,
                                     .y = {y.data(), DType::kBFloat16, kHidden},
                                     .shared = token_rows,
                                     .residual = token_rows,
                                     .out = {out.data(), DType::kBFloat16, kHidden}});
  });
}

BENCHMARK_CAPTURE(combine_slots, forward, true)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(combine_slots, backward, false)->UseManualTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace dslite::kernels

DSLITE_BENCH_MAIN()
