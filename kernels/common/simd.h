// A small vector type per instruction set, in a namespace named after the set: the only way that kernels touch SIMD.
// Float: kWidth fp32 lanes. Included by X_cpu.cpp only, after which its code stands in namespace dslite::kernels::DSLITE_ISA.
#pragma once
#include <cstdint>
#include <cstring>
#if defined(DSLITE_ISA_avx2)
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

#if defined(DSLITE_ISA_avx2)
constexpr int kWidth = 8;
struct Float {
  __m256 v;
};
DSLITE_INLINE Float splat(float x) { return {_mm256_set1_ps(x)}; }
DSLITE_INLINE Float load(const float* p) { return {_mm256_loadu_ps(p)}; }
DSLITE_INLINE void store(float* p, Float a) { _mm256_storeu_ps(p, a.v); }
DSLITE_INLINE Float load(const uint16_t* p) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16))};
}
DSLITE_INLINE void store(uint16_t* p, Float a) {
  const __m256i word = _mm256_castps_si256(a.v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(word, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(word, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  const __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(word, 16), _mm256_set1_epi32(0x40));
  const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q));
  const __m256i bits = _mm256_blendv_epi8(rounded, quiet, is_nan);
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(bits, bits), 0xd8);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
}
// A fp32 master kept as {bf16 value, 16 more bits} (kernels/adamw/adamw.h); NaN becomes a quiet NaN with low 0.
DSLITE_INLINE Float load_master(const uint16_t* value, const int16_t* low) {
  const __m256i high = _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(value))), 16);
  return {_mm256_castsi256_ps(_mm256_add_epi32(high, _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(low)))))};
}
DSLITE_INLINE void store_master(uint16_t* value, int16_t* low, Float a) {
  const __m256i quiet = _mm256_set1_epi32(0x7fc00000), is_nan = _mm256_castps_si256(_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q));
  const __m256i bits = _mm256_blendv_epi8(_mm256_castps_si256(a.v), quiet, is_nan);
  const __m256i high = _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x8000)), 16);
  const __m256i rest = _mm256_and_si256(bits, _mm256_set1_epi32(0xffff));
  const __m256i both = _mm256_permute4x64_epi64(_mm256_packus_epi32(high, rest), 0xd8);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(value), _mm256_castsi256_si128(both));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(low), _mm256_extracti128_si256(both, 1));
}
DSLITE_INLINE Float operator+(Float a, Float b) { return {_mm256_add_ps(a.v, b.v)}; }
DSLITE_INLINE Float operator-(Float a, Float b) { return {_mm256_sub_ps(a.v, b.v)}; }
DSLITE_INLINE Float operator*(Float a, Float b) { return {_mm256_mul_ps(a.v, b.v)}; }
DSLITE_INLINE Float operator/(Float a, Float b) { return {_mm256_div_ps(a.v, b.v)}; }
DSLITE_INLINE Float fma(Float a, Float b, Float c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }  // a * b + c, rounded once
DSLITE_INLINE Float max(Float a, Float b) { return {_mm256_max_ps(a.v, b.v)}; }
DSLITE_INLINE Float sqrt(Float a) { return {_mm256_sqrt_ps(a.v)}; }
// value where a > bound or a is NaN, else 0.
DSLITE_INLINE Float zero_unless_above(Float a, Float bound, Float value) { return {_mm256_and_ps(value.v, _mm256_cmp_ps(a.v, bound.v, _CMP_NLE_UQ))}; }
// Sums and maxima of the lanes, in one fixed order.
DSLITE_INLINE float sum(Float a) {
  float lanes[8];
  _mm256_storeu_ps(lanes, a.v);
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}
DSLITE_INLINE float max_lane(Float a) {
  float lanes[8], best;
  _mm256_storeu_ps(lanes, a.v);
  best = lanes[0];
  for (int i = 1; i < 8; ++i) best = lanes[i] > best ? lanes[i] : best;
  return best;
}
// 2^n for whole n in [-126, 127].
DSLITE_INLINE Float power_of_two(Float n) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127)), 23))};
}
DSLITE_INLINE Float round_to_whole(Float a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
DSLITE_INLINE Float min(Float a, Float b) { return {_mm256_min_ps(a.v, b.v)}; }
// Packet: the vector of the innermost loops of products; here a Float.
using Packet = Float;
constexpr int kPacketWidth = kWidth;
DSLITE_INLINE Packet packet_splat(float x) { return splat(x); }
DSLITE_INLINE Packet packet_load(const float* p) { return load(p); }
DSLITE_INLINE void packet_store(float* p, Packet a) { store(p, a); }
// Transposes the kWidth x kWidth block of rows in place.
DSLITE_INLINE void transpose(Float* rows) {
  __m256 pairs[8], quads[8];
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = _mm256_unpacklo_ps(rows[i].v, rows[i + 1].v);
    pairs[i + 1] = _mm256_unpackhi_ps(rows[i].v, rows[i + 1].v);
  }
  for (int i = 0; i < 8; i += 4) {
    quads[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
    quads[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xee);
    quads[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
    quads[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    rows[i].v = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x20);
    rows[i + 4].v = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x31);
  }
}
#else
constexpr int kWidth = 1;
struct Float {
  float v;
};
DSLITE_INLINE Float splat(float x) { return {x}; }
DSLITE_INLINE Float load(const float* p) { return {*p}; }
DSLITE_INLINE void store(float* p, Float a) { *p = a.v; }
DSLITE_INLINE Float load(const uint16_t* p) { return {widen(*p)}; }
DSLITE_INLINE void store(uint16_t* p, Float a) { *p = narrow(a.v); }
DSLITE_INLINE Float load_master(const uint16_t* value, const int16_t* low) {
  const uint32_t bits = (static_cast<uint32_t>(*value) << 16) + static_cast<uint32_t>(static_cast<int32_t>(*low));
  Float master;
  std::memcpy(&master.v, &bits, 4);
  return master;
}
DSLITE_INLINE void store_master(uint16_t* value, int16_t* low, Float a) {
  uint32_t bits;
  std::memcpy(&bits, &a.v, 4);
  if (a.v != a.v) bits = 0x7fc00000u;
  *value = static_cast<uint16_t>((bits + 0x8000u) >> 16);
  *low = static_cast<int16_t>(static_cast<uint16_t>(bits));
}
DSLITE_INLINE Float operator+(Float a, Float b) { return {a.v + b.v}; }
DSLITE_INLINE Float operator-(Float a, Float b) { return {a.v - b.v}; }
DSLITE_INLINE Float operator*(Float a, Float b) { return {a.v * b.v}; }
DSLITE_INLINE Float operator/(Float a, Float b) { return {a.v / b.v}; }
DSLITE_INLINE Float fma(Float a, Float b, Float c) { return {a.v * b.v + c.v}; }  // rounded twice: the baseline x86-64 has no FMA
DSLITE_INLINE Float max(Float a, Float b) { return {a.v > b.v ? a.v : b.v}; }     // as maxps: b when either is NaN
DSLITE_INLINE Float min(Float a, Float b) { return {a.v < b.v ? a.v : b.v}; }
DSLITE_INLINE Float sqrt(Float a) { return {__builtin_sqrtf(a.v)}; }
DSLITE_INLINE Float zero_unless_above(Float a, Float bound, Float value) { return {a.v <= bound.v ? 0.0f : value.v}; }
DSLITE_INLINE float sum(Float a) { return a.v; }
DSLITE_INLINE float max_lane(Float a) { return a.v; }
DSLITE_INLINE Float power_of_two(Float n) {
  if (n.v != n.v) return n;
  const uint32_t word = static_cast<uint32_t>(static_cast<int32_t>(n.v) + 127) << 23;
  float value;
  std::memcpy(&value, &word, 4);
  return {value};
}
DSLITE_INLINE Float round_to_whole(Float a) { return {__builtin_rintf(a.v)}; }
DSLITE_INLINE void transpose(Float*) {}
// Packet: the vector of the innermost loops of products; here four lanes of the compiler's own vectors (any processor), each with the arithmetic of Float.
typedef float FourFloats __attribute__((vector_size(16)));
struct Packet {
  FourFloats v;
};
constexpr int kPacketWidth = 4;
DSLITE_INLINE Packet packet_splat(float x) { return {FourFloats{x, x, x, x}}; }
DSLITE_INLINE Packet packet_load(const float* p) {
  Packet a;
  std::memcpy(&a, p, sizeof a);
  return a;
}
DSLITE_INLINE void packet_store(float* p, Packet a) { std::memcpy(p, &a, sizeof a); }
DSLITE_INLINE Packet operator+(Packet a, Packet b) { return {a.v + b.v}; }
DSLITE_INLINE Packet fma(Packet a, Packet b, Packet c) { return {a.v * b.v + c.v}; }
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
  return zero_unless_above(x, lowest, p * power_of_two(n));
}

}  // namespace dslite::kernels::DSLITE_ISA
