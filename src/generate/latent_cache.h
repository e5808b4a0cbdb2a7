// The latent cache of MLA (arXiv:2405.04434, sec. 2.1.2): per token and layer the normed latent and the rotated k_rope,
// in pages that sequences take and give back. All layers share one block table. A contiguous cache is the case of one
// page a sequence.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "src/model/config.h"
#include "src/ops/types.h"

namespace dslite {

class LatentCache {
 public:
  LatentCache(const ModelConfig& config, at::ScalarType dtype, int64_t page_tokens = 256);

  int64_t open();                                       // an empty sequence
  void close(int64_t sequence);                         // gives its pages back
  void truncate(int64_t sequence, int64_t num_tokens);  // forgets what follows; pages past it are given back
  int64_t num_tokens(int64_t sequence) const;

  struct Growth {
    int64_t sequence, num_tokens;
  };
  // Makes room for the tokens of one forward and counts them as kept; the views, one per layer, that this forward
  // fills. They hold until the next call.
  std::vector<LatentCacheView> grow(std::span<const Growth> growth);

  int64_t num_used_pages() const;
  int64_t num_allocated_pages() const { return num_pages_; }
  int64_t bytes() const;  // allocated, all layers

 private:
  struct Held {
    bool open = false;
    int64_t num_tokens = 0;
    std::vector<int32_t> pages;
  };
  void reserve_pages(int64_t more);
  Held& held(int64_t sequence);

  int64_t page_tokens_, row_width_, num_pages_ = 0;
  at::ScalarType dtype_;
  std::vector<at::Tensor> layers_;  // [pages, page_tokens, kv_lora_rank + qk_rope_head_dim] each
  std::vector<int32_t> free_pages_;
  std::vector<Held> sequences_;
};

}  // namespace dslite
