#include "kernels/cross_entropy/cross_entropy_reference.h"

#include <algorithm>
#include <cmath>

namespace dslite::kernels {

template <class Real>
CrossEntropyReference<Real> cross_entropy_reference(const std::vector<Real>& logits, const std::vector<int32_t>& labels,
                                                    const std::vector<Real>& loss_weight, Real scale) {
  const int64_t rows = labels.size(), vocab = rows == 0 ? 0 : logits.size() / rows;
  CrossEntropyReference<Real> result{std::vector<Real>(rows, 0), std::vector<Real>(rows * vocab, 0), {}};
  for (int64_t r = 0; r < rows; ++r) {
    const Real* row = logits.data() + r * vocab;
    const int64_t best = std::max_element(row, row + vocab) - row;
    result.prediction.push_back(static_cast<int32_t>(best));
    if (labels[r] < 0) continue;
    Real total = 0;
    for (int64_t v = 0; v < vocab; ++v) total += std::exp(row[v] - row[best]);
    result.loss[r] = std::log(total) + row[best] - row[labels[r]];
    for (int64_t v = 0; v < vocab; ++v)
      result.gradient[r * vocab + v] =
          loss_weight[r] * scale * (std::exp(row[v] - row[best]) / total - (v == labels[r] ? 1 : 0));
  }
  return result;
}

#define INSTANTIATE(Real)                                                                                             \
  template CrossEntropyReference<Real> cross_entropy_reference(const std::vector<Real>&, const std::vector<int32_t>&, \
                                                               const std::vector<Real>&, Real);
INSTANTIATE(float)
INSTANTIATE(double)
#undef INSTANTIATE

}  // namespace dslite::kernels
