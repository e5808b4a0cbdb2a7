#include "src/ops/latent_cache.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>

#include "src/base/error.h"
#include "src/ops/check.h"
#include "src/ops/context.h"
#include "src/ops/matrix.h"
#include "src/ops/rope.h"

namespace dslite::ops {
namespace {

// Bytes of token `token` of sequence `s`.
class PageRows {
 public:
  explicit PageRows(const LatentCacheView& cache)
      : data_(static_cast<std::byte*>(cache.pages.data_ptr())),
        page_tokens_(cache.pages.size(1)),
        row_bytes_(cache.pages.size(2) * cache.pages.element_size()),
        num_pages_(cache.pages.size(0)),
        max_pages_(cache.block_table.size(1)),
        table_(cache.block_table.const_data_ptr<int32_t>()) {}
  std::byte* row(int64_t s, int64_t token) const {
    const int64_t slot = token / page_tokens_;
    DSLITE_ASSERT(slot < max_pages_);
    const int64_t page = table_[s * max_pages_ + slot];
    DSLITE_ASSERT(page >= 0 && page < num_pages_);
    return data_ + (page * page_tokens_ + token % page_tokens_) * row_bytes_;
  }
  int64_t row_bytes() const { return row_bytes_; }
  int64_t page_tokens() const { return page_tokens_; }

 private:
  std::byte* data_;
  int64_t page_tokens_, row_bytes_, num_pages_, max_pages_;
  const int32_t* table_;
};

void check_view(const Sequence& sequence, const LatentCacheView& cache) {
  const int64_t sequences = sequence.num_segments();
  DSLITE_CHECK_TENSOR(cache.pages, cache.pages.scalar_type(), cache.pages.size(0), cache.pages.size(1),
                      cache.pages.size(2));
  DSLITE_CHECK_TENSOR(cache.block_table, at::kInt, sequences, cache.block_table.size(1));
  DSLITE_ASSERT(static_cast<int64_t>(cache.kv_lengths.size()) == sequences);
  for (int64_t s = 0; s < sequences; ++s) {
    DSLITE_ASSERT(sequence.kv_offsets[s + 1] - sequence.kv_offsets[s] == cache.kv_lengths[s]);
    DSLITE_ASSERT(sequence.q_offsets[s + 1] - sequence.q_offsets[s] <= cache.kv_lengths[s]);
  }
}

}  // namespace

void append_latents(const at::Tensor& latent_TL, const at::Tensor& k_rope_TR, const RopeTable& rope_table,
                    const Sequence& sequence, const LatentCacheView& cache) {
  check_view(sequence, cache);
  const at::ScalarType dtype = cache.pages.scalar_type();
  const int64_t rotated = cache.pages.size(2) - latent_TL.size(1);
  DSLITE_CHECK_TENSOR(latent_TL, dtype, sequence.num_tokens(), latent_TL.size(1));
  DSLITE_CHECK_ROWS(k_rope_TR, dtype, sequence.num_tokens(), rotated);
  DSLITE_CHECK_TENSOR(sequence.positions, at::kInt, sequence.num_tokens());
  const PageRows pages(cache);
  const kernels::RopeAngles angles = rope_angles(rope_table, sequence.positions, rotated);
  const kernels::Context context = kernel_context();
  const int64_t latent_bytes = latent_TL.size(1) * latent_TL.element_size();
  const auto* latent = static_cast<const std::byte*>(latent_TL.const_data_ptr());
  const auto* k_rope = static_cast<const std::byte*>(k_rope_TR.const_data_ptr());
  for (int64_t s = 0; s < sequence.num_segments(); ++s) {
    const int64_t end = sequence.q_offsets[s + 1];
    for (int64_t t = sequence.q_offsets[s], count; t < end; t += count) {  // the tokens of one page at a time
      const int64_t place = cache.kv_lengths[s] - (end - t);
      count = std::min(end - t, pages.page_tokens() - place % pages.page_tokens());
      std::byte* row = pages.row(s, place);
      for (int64_t i = 0; i < count; ++i)
        std::memcpy(row + i * pages.row_bytes(), latent + (t + i) * latent_bytes, latent_bytes);
      kernels::rope(context, {.num_tokens = count,
                              .num_heads = 1,
                              .rotated = rotated,
                              .angles = {angles.positions + t, angles.cos, angles.sin},
                              .in = k_rope + t * k_rope_TR.stride(0) * k_rope_TR.element_size(),
                              .out = row + latent_bytes,
                              .in_dtype = kernel_dtype(dtype),
                              .out_dtype = kernel_dtype(dtype),
                              .in_token_stride = k_rope_TR.stride(0),
                              .in_head_stride = 0,
                              .out_token_stride = cache.pages.size(2),
                              .out_head_stride = 0});
    }
  }
}

at::Tensor gather_latents(const Sequence& sequence, const LatentCacheView& cache) {
  check_view(sequence, cache);
  const PageRows pages(cache);
  at::Tensor rows_SC = at::empty({sequence.kv_offsets.back(), cache.pages.size(2)}, cache.pages.scalar_type());
  auto* out = static_cast<std::byte*>(rows_SC.data_ptr());
  for (int64_t s = 0; s < sequence.num_segments(); ++s) {
    for (int64_t j = 0; j < cache.kv_lengths[s]; ++j) {
      std::memcpy(out + (sequence.kv_offsets[s] + j) * pages.row_bytes(), pages.row(s, j), pages.row_bytes());
    }
  }
  return rows_SC;
}

}  // namespace dslite::ops
