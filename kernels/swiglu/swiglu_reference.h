// The oracle of swiglu: plain loops in T (float or double), nothing rounded in between.
#pragma once
#include <cstdint>

namespace dslite::kernels {

// z [rows, 2I] -> a [rows, I]
template <class T>
void swiglu_forward_reference(int64_t num_rows, int64_t intermediate, const T* z, T* a);

// row_scale, scaled_a, ds may be null (scale 1).
template <class T>
struct SwigluBackwardReference {
  int64_t num_rows, intermediate;
  const T* z;          // [rows, 2I]
  const T* da;         // [rows, I]
  const T* row_scale;  // [rows]
  T* dz;               // [rows, 2I]
  T* scaled_a;         // [rows, I]
  T* ds;               // [rows]
};
template <class T>
void swiglu_backward_reference(const SwigluBackwardReference<T>& arguments);

}  // namespace dslite::kernels
