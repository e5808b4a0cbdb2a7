// Bytes of weights, gradients, optimizer state and activations.
#include "src/train/plan.h"

#include <algorithm>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/progress.h"

namespace dslite {
namespace {

// Values kept per token between forward and backward of one layer, in elements of the compute dtype.
int64_t attention_values(const ModelConfig& c) {
  return 2 * c.hidden_size                                           // input of the first norm, its output
         + c.num_attention_heads * (c.qk_head_dim() + c.v_head_dim)  // q, attention output
         + c.q_lora_rank.value_or(0) * 2                             // q latent before and after its norm
         + 2 * c.kv_lora_rank + 2 * c.qk_rope_head_dim;              // latent before and after its norm, k_rope
}
int64_t feed_forward_values(const ModelConfig& c, int64_t layer) {  // z; a is made again
  if (!c.is_moe_layer(layer)) return 2 * c.intermediate_size;
  return 2 * (c.n_shared_experts + c.num_experts_per_tok) * c.moe_intermediate_size;
}
int64_t other_values(const ModelConfig& c, int64_t layer) {
  const int64_t norm = 2 * c.hidden_size;                                        // input of the second norm, its output
  return norm + (c.is_moe_layer(layer) ? 2 * *c.n_routed_experts : int64_t{0});  // fp32 probabilities
}

struct KeptValues {
  int64_t kept = 0, made_again = 0;  // of all layers; of the layer that makes most again
};
KeptValues kept_values(const ModelConfig& c, Recompute recompute) {
  KeptValues values;
  for (int64_t layer = 0; layer < c.num_hidden_layers; ++layer) {
    const int64_t inside = feed_forward_values(c, layer), rest = attention_values(c) + other_values(c, layer);
    const bool layers = recompute == Recompute::kLayers, part = recompute == Recompute::kFeedForward;
    values.kept += layers ? c.hidden_size : part ? rest : rest + inside;
    values.made_again = std::max(values.made_again, layers ? rest + inside : part ? inside : 0);
  }
  return values;
}

// The largest work space of one layer's backward: dz, a and the rows of dx.
int64_t layer_work(const ModelConfig& c) {
  const int64_t rows = c.n_routed_experts ? c.num_experts_per_tok : 1;
  const int64_t intermediate = c.n_routed_experts ? c.moe_intermediate_size : c.intermediate_size;
  return std::max(rows * (3 * intermediate + c.hidden_size), 3 * c.intermediate_size);
}

}  // namespace

MemoryPlan plan_memory(const ModelConfig& config, const PlanInput& input) {
  const int64_t element = input.bf16 ? 2 : 4;
  const ParameterCounts counts = count_parameters(config);
  MemoryPlan plan;
  plan.program_bytes = input.program_bytes;
  plan.weights_bytes = counts.total * element;
  plan.gradients_bytes = input.trained_parameters * 4;
  plan.optimizer_bytes = input.trained_parameters * ((input.bf16 ? 2 : 0) + (input.bf16_moments ? 4 : 8));
  const KeptValues values = kept_values(config, input.recompute);
  const int64_t per_token = (values.kept + values.made_again + layer_work(config) + 4 * config.hidden_size) * element;
  const int64_t head_chunk = std::min<int64_t>(512, input.micro_batch_tokens) * config.vocab_size * 4;  // fp32 logits
  plan.activations_bytes = per_token * input.micro_batch_tokens + head_chunk;
  return plan;
}

std::string plan_text(const MemoryPlan& plan) {
  return fmt::format(
      "memory: {} (weights {}, gradients {}, optimizer {}, activations {}, program {})",
      bytes_text(static_cast<double>(plan.total_bytes())), bytes_text(static_cast<double>(plan.weights_bytes)),
      bytes_text(static_cast<double>(plan.gradients_bytes)), bytes_text(static_cast<double>(plan.optimizer_bytes)),
      bytes_text(static_cast<double>(plan.activations_bytes)), bytes_text(static_cast<double>(plan.program_bytes)));
}

void require_memory(const MemoryPlan& plan, int64_t available_bytes) {
  const int64_t missing = plan.total_bytes() - plan.program_bytes - available_bytes;
  if (available_bytes == 0 || missing <= 0) return;
  fail_input(
      "this run does not fit into the machine: it needs {} more than the {} that are available ({}); fewer "
      "batch.tokens_per_micro_batch, memory.recompute = \"layers\" or optimizer.moments = \"bfloat16\" need less",
      bytes_text(static_cast<double>(missing)), bytes_text(static_cast<double>(available_bytes)), plan_text(plan));
}

}  // namespace dslite
