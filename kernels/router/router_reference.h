// The router in plain loops, for any floating-point type: the oracle of every test.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/router/router.h"

namespace dslite::kernels {

// The choice alone, from probabilities [T, E]: indices [T, K].
template <class Real>
std::vector<int32_t> router_choose_reference(const RouterConfig& config, const std::vector<Real>& probabilities);

template <class Real>
struct RouterReference {
  std::vector<Real> probabilities;  // [T, E]
  std::vector<int32_t> indices;     // [T, K]
  std::vector<Real> weights;        // [T, K]
};
// replay: null, or indices [T, K] to use.
template <class Real>
RouterReference<Real> router_forward_reference(const RouterConfig& config, const std::vector<Real>& logits,
                                               const std::vector<int32_t>* replay = nullptr);

// Gradient of the logits [T, E]; d_probabilities [T, E] may be empty.
template <class Real>
std::vector<Real> router_backward_reference(const RouterConfig& config, const std::vector<Real>& probabilities,
                                            const std::vector<int32_t>& indices, const std::vector<Real>& d_weights,
                                            const std::vector<Real>& d_probabilities);

// sum_s T_s L_s and its gradient, times `scale`, with respect to the probabilities [T, E]. offsets [S + 1].
template <class Real>
Real balance_loss_reference(const RouterConfig& config, const std::vector<int64_t>& offsets,
                            const std::vector<Real>& probabilities, const std::vector<int32_t>& indices);
template <class Real>
std::vector<Real> balance_loss_backward_reference(const RouterConfig& config, const std::vector<int64_t>& offsets,
                                                  const std::vector<int32_t>& indices, Real scale);

}  // namespace dslite::kernels
