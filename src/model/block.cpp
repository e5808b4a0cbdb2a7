#include "src/model/block.h"

#include <fmt/format.h>

namespace dslite {
namespace {

std::string prefix_of(int64_t layer, const char* part) { return fmt::format("model.layers.{}.{}", layer, part); }

}  // namespace

Block::Block(const ModelConfig& config, const ParameterSet& parameters, int64_t layer, const RopeTable& rope_table)
    : input_norm_{parameters.at(prefix_of(layer, "input_layernorm.weight")), static_cast<float>(config.rms_norm_eps)},
      attention_(config, parameters, prefix_of(layer, "self_attn."), rope_table),
      post_attention_norm_{parameters.at(prefix_of(layer, "post_attention_layernorm.weight")),
                           static_cast<float>(config.rms_norm_eps)},
      feed_forward_(make_feed_forward(config, parameters, layer, prefix_of(layer, "mlp."))),
      trained_(parameters.any_trained(prefix_of(layer, ""))),
      attention_trained_(parameters.any_trained(prefix_of(layer, "self_attn.")) || input_norm_.weight.trained() ||
                         post_attention_norm_.weight.trained()) {}

FeedForward::Output Block::forward(const at::Tensor& x_TD, const Sequence& sequence, const LatentCacheView* cache,
                                   const Route* replay, Saved* saved) const {
  const at::Tensor normed_TD = input_norm_.forward(x_TD, saved ? &saved->input_norm : nullptr);
  const at::Tensor attention_TD = attention_.forward(normed_TD, sequence, cache, saved ? &saved->attention : nullptr);
  const auto [h_TD, h_normed_TD] =
      post_attention_norm_.forward_sum(attention_TD, x_TD, saved ? &saved->post_attention_norm : nullptr);
  return feed_forward_->forward(h_normed_TD, h_TD, sequence, replay, saved ? &saved->feed_forward : nullptr);
}

at::Tensor Block::backward(const Saved& saved, const Sequence& sequence, const at::Tensor& d_out_TD,
                           float balance_scale, bool needs_dx) const {
  GradientSum d_h_normed_TD;
  feed_forward_->backward(saved.feed_forward, sequence, d_out_TD, balance_scale, d_h_normed_TD);
  if (!needs_dx && !attention_trained_) return {};
  const at::Tensor d_h_TD = post_attention_norm_.backward(saved.post_attention_norm, d_h_normed_TD.sum, d_out_TD);
  GradientSum d_normed_TD;
  attention_.backward(saved.attention, sequence, d_h_TD, d_normed_TD);
  return input_norm_.backward(saved.input_norm, d_normed_TD.sum, d_h_TD);
}

}  // namespace dslite
