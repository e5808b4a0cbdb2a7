// a = silu(gate) * up, silu(x) = x s, s = 1 / (1 + e^-x); z = [gate | up] (Shazeer, arXiv:2002.05202). Backward:
// d_gate = da * up * s * (1 + gate * (1 - s)), d_up = da * gate * s. In fp32 lanes, applied by the epilogues of gemm.
// For X_cpu.cpp only.
#pragma once
#include "kernels/common/simd.h"

namespace dslite::kernels::DSLITE_ISA {

DSLITE_INLINE Float sigmoid(Float x) { return splat(1) / (splat(1) + exp(splat(0) - x)); }
DSLITE_INLINE Float swiglu(Float gate, Float up) { return gate * sigmoid(gate) * up; }

struct SwigluLanes {
  Float d_gate, d_up;
};
// Of da already scaled.
DSLITE_INLINE SwigluLanes swiglu_gradient(Float gate, Float up, Float da) {
  const Float s = sigmoid(gate);
  return {.d_gate = da * up * s * fma(gate, splat(1) - s, splat(1)), .d_up = da * gate * s};
}

}  // namespace dslite::kernels::DSLITE_ISA
