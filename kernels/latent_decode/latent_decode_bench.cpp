// Latent decode of V2-Lite: 16 heads over a cache of 512 + 64 a token, bf16. Flops: both products.
#include "kernels/latent_decode/latent_decode.h"

#include <numeric>
#include <vector>

#include "kernels/common/bench.h"

namespace dslite::kernels {
namespace {

void run_decode(benchmark::State& state, int64_t sequences, int64_t tokens) {
  const int64_t heads = 16, latent = 512, rope = 64, page_tokens = 256,
                max_pages = (tokens + page_tokens - 1) / page_tokens;
  const bench::Buffer pages = bench::filled(DType::kBFloat16, sequences * max_pages * page_tokens * (latent + rope));
  const bench::Buffer q_latent = bench::filled(DType::kFloat32, sequences * heads * latent),
                      q_rope = bench::filled(DType::kFloat32, sequences * heads * rope),
                      out(sequences * heads * latent * 4);
  std::vector<int32_t> block_table(sequences * max_pages);
  std::iota(block_table.begin(), block_table.end(), 0);
  const std::vector<int64_t> lengths(sequences, tokens);
  const LatentDecode arguments{.num_sequences = sequences,
                               .num_heads = heads,
                               .kv_lora_rank = latent,
                               .qk_rope_head_dim = rope,
                               .scale = 0.1147f,
                               .pages = {.data = pages.data(),
                                         .dtype = DType::kBFloat16,
                                         .page_tokens = page_tokens,
                                         .block_table = block_table.data(),
                                         .max_pages = max_pages,
                                         .kv_lengths = lengths.data()},
                               .q_latent = static_cast<const float*>(q_latent.data()),
                               .q_rope = static_cast<const float*>(q_rope.data()),
                               .out = static_cast<float*>(out.data())};
  const int64_t scratch_bytes = latent_decode_scratch_bytes(arguments, num_threads());
  const bench::Buffer scratch(scratch_bytes);
  const Context context = bench::context(scratch, scratch_bytes);
  const double flops = 2.0 * static_cast<double>(sequences * tokens * heads * (2 * latent + rope));
  bench::measure(state, DType::kFloat32, flops, static_cast<double>(sequences * tokens * (latent + rope)) * 2,
                 [&] { latent_decode(context, arguments); });
}

BENCHMARK_CAPTURE(run_decode, one_sequence_4096, 1, 4096)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(run_decode, sixteen_sequences_1024, 16, 1024)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(run_decode, one_sequence_128, 1, 128)->UseManualTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace dslite::kernels

DSLITE_BENCH_MAIN()
