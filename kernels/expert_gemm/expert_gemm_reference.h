// The oracle of expert_gemm: one (row, expert) after the other in plain loops, in T (float or double).
#pragma once
#include <cstdint>

namespace dslite::kernels {

// One expert's weights, or their gradients (any null: skipped).
template <class T>
struct ReferenceExpert {
  T* gate;  // [I, D]
  T* up;    // [I, D]
  T* down;  // [D, I]
};

template <class T>
struct ExpertReference {
  int64_t num_experts, hidden, intermediate;
  const int64_t* offsets;             // [E + 1]
  const int32_t* row_token;           // [rows]
  const ReferenceExpert<T>* weights;  // [E]
  const T* x;                         // [T, D]
  T* z;                               // [rows, 2I]
  T* a;                               // [rows, I]
  T* y;                               // [rows, D]
  T (*stored)(T) = nullptr;           // what storing does to z, a, dz and s * a (bf16); null: nothing
};
template <class T>
void expert_forward_reference(const ExpertReference<T>& arguments);

// Gradients of sum over rows of s_row * y_row . d_out[token]: ds, dx per row, weights (added).
template <class T>
struct ExpertBackwardReference {
  ExpertReference<T> forward;           // after expert_forward_reference
  const T* row_weights;                 // [rows]
  const T* d_out;                       // [T, D]
  T* ds;                                // [rows]
  T* dx_rows;                           // [rows, D]
  const ReferenceExpert<T>* gradients;  // [E]
};
template <class T>
void expert_backward_reference(const ExpertBackwardReference<T>& arguments);

}  // namespace dslite::kernels
