#include "src/model/deepseek_v2.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "src/base/error.h"
#include "src/model/block.h"
#include "src/model/rope_table.h"
#include "src/ops/embedding.h"

namespace dslite {

// What one layer keeps for backward: `block`, or with Recompute::kLayers its input and its route.
struct LayerSaved {
  Block::Saved block;
  at::Tensor x_TD;
  Route route;
};

struct DeepseekV2::Saved {
  at::Tensor ids_T;
  Sequence sequence;
  std::vector<LayerSaved> layers;
  RmsNorm::Saved norm;
};

std::unique_ptr<DeepseekV2::Saved, void (*)(DeepseekV2::Saved*)> make_saved() {
  return {new DeepseekV2::Saved, [](DeepseekV2::Saved* saved) { delete saved; }};
}

struct DeepseekV2::State {
  ModelConfig config;
  ModelOptions options;
  ParameterSet parameters;
  RopeTable rope_table;
  Parameter& embedding;
  std::vector<Block> blocks;
  RmsNorm norm;
  Linear head;

  State(const ModelConfig& c, const ModelOptions& o)
      : config(c),
        options(o),
        parameters(c, o.dtype, o.trained),
        rope_table(make_rope_table(c)),
        embedding(parameters.at("model.embed_tokens.weight")),
        norm{parameters.at("model.norm.weight"), static_cast<float>(c.rms_norm_eps)},
        head(parameters.at(c.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight")) {
    for (int64_t layer = 0; layer < c.num_hidden_layers; ++layer)
      blocks.emplace_back(config, parameters, layer, rope_table);
  }

  void check(const Input& input) const {
    DSLITE_ASSERT(static_cast<int64_t>(input.tokens.size()) == input.sequence->num_tokens());
    for (const int32_t id : input.tokens) DSLITE_ASSERT(id >= 0 && id < config.vocab_size);
    const auto* positions = input.sequence->positions.const_data_ptr<int32_t>();
    for (size_t t = 0; t < input.tokens.size(); ++t) {
      DSLITE_ASSERT(positions[t] >= 0);
      if (positions[t] >= config.max_position_embeddings) {
        fail_input("a sequence of at least {} tokens: the model's max_position_embeddings is {}", positions[t] + 1,
                   config.max_position_embeddings);
      }
    }
  }
};

DeepseekV2::DeepseekV2(const ModelConfig& config, const ModelOptions& options)
    : state_(std::make_unique<State>(config, options)) {}
DeepseekV2::~DeepseekV2() = default;
const ModelConfig& DeepseekV2::config() const { return state_->config; }
at::ScalarType DeepseekV2::dtype() const { return state_->options.dtype; }
const std::vector<Parameter*>& DeepseekV2::parameters() { return state_->parameters.all(); }
Parameter& DeepseekV2::parameter(const std::string& name) { return state_->parameters.at(name); }

DeepseekV2::Output DeepseekV2::forward(const Input& input, Saved* saved) const {
  const State& state = *state_;
  state.check(input);
  const at::Tensor ids_T = at::empty({input.sequence->num_tokens()}, at::kInt);
  std::copy(input.tokens.begin(), input.tokens.end(), ids_T.data_ptr<int32_t>());
  if (saved)
    *saved = {.ids_T = ids_T,
              .sequence = *input.sequence,
              .layers = std::vector<LayerSaved>(state.blocks.size()),
              .norm = {}};

  Output output;
  at::Tensor x_TD = ops::embedding(ids_T, state.embedding);
  for (size_t layer = 0; layer < state.blocks.size(); ++layer) {
    const bool routed = state.config.is_moe_layer(static_cast<int64_t>(layer));
    const Route* replay = input.replay && routed ? &input.replay->at(output.moe.size()) : nullptr;
    const LatentCacheView* cache = input.caches ? &input.caches->at(layer) : nullptr;
    const bool keep = saved && state.options.recompute != Recompute::kLayers;
    FeedForward::Output out =
        state.blocks[layer].forward(x_TD, *input.sequence, cache, replay, keep ? &saved->layers[layer].block : nullptr);
    if (keep && state.options.recompute == Recompute::kFeedForward)
      saved->layers[layer].block.feed_forward.forget_activations();
    if (saved && !keep) {
      saved->layers[layer].x_TD = x_TD;
      if (out.moe) saved->layers[layer].route = out.moe->route;
    }
    if (out.moe) output.moe.push_back(std::move(*out.moe));
    x_TD = std::move(out.out_TD);
  }
  output.hidden = state.norm.forward(x_TD, saved ? &saved->norm : nullptr);
  return output;
}

void DeepseekV2::backward(const Saved& saved, const at::Tensor& d_hidden, float balance_scale) {
  const State& state = *state_;
  std::vector<bool> trained_below{
      state.embedding.trained()};  // [l]: anything below layer l; the last: below the final norm
  for (const Block& block : state.blocks) trained_below.push_back(trained_below.back() || block.trained());
  if (!trained_below.back() && !state.norm.weight.trained()) return;

  at::Tensor dx_TD = state.norm.backward(saved.norm, d_hidden);
  for (size_t layer = state.blocks.size(); layer-- > 0;) {
    if (!trained_below[layer + 1]) return;
    const LayerSaved& kept = saved.layers[layer];
    Block::Saved again;
    const bool recompute = state.options.recompute == Recompute::kLayers;
    if (recompute)
      state.blocks[layer].forward(kept.x_TD, saved.sequence, nullptr,
                                  kept.route.indices.defined() ? &kept.route : nullptr, &again);
    dx_TD = state.blocks[layer].backward(recompute ? again : kept.block, saved.sequence, dx_TD, balance_scale,
                                         trained_below[layer]);
  }
  if (trained_below[0]) ops::add_embedding_gradient(saved.ids_T, dx_TD, state.embedding);
}

at::Tensor DeepseekV2::logits(const at::Tensor& hidden) const {
  return ops::linear(hidden, state_->head.weight, at::kFloat);
}
Parameter& DeepseekV2::head() {
  return state_->parameters.at(state_->config.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight");
}
const WeightRef& DeepseekV2::head_weight() const { return state_->head.weight; }

void DeepseekV2::begin_gradients() {
  for (Parameter* parameter : state_->parameters.all()) parameter->grad_empty = true;
}

}  // namespace dslite
