// Dispatch of latent decode and the sizes of its scratch.
#include "kernels/latent_decode/latent_decode.h"

#include "kernels/common/contract.h"
#include "kernels/common/dispatch.h"
#include "kernels/latent_decode/latent_decode_blocks.h"

namespace dslite::kernels {
namespace {

int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

}  // namespace

DSLITE_DECLARE_FOR_EACH_SET(void latent_decode(const Context&, const LatentDecode&);)

int64_t latent_decode_num_splits(const LatentDecode& arguments) {
  int64_t total = 0;
  for (int64_t b = 0; b < arguments.num_sequences; ++b)
    total += (arguments.pages.kv_lengths[b] + kLatentSplit - 1) / kLatentSplit;
  return total;
}

int64_t latent_decode_thread_floats(const LatentDecode& arguments) {
  const int64_t depth = arguments.kv_lora_rank + arguments.qk_rope_head_dim, heads = round_up(arguments.num_heads, 96);
  const int64_t latent = round_up(arguments.kv_lora_rank, 32), row = latent > depth ? latent : depth;
  return round_up(heads * (depth + latent + 2) + 96 * (row + 96) + depth, 16);
}

int64_t latent_decode_scratch_bytes(const LatentDecode& arguments, int num_threads) {
  const int64_t offsets = round_up((arguments.num_sequences + 1) * 8, 64);
  const int64_t partials =
      round_up(latent_decode_num_splits(arguments) * arguments.num_heads * (arguments.kv_lora_rank + 2) * 4, 64);
  return offsets + partials + num_threads * latent_decode_thread_floats(arguments) * 4;
}

void latent_decode(const Context& context, const LatentDecode& arguments) {
  const LatentDecode& x = arguments;
  const int64_t heads = x.num_sequences * x.num_heads;
  DSLITE_CONTRACT(x.num_sequences >= 0 && x.num_heads >= 0 && x.kv_lora_rank >= 0 && x.qk_rope_head_dim >= 0);
  DSLITE_CONTRACT(is_given(x.pages.kv_lengths, x.num_sequences));
  DSLITE_CONTRACT(is_given(x.pages.block_table, x.num_sequences) && is_given(x.pages.data, x.num_sequences));
  for (int64_t b = 0; b < x.num_sequences; ++b)
    DSLITE_CONTRACT(x.pages.kv_lengths[b] >= 1 && x.pages.kv_lengths[b] <= x.pages.max_pages * x.pages.page_tokens);
  DSLITE_CONTRACT(is_usable(context, latent_decode_scratch_bytes(x, context.num_threads)));
  DSLITE_CONTRACT(is_given(x.q_latent, heads * x.kv_lora_rank) && is_given(x.out, heads * x.kv_lora_rank));
  DSLITE_CONTRACT(is_given(x.q_rope, heads * x.qk_rope_head_dim));
  DSLITE_DISPATCH(context, latent_decode(context, arguments));
}

}  // namespace dslite::kernels
