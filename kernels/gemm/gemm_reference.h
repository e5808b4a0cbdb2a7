// The oracle of gemm: plain loops, one sum per element in T (float or double).
#pragma once
#include <cstdint>

namespace dslite::kernels {

// As PanelSource, of widened values.
template <class T>
struct ReferenceOperand {
  const T* data;
  int64_t row_stride;
  const int32_t* row_index = nullptr;
  bool transposed = false;
};

template <class T>
struct GemmReference {
  int64_t m, n, k;
  ReferenceOperand<T> a, b;
  T* c;
  int64_t c_stride;
  bool accumulate = false;
};
template <class T>
void gemm_reference(const GemmReference<T>& arguments);

}  // namespace dslite::kernels
