// A model with a latent cache: tokens of any number of sequences go through it in pieces. A piece of several tokens
// runs the training forward over expanded latents, a forward of one token a sequence the absorbed form
// (src/ops/mla_attention.h).
#pragma once
#include <span>
#include <vector>

#include "src/generate/latent_cache.h"
#include "src/model/deepseek_v2.h"

namespace dslite {

// The next tokens of a sequence that the cache opened; never empty.
struct Piece {
  int64_t sequence;
  std::span<const int32_t> tokens;
};

class CachedForward {
 public:
  explicit CachedForward(const DeepseekV2& model, int64_t page_tokens = 256)
      : model_(model), cache_(model.config(), model.dtype(), page_tokens) {}
  LatentCache& cache() { return cache_; }
  const DeepseekV2& model() const { return model_; }
  // Hidden states after the last norm, [T, D], pieces in order. UserError when a sequence would outgrow
  // max_position_embeddings.
  at::Tensor forward(std::span<const Piece> pieces);
  // Logits after the last token of each piece, [pieces, V] fp32.
  at::Tensor next_logits(std::span<const Piece> pieces);

 private:
  const DeepseekV2& model_;
  LatentCache cache_;
};

}  // namespace dslite
