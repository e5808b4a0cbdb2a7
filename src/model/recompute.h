// What backward makes again instead of keeping it from forward: the same bits, less memory, more time.
#pragma once
#include <string>

namespace dslite {

enum class Recompute {
  kNothing,
  kFeedForward,  // the activations inside of experts and MLPs: half of what a MoE layer keeps for a sixth more time
  kLayers,       // all but each layer's input and route: a third more time
};

inline Recompute recompute_named(const std::string& name) {
  return name == "layers" ? Recompute::kLayers : name == "feed_forward" ? Recompute::kFeedForward : Recompute::kNothing;
}

}  // namespace dslite
