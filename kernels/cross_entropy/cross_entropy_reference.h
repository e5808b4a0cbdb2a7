// Weighted cross-entropy in plain loops: the oracle of every test.
#pragma once
#include <cstdint>
#include <vector>

namespace dslite::kernels {

template <class Real>
struct CrossEntropyReference {
  std::vector<Real> loss;           // [rows], unweighted; 0 where label < 0
  std::vector<Real> gradient;       // [rows, vocab] of sum_r weight_r * scale * loss_r
  std::vector<int32_t> prediction;  // [rows] argmax, the lowest index on ties
};
template <class Real>
CrossEntropyReference<Real> cross_entropy_reference(const std::vector<Real>& logits, const std::vector<int32_t>& labels,
                                                    const std::vector<Real>& loss_weight, Real scale);

}  // namespace dslite::kernels
