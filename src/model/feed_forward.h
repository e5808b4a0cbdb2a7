// The second half of a block: a dense SwiGLU MLP, or DeepSeekMoE (arXiv:2405.04434, sec. 2.2): router, routed experts
// and, where the config has them, shared ones. T tokens, D hidden, E experts, K chosen.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "src/model/config.h"
#include "src/model/layers.h"
#include "src/model/moe_statistics.h"
#include "src/model/parameters.h"
#include "src/ops/experts.h"
#include "src/ops/router.h"
#include "src/ops/swiglu_mlp.h"

namespace dslite {

class FeedForward {
 public:
  struct Saved {
    ops::MlpSaved mlp;  // the dense MLP, or the shared experts
    at::Tensor x_TD;    // MoE only, as the two below
    ops::Routing routing;
    ops::ExpertsSaved experts;
    void forget_activations() { mlp.z_TI2.reset(), experts.z.reset(); }  // backward makes them again
  };
  struct Output {
    at::Tensor out_TD;  // with the residual
    std::optional<MoeStatistics> moe;
  };
  virtual ~FeedForward() = default;
  // `replay`: the route to follow; null: the router chooses.
  virtual Output forward(const at::Tensor& x_TD, const at::Tensor& residual_TD, const Sequence& sequence,
                         const Route* replay, Saved* saved) const = 0;
  // Adds the gradient of x to `dx` (the residual's is dy itself), and to the gradients of every trained weight.
  virtual void backward(const Saved& saved, const Sequence& sequence, const at::Tensor& dy_TD, float balance_scale,
                        GradientSum& dx_TD) const = 0;
};

// `layer`'s kind, as the config says. `prefix`: "model.layers.3.mlp.".
std::unique_ptr<FeedForward> make_feed_forward(const ModelConfig& config, const ParameterSet& parameters, int64_t layer,
                                               const std::string& prefix);

}  // namespace dslite
