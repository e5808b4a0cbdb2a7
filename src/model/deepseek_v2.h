// The DeepSeek-V2 model (arXiv:2405.04434): forward and backward by hand; no autograd.
// T tokens, D hidden, V vocabulary, E experts, K chosen.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "src/model/config.h"
#include "src/model/moe_statistics.h"
#include "src/model/recompute.h"
#include "src/ops/types.h"

namespace dslite {

struct ModelOptions {
  at::ScalarType dtype = at::kFloat;                     // of the weights and of the activations: kFloat or kBFloat16
  std::function<bool(const std::string& name)> trained;  // which tensors get a gradient; null: none
  Recompute recompute = Recompute::kNothing;
};

class DeepseekV2 {
 public:
  struct Saved;  // everything backward needs; opaque
  struct Output {
    at::Tensor hidden;               // [T, D] after the last norm
    std::vector<MoeStatistics> moe;  // ascending layers
  };
  struct Input {
    std::span<const int32_t> tokens;  // [T]
    const Sequence* sequence;
    std::vector<LatentCacheView>* caches = nullptr;  // one per layer; null in training
    const std::vector<Route>* replay = nullptr;      // one per MoE layer
  };

  DeepseekV2(const ModelConfig& config, const ModelOptions& options);  // memory for every tensor, uninitialised
  ~DeepseekV2();
  const ModelConfig& config() const;
  at::ScalarType dtype() const;
  // Ascending Hugging Face order (tensor_specs); stable addresses.
  const std::vector<Parameter*>& parameters();
  Parameter& parameter(const std::string& name);  // UserError when unknown

  Output forward(const Input& input, Saved* saved) const;
  // Adds to the gradients of every trained parameter but the head's. d_hidden [T, D]. balance_scale = alpha / tokens of
  // the global batch.
  void backward(const Saved& saved, const at::Tensor& d_hidden, float balance_scale);

  // [T, V] fp32 (for few rows: decoding, probe).
  at::Tensor logits(const at::Tensor& hidden) const;
  // The weight of the head: lm_head, or the embedding when tied.
  Parameter& head();
  const WeightRef& head_weight() const;

  // Marks every gradient as empty; writes nothing.
  void begin_gradients();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::unique_ptr<DeepseekV2::Saved, void (*)(DeepseekV2::Saved*)> make_saved();

// N(0, initializer_range) for every matrix, ones for norms; a pure function of (seed, tensor name).
void initialize_weights(DeepseekV2& model, uint64_t seed);

}  // namespace dslite
