// A token passes through `active` parameters (count_parameters), all in matrices but the norms; query i of a segment
// sees i + 1 keys, each costing N + R multiply-adds for the score and V for the sum in every head (DeepSeek-V2,
// arXiv:2405.04434, sec. 2.1).
#include "src/model/flops.h"

#include "src/base/error.h"

namespace dslite {

Flops forward_flops(const ModelConfig& config, std::span<const int64_t> offsets) {
  DSLITE_ASSERT(!offsets.empty());
  const ParameterCounts counts = count_parameters(config);
  double visible_keys = 0;  // pairs of a query and a key
  for (size_t s = 0; s + 1 < offsets.size(); ++s) {
    const auto tokens = static_cast<double>(offsets[s + 1] - offsets[s]);
    visible_keys += tokens * (tokens + 1) / 2;
  }
  const auto tokens = static_cast<double>(offsets.back() - offsets.front());
  const auto per_pair = static_cast<double>(config.num_hidden_layers * config.num_attention_heads *
                                            (config.qk_head_dim() + config.v_head_dim));
  return {.products = 2 * tokens * static_cast<double>(counts.active - counts.norms),
          .attention = 2 * visible_keys * per_pair};
}

Flops training_flops(const ModelConfig& config, std::span<const int64_t> offsets) {
  const Flops forward = forward_flops(config, offsets);
  return {.products = 3 * forward.products, .attention = 3 * forward.attention};
}

}  // namespace dslite
