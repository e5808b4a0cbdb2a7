// A small vector type per instruction set, in a namespace named after the set: the only way that kernels touch SIMD.
// Float: kWidth fp32 lanes. Included by X_cpu.cpp only, after which its code stands in namespace
// dslite::kernels::DSLITE_ISA.
#pragma once
#include <cstdint>
#include <cstring>
#if !defined(DSLITE_ISA_scalar)
#include <immintrin.h>
#endif

#include "kernels/common/context.h"

namespace dslite::kernels::DSLITE_ISA {

#define DSLITE_INLINE static inline __attribute__((always_inline))

// bf16 -> fp32 is exact; fp32 -> bf16 rounds to nearest even, NaN stays NaN.
DSLITE_INLINE float widen(uint16_t bits) {
  const uint32_t word = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &word, 4);
  return value;
}
DSLITE_INLINE uint16_t narrow(float value) {
  uint32_t word;
  std::memcpy(&word, &value, 4);
  if ((word & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((word >> 16) | 0x40u);
  return static_cast<uint16_t>((word + 0x7fffu + ((word >> 16) & 1u)) >> 16);
}

}  // namespace dslite::kernels::DSLITE_ISA

#if defined(DSLITE_ISA_avx512) || defined(DSLITE_ISA_avx512bf16)
#include "kernels/common/simd_avx512.h"
#elif defined(DSLITE_ISA_avx2)
#include "kernels/common/simd_avx2.h"
#else
#include "kernels/common/simd_scalar.h"
#endif

namespace dslite::kernels::DSLITE_ISA {

DSLITE_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
DSLITE_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
DSLITE_INLINE int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

#if defined(DSLITE_ISA_avx2) || defined(DSLITE_ISA_avx512) || defined(DSLITE_ISA_avx512bf16)
// Packet: the vector of the innermost loops of products; here a Float.
using Packet = Float;
constexpr int kPacketWidth = kWidth;
DSLITE_INLINE Packet packet_splat(float x) { return splat(x); }
DSLITE_INLINE Packet packet_load(const float* p) { return load(p); }
DSLITE_INLINE void packet_store(float* p, Packet a) { store(p, a); }
DSLITE_INLINE void packet_stream(float* p, Packet a) { stream(p, a); }
#endif

// e^x, relative error < 2 ulp; x <= -87.3 gives 0, NaN gives NaN. (Cephes' polynomial on [-ln2/2, ln2/2].)
DSLITE_INLINE Float exp(Float x) {
  const Float lowest = splat(-87.3365447f);
  const Float bounded = max(lowest, min(splat(88.3762626647949f), x));  // the order of arguments keeps NaN
  const Float n = round_to_whole(bounded * splat(1.44269504088896341f));
  const Float r = fma(n, splat(2.12194440e-4f), fma(n, splat(-0.693359375f), bounded));
  Float p = splat(1.9875691500e-4f);
  p = fma(p, r, splat(1.3981999507e-3f));
  p = fma(p, r, splat(8.3334519073e-3f));
  p = fma(p, r, splat(4.1665795894e-2f));
  p = fma(p, r, splat(1.6666665459e-1f));
  p = fma(p, r, splat(5.0000001201e-1f));
  p = fma(p, r * r, r) + splat(1.0f);
  return zero_unless_above(x, lowest, times_power_of_two(p, n));
}

}  // namespace dslite::kernels::DSLITE_ISA
