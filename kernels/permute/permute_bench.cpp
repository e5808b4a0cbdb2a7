// Combine of 6 slots a token with shared and residual, 8,192 tokens of 2,048: bytes read and written as a share of the
// read bandwidth.
#include "kernels/permute/permute.h"

#include <vector>

#include <ATen/ops/index_select.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/sum.h>

#include "kernels/common/bench_aten.h"

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

void at_index_select(benchmark::State& state) {
  const bench::Buffer y = bench::filled(DType::kBFloat16, kTokens * kChosen * kHidden),
                      added = bench::filled(DType::kBFloat16, kTokens * kHidden),
                      weights = bench::filled(DType::kBFloat16, kTokens * kChosen);
  std::vector<int32_t> row_of_slot;
  for (int64_t slot = 0; slot < kTokens * kChosen; ++slot)
    row_of_slot.push_back(static_cast<int32_t>(slot * 7919 % (kTokens * kChosen)));
  const at::Tensor rows = at::from_blob(row_of_slot.data(), {kTokens * kChosen}, at::kInt),
                   y_rows = bench::tensor(y, {kTokens * kChosen, kHidden}),
                   token_rows = bench::tensor(added, {kTokens, kHidden}),
                   by_slot = bench::tensor(weights, {kTokens, kChosen, 1});
  bench::measure(state, DType::kFloat32, 0, kTokens * kHidden * 2.0 * (kChosen + 3), [&] {
    const at::Tensor slots = at::index_select(y_rows, 0, rows).view({kTokens, kChosen, kHidden});
    at::mul(slots, by_slot).sum(1).add_(token_rows).add_(token_rows);
  });
}
BENCHMARK(at_index_select)->Name("at_index_select/forward")->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(combine_slots, forward, true)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(combine_slots, backward, false)->UseManualTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace dslite::kernels

DSLITE_BENCH_MAIN()
