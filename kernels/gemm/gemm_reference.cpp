// C = A B (+ C) in plain loops.
#include "kernels/gemm/gemm_reference.h"

namespace dslite::kernels {
namespace {

// Element (row, column) of X, rows gathered.
template <class T>
T element(const ReferenceOperand<T>& x, int64_t row, int64_t column) {
  return x.data[(x.row_index ? x.row_index[row] : row) * x.row_stride + column];
}

}  // namespace

template <class T>
void gemm_reference(const GemmReference<T>& arguments) {
  const auto& [m, n, k, a, b, c, c_stride, accumulate] = arguments;
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      T sum = accumulate ? c[i * c_stride + j] : T(0);
      for (int64_t kk = 0; kk < k; ++kk) {
        const T left = a.transposed ? element(a, kk, i) : element(a, i, kk);
        const T right = b.transposed ? element(b, j, kk) : element(b, kk, j);
        sum += left * right;
      }
      c[i * c_stride + j] = sum;
    }
  }
}

template void gemm_reference<float>(const GemmReference<float>&);
template void gemm_reference<double>(const GemmReference<double>&);

}  // namespace dslite::kernels
