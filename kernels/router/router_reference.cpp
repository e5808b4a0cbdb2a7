// Plain loops; sources and equations stand in router.h.
#include "kernels/router/router_reference.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace dslite::kernels {
namespace {

// Indices of the `count` largest, ties to the lower index.
template <class Real>
std::vector<int32_t> largest(const std::vector<Real>& values, int64_t count) {
  std::vector<int32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return values[a] > values[b]; });
  order.resize(count);
  return order;
}

// [S][E]
std::vector<std::vector<int64_t>> count_chosen(const RouterConfig& config, const std::vector<int64_t>& offsets,
                                               const std::vector<int32_t>& indices) {
  const int64_t K = config.num_experts_per_tok;
  std::vector<std::vector<int64_t>> counts(offsets.size() - 1, std::vector<int64_t>(config.num_experts, 0));
  for (size_t s = 0; s + 1 < offsets.size(); ++s)
    for (int64_t i = offsets[s] * K; i < offsets[s + 1] * K; ++i) ++counts[s][indices[i]];
  return counts;
}

}  // namespace

template <class Real>
std::vector<int32_t> router_choose_reference(const RouterConfig& config, const std::vector<Real>& probabilities) {
  const int64_t E = config.num_experts, G = config.num_groups, size = E / G;
  std::vector<int32_t> indices;
  for (size_t row = 0; row < probabilities.size(); row += E) {
    std::vector<Real> score(G), masked(E, Real(-1));
    for (int64_t g = 0; g < G; ++g) {
      const auto first = probabilities.begin() + row + g * size;
      score[g] = *std::max_element(first, first + size);
    }
    for (const int32_t g : largest(score, config.topk_group))
      for (int64_t e = g * size; e < (g + 1) * size; ++e) masked[e] = probabilities[row + e];
    const auto chosen = largest(masked, config.num_experts_per_tok);
    indices.insert(indices.end(), chosen.begin(), chosen.end());
  }
  return indices;
}

template <class Real>
RouterReference<Real> router_forward_reference(const RouterConfig& config, const std::vector<Real>& logits,
                                               const std::vector<int32_t>* replay) {
  const int64_t E = config.num_experts, K = config.num_experts_per_tok, T = logits.size() / E;
  RouterReference<Real> result;
  result.probabilities.resize(T * E);
  for (int64_t t = 0; t < T; ++t) {
    const Real* row = logits.data() + t * E;
    const Real shift = *std::max_element(row, row + E);
    Real total = 0;
    for (int64_t e = 0; e < E; ++e) total += std::exp(row[e] - shift);
    for (int64_t e = 0; e < E; ++e) result.probabilities[t * E + e] = std::exp(row[e] - shift) / total;
  }
  result.indices = replay ? *replay : router_choose_reference(config, result.probabilities);
  result.weights.resize(T * K);
  for (int64_t t = 0; t < T; ++t) {
    Real total = 0;
    for (int64_t k = 0; k < K; ++k) {
      result.weights[t * K + k] = result.probabilities[t * E + result.indices[t * K + k]];
      total += result.weights[t * K + k];
    }
    const bool normalise = config.norm_topk_prob && K > 1;
    for (int64_t k = 0; k < K; ++k)
      result.weights[t * K + k] *= normalise ? 1 / (total + Real(1e-20)) : Real(config.routed_scaling_factor);
  }
  return result;
}

template <class Real>
std::vector<Real> router_backward_reference(const RouterConfig& config, const std::vector<Real>& probabilities,
                                            const std::vector<int32_t>& indices, const std::vector<Real>& d_weights,
                                            const std::vector<Real>& d_probabilities) {
  const int64_t E = config.num_experts, K = config.num_experts_per_tok, T = probabilities.size() / E;
  std::vector<Real> d_logits(T * E);
  for (int64_t t = 0; t < T; ++t) {
    const Real* p = probabilities.data() + t * E;
    const int32_t* chosen = indices.data() + t * K;
    std::vector<Real> g(E, 0);
    if (!d_probabilities.empty()) std::copy_n(d_probabilities.begin() + t * E, E, g.begin());
    Real total = Real(1e-20);
    for (int64_t k = 0; k < K; ++k) total += p[chosen[k]];
    for (int64_t k = 0; k < K; ++k) {
      const Real dw = d_weights[t * K + k];
      if (!config.norm_topk_prob || K == 1) {
        g[chosen[k]] += dw * Real(config.routed_scaling_factor);
        continue;
      }
      g[chosen[k]] += dw / total;  // w_k = p_k / total depends on every chosen p
      for (int64_t j = 0; j < K; ++j) g[chosen[j]] -= dw * p[chosen[k]] / (total * total);
    }
    Real dot = 0;
    for (int64_t e = 0; e < E; ++e) dot += g[e] * p[e];
    for (int64_t e = 0; e < E; ++e) d_logits[t * E + e] = p[e] * (g[e] - dot);
  }
  return d_logits;
}

template <class Real>
Real balance_loss_reference(const RouterConfig& config, const std::vector<int64_t>& offsets,
                            const std::vector<Real>& probabilities, const std::vector<int32_t>& indices) {
  const int64_t E = config.num_experts, K = config.num_experts_per_tok;
  const auto counts = count_chosen(config, offsets, indices);
  Real total = 0;
  for (size_t s = 0; s + 1 < offsets.size(); ++s) {
    const int64_t tokens = offsets[s + 1] - offsets[s];
    if (tokens == 0) continue;
    Real loss = 0;
    for (int64_t e = 0; e < E; ++e) {
      const Real f = Real(E) / Real(K * tokens) * Real(counts[s][e]);
      Real mean = 0;
      for (int64_t t = offsets[s]; t < offsets[s + 1]; ++t) mean += probabilities[t * E + e] / Real(tokens);
      loss += f * mean;
    }
    total += Real(tokens) * loss;
  }
  return total;
}

template <class Real>
std::vector<Real> balance_loss_backward_reference(const RouterConfig& config, const std::vector<int64_t>& offsets,
                                                  const std::vector<int32_t>& indices, Real scale) {
  const int64_t E = config.num_experts, K = config.num_experts_per_tok;
  const auto counts = count_chosen(config, offsets, indices);
  std::vector<Real> gradient(offsets.back() * E, 0);
  for (size_t s = 0; s + 1 < offsets.size(); ++s)
    for (int64_t t = offsets[s]; t < offsets[s + 1]; ++t)
      for (int64_t e = 0; e < E; ++e)
        gradient[t * E + e] = scale * Real(E) / Real(K * (offsets[s + 1] - offsets[s])) * Real(counts[s][e]);
  return gradient;
}

#define INSTANTIATE(Real)                                                                                          \
  template std::vector<int32_t> router_choose_reference(const RouterConfig&, const std::vector<Real>&);            \
  template RouterReference<Real> router_forward_reference(const RouterConfig&, const std::vector<Real>&,           \
                                                          const std::vector<int32_t>*);                            \
  template std::vector<Real> router_backward_reference(const RouterConfig&, const std::vector<Real>&,              \
                                                       const std::vector<int32_t>&, const std::vector<Real>&,      \
                                                       const std::vector<Real>&);                                  \
  template Real balance_loss_reference(const RouterConfig&, const std::vector<int64_t>&, const std::vector<Real>&, \
                                       const std::vector<int32_t>&);                                               \
  template std::vector<Real> balance_loss_backward_reference(const RouterConfig&, const std::vector<int64_t>&,     \
                                                             const std::vector<int32_t>&, Real);
INSTANTIATE(float)
INSTANTIATE(double)
#undef INSTANTIATE

}  // namespace dslite::kernels
