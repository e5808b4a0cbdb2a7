// Embedding in plain loops: the oracle of every test.
#pragma once
#include <cstdint>
#include <vector>

namespace dslite::kernels {

// table [vocab, width] -> [T, width]
template <class Real>
std::vector<Real> embedding_reference(const std::vector<Real>& table, int64_t width, const std::vector<int32_t>& ids);

// Adds dy [T, width] to d_table [vocab, width].
template <class Real>
void embedding_backward_reference(const std::vector<Real>& dy, int64_t width, const std::vector<int32_t>& ids,
                                  std::vector<Real>* d_table);

}  // namespace dslite::kernels
