#include "src/generate/cached_forward.h"

#include <ATen/ops/empty.h>

#include "src/base/error.h"

namespace dslite {

at::Tensor CachedForward::forward(std::span<const Piece> pieces) {
  std::vector<int32_t> tokens, positions;
  std::vector<LatentCache::Growth> growth;
  Sequence sequence{.positions = {}, .q_offsets = {0}, .kv_offsets = {0}};
  for (const Piece& piece : pieces) {
    DSLITE_ASSERT(!piece.tokens.empty());
    const int64_t before = cache_.num_tokens(piece.sequence), count = static_cast<int64_t>(piece.tokens.size());
    if (before + count > model_.config().max_position_embeddings) {
      fail_input("{} tokens are more than the model's max_position_embeddings = {}", before + count,
                 model_.config().max_position_embeddings);
    }
    for (int64_t i = 0; i < count; ++i) {
      const int32_t token = piece.tokens[i];
      if (token < 0 || token >= model_.config().vocab_size)
        fail_input("token id {} is outside the model's vocabulary of {}", token, model_.config().vocab_size);
      tokens.push_back(token);
      positions.push_back(static_cast<int32_t>(before + i));
    }
    growth.push_back({.sequence = piece.sequence, .num_tokens = count});
    sequence.q_offsets.push_back(sequence.q_offsets.back() + count);
    sequence.kv_offsets.push_back(sequence.kv_offsets.back() + before + count);
  }
  sequence.positions = at::empty({static_cast<int64_t>(positions.size())}, at::kInt);
  std::copy(positions.begin(), positions.end(), sequence.positions.data_ptr<int32_t>());
  std::vector<LatentCacheView> views = cache_.grow(growth);
  return model_.forward({.tokens = tokens, .sequence = &sequence, .caches = &views}, nullptr).hidden;
}

at::Tensor CachedForward::next_logits(std::span<const Piece> pieces) {
  const at::Tensor hidden = forward(pieces);
  at::Tensor last = at::empty({static_cast<int64_t>(pieces.size()), hidden.size(1)}, hidden.scalar_type());
  int64_t end = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    end += static_cast<int64_t>(pieces[i].tokens.size());
    last.select(0, static_cast<int64_t>(i)).copy_(hidden.select(0, end - 1));
  }
  return model_.logits(last);
}

}  // namespace dslite
