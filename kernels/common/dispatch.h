// Calls the build of a kernel for the Context's instruction set. X.cpp declares its kernel with DSLITE_DECLARE_FOR_EACH_SET and dispatches with DSLITE_DISPATCH.
#pragma once
#include "kernels/common/context.h"

// DSLITE_DECLARE_FOR_EACH_SET(void f(const Context&, int);) declares scalar::f, avx2::f and so on.
#define DSLITE_DECLARE_FOR_EACH_SET(...) \
  namespace scalar { __VA_ARGS__ }       \
  namespace avx2 { __VA_ARGS__ }         \
  namespace avx512 { __VA_ARGS__ }       \
  namespace avx512bf16 { __VA_ARGS__ }

#define DSLITE_DISPATCH(context, call)                      \
  switch ((context).instruction_set) {                      \
    case ::dslite::kernels::InstructionSet::kAvx2:          \
      return avx2::call;                                    \
    case ::dslite::kernels::InstructionSet::kAvx512:        \
      return avx512::call;                                  \
    case ::dslite::kernels::InstructionSet::kAvx512Bf16:    \
      return avx512bf16::call;                              \
    case ::dslite::kernels::InstructionSet::kScalar:        \
      break;                                                \
  }                                                         \
  return scalar::call
