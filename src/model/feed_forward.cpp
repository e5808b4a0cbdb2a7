#include "src/model/feed_forward.h"

#include <ATen/ops/add.h>
#include <fmt/format.h>

namespace dslite {
namespace {

ops::MlpWeights mlp_weights(const ParameterSet& parameters, const std::string& prefix) {
  return {.gate = ops::weight_ref(parameters.at(prefix + "gate_proj.weight")),
          .up = ops::weight_ref(parameters.at(prefix + "up_proj.weight")),
          .down = ops::weight_ref(parameters.at(prefix + "down_proj.weight"))};
}

class DenseMlp final : public FeedForward {
 public:
  DenseMlp(const ParameterSet& parameters, const std::string& prefix) : weights_(mlp_weights(parameters, prefix)) {}

  Output forward(const at::Tensor& x_TD, const at::Tensor& residual_TD, const Sequence&, const Route*,
                 Saved* saved) const override {
    return {.out_TD = residual_TD + ops::swiglu_mlp(x_TD, weights_, saved ? &saved->mlp : nullptr),
            .moe = std::nullopt};
  }

  void backward(const Saved& saved, const Sequence&, const at::Tensor& dy_TD, float,
                GradientSum& dx_TD) const override {
    ops::add_swiglu_mlp_gradient(saved.mlp, weights_, dy_TD, dx_TD);
  }

 private:
  ops::MlpWeights weights_;
};

kernels::RouterConfig router_config(const ModelConfig& config) {
  return {.num_experts = *config.n_routed_experts,
          .num_experts_per_tok = config.num_experts_per_tok,
          .num_groups = config.group_limited ? config.n_group : 1,
          .topk_group = config.group_limited ? config.topk_group : 1,
          .norm_topk_prob = config.norm_topk_prob,
          .routed_scaling_factor = static_cast<float>(config.routed_scaling_factor)};
}

class Moe final : public FeedForward {
 public:
  Moe(const ModelConfig& config, const ParameterSet& parameters, int64_t layer, const std::string& prefix)
      : layer_(layer), router_config_(router_config(config)), router_(parameters.at(prefix + "gate.weight")) {
    for (int64_t e = 0; e < *config.n_routed_experts; ++e)
      experts_.push_back(mlp_weights(parameters, fmt::format("{}experts.{}.", prefix, e)));
    if (config.n_shared_experts > 0) shared_ = mlp_weights(parameters, prefix + "shared_experts.");
  }

  Output forward(const at::Tensor& x_TD, const at::Tensor& residual_TD, const Sequence& sequence, const Route* replay,
                 Saved* saved) const override {
    const at::Tensor logits_TE = ops::linear(x_TD, router_.weight, at::kFloat);
    ops::Routing routing = ops::route_tokens(router_config_, logits_TE, sequence, replay);
    at::Tensor shared_TD;
    if (shared_) shared_TD = ops::swiglu_mlp(x_TD, *shared_, saved ? &saved->mlp : nullptr);
    Output output{.out_TD = ops::experts({.x_TD = x_TD,
                                          .indices_TK = routing.route.indices,
                                          .weights_TK = routing.weights_TK,
                                          .shared_TD = shared_TD,
                                          .residual_TD = residual_TD},
                                         experts_, saved ? &saved->experts : nullptr),
                  .moe = statistics(routing)};
    if (saved) {
      saved->x_TD = x_TD;
      saved->routing = std::move(routing);
    }
    return output;
  }

  void backward(const Saved& saved, const Sequence& sequence, const at::Tensor& dy_TD, float balance_scale,
                GradientSum& dx_TD) const override {
    const at::Tensor d_weights_TK = ops::experts_backward(saved.experts, experts_, dy_TD, dx_TD);
    const at::Tensor d_logits_TE =
        ops::route_tokens_backward(router_config_, saved.routing, d_weights_TK, sequence, balance_scale);
    router_.backward(saved.x_TD, d_logits_TE, dx_TD);
    if (shared_) ops::add_swiglu_mlp_gradient(saved.mlp, *shared_, dy_TD, dx_TD);
  }

 private:
  MoeStatistics statistics(const ops::Routing& routing) const {
    MoeStatistics moe{.layer = layer_,
                      .balance_loss_sum = routing.balance_loss_sum,
                      .expert_tokens = std::vector<int64_t>(router_config_.num_experts),
                      .route = routing.route,
                      .weights = routing.weights_TK};
    const auto* counts = routing.counts_SE.const_data_ptr<int32_t>();
    for (int64_t i = 0; i < routing.counts_SE.numel(); ++i)
      moe.expert_tokens[i % router_config_.num_experts] += counts[i];
    return moe;
  }

  int64_t layer_;
  kernels::RouterConfig router_config_;
  Linear router_;
  std::vector<ops::MlpWeights> experts_;
  std::optional<ops::MlpWeights> shared_;
};

}  // namespace

std::unique_ptr<FeedForward> make_feed_forward(const ModelConfig& config, const ParameterSet& parameters, int64_t layer,
                                               const std::string& prefix) {
  if (config.is_moe_layer(layer)) return std::make_unique<Moe>(config, parameters, layer, prefix);
  return std::make_unique<DenseMlp>(parameters, prefix);
}

}  // namespace dslite
