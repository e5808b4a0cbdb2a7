// One transformer layer: h = x + attention(norm(x)), out = h + feed_forward(norm(h)). T tokens, D hidden.
#pragma once
#include "src/model/feed_forward.h"
#include "src/model/mla_attention.h"

namespace dslite {

class Block {
 public:
  struct Saved {
    RmsNorm::Saved input_norm;
    MlaAttention::Saved attention;
    RmsNorm::Saved post_attention_norm;
    FeedForward::Saved feed_forward;
  };
  Block(const ModelConfig& config, const ParameterSet& parameters, int64_t layer, const RopeTable& rope_table);
  FeedForward::Output forward(const at::Tensor& x_TD, const Sequence& sequence, const LatentCacheView* cache,
                              const Route* replay, Saved* saved) const;
  // Adds to the gradients of every trained weight. Returns dx [T, D], or nothing when neither the attention half nor,
  // by `needs_dx`, anything below is trained.
  at::Tensor backward(const Saved& saved, const Sequence& sequence, const at::Tensor& d_out_TD, float balance_scale,
                      bool needs_dx) const;
  bool trained() const { return trained_; }

 private:
  RmsNorm input_norm_;
  MlaAttention attention_;
  RmsNorm post_attention_norm_;
  std::unique_ptr<FeedForward> feed_forward_;
  bool trained_, attention_trained_;  // anything at all; attention or either norm
};

}  // namespace dslite
