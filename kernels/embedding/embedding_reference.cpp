#include "kernels/embedding/embedding_reference.h"

#include <cstddef>

namespace dslite::kernels {

template <class Real>
std::vector<Real> embedding_reference(const std::vector<Real>& table, int64_t width, const std::vector<int32_t>& ids) {
  std::vector<Real> out;
  for (const int32_t id : ids)
    for (int64_t c = 0; c < width; ++c) out.push_back(table[id * width + c]);
  return out;
}

template <class Real>
void embedding_backward_reference(const std::vector<Real>& dy, int64_t width, const std::vector<int32_t>& ids,
                                  std::vector<Real>* d_table) {
  for (std::size_t t = 0; t < ids.size(); ++t)
    for (int64_t c = 0; c < width; ++c) (*d_table)[ids[t] * width + c] += dy[t * width + c];
}

#define INSTANTIATE(Real)                                                                                         \
  template std::vector<Real> embedding_reference(const std::vector<Real>&, int64_t, const std::vector<int32_t>&); \
  template void embedding_backward_reference(const std::vector<Real>&, int64_t, const std::vector<int32_t>&,      \
                                             std::vector<Real>*);
INSTANTIATE(float)
INSTANTIATE(double)
#undef INSTANTIATE

}  // namespace dslite::kernels
