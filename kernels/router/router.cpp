// Checks of the router's configuration, dispatch, and the balance loss (fp64, one thread: 0.1 ms for 2,048 tokens and
// 64 experts).
#include "kernels/router/router.h"

#include <stdexcept>
#include <string>
#include <tuple>

#include "kernels/common/contract.h"
#include "kernels/common/dispatch.h"

namespace dslite::kernels {

DSLITE_DECLARE_FOR_EACH_SET(void router_forward(const Context&, const RouterConfig&, const RouterForward&);
                            void router_backward(const Context&, const RouterConfig&, const RouterBackward&);
                            void balance_loss_backward(const Context&, const RouterConfig&, int64_t, const int64_t*,
                                                       const int32_t*, float, float*);)
namespace {

void check(const RouterConfig& config) {
  const auto [experts, chosen, groups, kept] =
      std::tuple(config.num_experts, config.num_experts_per_tok, config.num_groups, config.topk_group);
  if (experts < 1 || groups < 1 || experts % groups != 0 || kept < 1 || kept > groups || chosen < 1 ||
      chosen > kept * (experts / groups))
    throw std::invalid_argument("router: " + std::to_string(chosen) + " of " + std::to_string(experts) +
                                " experts cannot be chosen from " + std::to_string(kept) + " of " +
                                std::to_string(groups) + " groups");
}

// sum_e count_e p_e in fp64, four chains.
double weighted_sum(const int32_t* counts, const float* probabilities, int64_t num_experts) {
  double chains[4] = {0, 0, 0, 0};
  for (int64_t e = 0; e < num_experts; ++e) chains[e % 4] += static_cast<double>(counts[e]) * probabilities[e];
  return (chains[0] + chains[1]) + (chains[2] + chains[3]);
}

}  // namespace

void router_forward(const Context& context, const RouterConfig& config, const RouterForward& arguments) {
  check(config);
  const int64_t scores = arguments.num_tokens * config.num_experts,
                slots = arguments.num_tokens * config.num_experts_per_tok;
  DSLITE_CONTRACT(is_usable(context) && is_given(arguments.logits, scores) &&
                  is_given(arguments.probabilities, scores));
  DSLITE_CONTRACT(is_given(arguments.indices, slots) && is_given(arguments.weights, slots));
  DSLITE_CONTRACT(!arguments.replay || are_below(arguments.indices, slots, config.num_experts));
  DSLITE_DISPATCH(context, router_forward(context, config, arguments));
}

void router_backward(const Context& context, const RouterConfig& config, const RouterBackward& arguments) {
  check(config);
  const int64_t scores = arguments.num_tokens * config.num_experts,
                slots = arguments.num_tokens * config.num_experts_per_tok;
  DSLITE_CONTRACT(is_usable(context) && is_given(arguments.probabilities, scores) &&
                  is_given(arguments.d_logits, scores));
  DSLITE_CONTRACT(is_given(arguments.indices, slots) && are_below(arguments.indices, slots, config.num_experts));
  DSLITE_CONTRACT(is_given(arguments.d_weights, slots));
  DSLITE_DISPATCH(context, router_backward(context, config, arguments));
}

double balance_loss(const Context&, const RouterConfig& config, int64_t num_segments, const int64_t* offsets,
                    const float* probabilities, const int32_t* indices, int32_t* counts) {
  const int64_t E = config.num_experts, K = config.num_experts_per_tok;
  DSLITE_CONTRACT(offsets && is_ascending(offsets, num_segments, offsets[num_segments]));
  DSLITE_CONTRACT(is_given(counts, num_segments * E) && is_given(probabilities, offsets[num_segments] * E));
  DSLITE_CONTRACT(are_below(indices, offsets[num_segments] * K, E));
  double total = 0;
  for (int64_t s = 0; s < num_segments; ++s) {
    int32_t* count = counts + s * E;
    for (int64_t e = 0; e < E; ++e) count[e] = 0;
    for (int64_t i = offsets[s] * K; i < offsets[s + 1] * K; ++i) ++count[indices[i]];
    if (offsets[s] == offsets[s + 1]) continue;
    double sum = 0;  // T_s sum_e count_e P_e
    for (int64_t t = offsets[s]; t < offsets[s + 1]; ++t) sum += weighted_sum(count, probabilities + t * E, E);
    total += sum * static_cast<double>(E) / static_cast<double>(K * (offsets[s + 1] - offsets[s]));
  }
  return total;
}

void balance_loss_backward(const Context& context, const RouterConfig& config, int64_t num_segments,
                           const int64_t* offsets, const int32_t* counts, float scale, float* d_probabilities) {
  DSLITE_CONTRACT(is_usable(context) && offsets && is_ascending(offsets, num_segments, offsets[num_segments]));
  DSLITE_CONTRACT(is_given(counts, num_segments * config.num_experts));
  DSLITE_CONTRACT(is_given(d_probabilities, offsets[num_segments] * config.num_experts));
  DSLITE_DISPATCH(context,
                  balance_loss_backward(context, config, num_segments, offsets, counts, scale, d_probabilities));
}

}  // namespace dslite::kernels
