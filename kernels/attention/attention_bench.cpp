// Attention of V2-Lite's heads (16 of 128 + 64, values of 128) over one segment, or over the short documents of a
// packed row. Flops count what is below the diagonal: two products forward, five backward.
#include "kernels/attention/attention.h"

#include <ATen/ops/pad.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <vector>

#include "kernels/common/bench_aten.h"

namespace dslite::kernels {
namespace {

struct Case {
  int64_t tokens;
  DType dtype;
  int64_t documents = 1;  // of nearly equal length
};

std::vector<int64_t> offsets_of(Case c) {
  std::vector<int64_t> offsets;
  for (int64_t d = 0; d <= c.documents; ++d) offsets.push_back(c.tokens * d / c.documents);
  return offsets;
}

std::vector<int32_t> positions_of(Case c) {
  std::vector<int32_t> positions;
  const std::vector<int64_t> offsets = offsets_of(c);
  for (int64_t d = 0; d < c.documents; ++d)
    for (int64_t t = offsets[d]; t < offsets[d + 1]; ++t) positions.push_back(static_cast<int32_t>(t - offsets[d]));
  return positions;
}

double pairs_of(Case c) {  // of a query and a key that it sees
  double pairs = 0;
  const std::vector<int64_t> offsets = offsets_of(c);
  for (int64_t d = 0; d < c.documents; ++d) {
    const auto length = static_cast<double>(offsets[d + 1] - offsets[d]);
    pairs += length * (length + 1) / 2;
  }
  return pairs;
}

void run_attention(benchmark::State& state, Case c, bool backward) {
  const int64_t heads = 16, nope = 128, rope = 64, value = 128, qk = nope + rope, tokens = c.tokens;
  const std::vector<int64_t> offsets = offsets_of(c);
  const AttentionShape shape{.num_heads = heads,
                             .qk_nope_head_dim = nope,
                             .qk_rope_head_dim = rope,
                             .v_head_dim = value,
                             .num_queries = tokens,
                             .num_keys = tokens,
                             .num_segments = c.documents,
                             .q_offsets = offsets.data(),
                             .kv_offsets = offsets.data(),
                             .scale = 0.1147f};
  const bench::Buffer q = bench::filled(c.dtype, tokens * heads * qk),
                      kv = bench::filled(c.dtype, tokens * heads * (nope + value)),
                      k_rope = bench::filled(c.dtype, tokens * rope),
                      d_out = bench::filled(c.dtype, tokens * heads * value);
  const bench::Buffer out(tokens * heads * value * 4), lse(tokens * heads * 4), d_q(tokens * heads * qk * 4),
      d_kv(tokens * heads * (nope + value) * 4), d_k_rope(tokens * rope * 4);
  const int64_t scratch_bytes = std::max(attention_forward_scratch_bytes(shape, num_threads()),
                                         attention_backward_scratch_bytes(shape, num_threads()));
  const bench::Buffer scratch(scratch_bytes);
  const Context context = bench::context(scratch, scratch_bytes);
  const std::vector<int32_t> positions = positions_of(c);
  const std::vector<float> angles(c.tokens * rope / 2, 0.7f);
  const AttentionInputs inputs{.dtype = c.dtype,
                               .q = q.data(),
                               .kv = kv.data(),
                               .k_rope = k_rope.data(),
                               .rope = {positions.data(), angles.data(), angles.data()}};
  attention_forward(context, shape, inputs, out.data(), static_cast<float*>(lse.data()));
  const double pairs = pairs_of(c) * heads;
  if (!backward)
    return bench::measure(state, c.dtype, 2 * pairs * (qk + value), 0, [&] {
      attention_forward(context, shape, inputs, out.data(), static_cast<float*>(lse.data()));
    });
  bench::measure(state, c.dtype, 2 * pairs * (3 * qk + 2 * value), 0, [&] {
    attention_backward(context, shape, inputs,
                       {.out = out.data(),
                        .lse = static_cast<const float*>(lse.data()),
                        .d_out = d_out.data(),
                        .key_positions = positions.data(),
                        .d_q = d_q.data(),
                        .d_kv = d_kv.data(),
                        .d_k_rope = d_k_rope.data(),
                        .d_k_rope_row_stride = rope});
  });
}

// scaled_dot_product_attention takes its fast way only with values as wide as keys: they are padded.
void at_sdpa(benchmark::State& state, Case c) {
  const int64_t heads = 16, qk = 192, value = 128, tokens = c.tokens;
  const auto dtype = c.dtype == DType::kFloat32 ? at::kFloat : at::kBFloat16;
  const bench::Buffer q = bench::filled(c.dtype, tokens * heads * qk), k = bench::filled(c.dtype, tokens * heads * qk),
                      v = bench::filled(c.dtype, tokens * heads * value);
  const auto by_head = [&](const bench::Buffer& buffer, int64_t width) {
    return bench::tensor(buffer, {1, tokens, heads, width}, dtype).transpose(1, 2);
  };
  const double pairs = static_cast<double>(tokens * (tokens + 1)) / 2 * heads;
  bench::measure(state, c.dtype, 2 * pairs * (qk + value), 0, [&] {
    at::scaled_dot_product_attention(by_head(q, qk), by_head(k, qk), at::pad(by_head(v, value), {0, qk - value}), {},
                                     0.0, true, 0.1147);
  });
}
BENCHMARK_CAPTURE(at_sdpa, forward_2048, Case{2048, DType::kBFloat16})->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(at_sdpa, forward_512, Case{512, DType::kBFloat16})->UseManualTime()->Unit(benchmark::kMillisecond);

#define DSLITE_BENCH(name, ...) \
  BENCHMARK_CAPTURE(run_attention, name, __VA_ARGS__)->UseManualTime()->Unit(benchmark::kMillisecond)
DSLITE_BENCH(forward_2048, Case{2048, DType::kBFloat16}, false);
DSLITE_BENCH(forward_2048_fp32, Case{2048, DType::kFloat32}, false);
DSLITE_BENCH(forward_512, Case{512, DType::kBFloat16}, false);
DSLITE_BENCH(forward_128, Case{128, DType::kBFloat16}, false);
DSLITE_BENCH(forward_15_documents, Case{2048, DType::kBFloat16, 15}, false);
DSLITE_BENCH(backward_2048, Case{2048, DType::kBFloat16}, true);
DSLITE_BENCH(backward_2048_fp32, Case{2048, DType::kFloat32}, true);
DSLITE_BENCH(backward_512, Case{512, DType::kBFloat16}, true);
DSLITE_BENCH(backward_128, Case{128, DType::kBFloat16}, true);
DSLITE_BENCH(backward_15_documents, Case{2048, DType::kBFloat16, 15}, true);

}  // namespace
}  // namespace dslite::kernels

DSLITE_BENCH_MAIN()
