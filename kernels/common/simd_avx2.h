// Float of AVX2 with FMA: 8 fp32 lanes. Included by simd.h alone.
#pragma once

namespace dslite::kernels::DSLITE_ISA {

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
DSLITE_INLINE __m256i round_to_bf16(Float a) {  // in the upper halves; the lower ones are undefined
  const __m256i word = _mm256_castps_si256(a.v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(word, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(word, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i quiet = _mm256_or_si256(word, _mm256_set1_epi32(0x400000));
  const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q));
  return _mm256_blendv_epi8(rounded, quiet, is_nan);
}
DSLITE_INLINE __m128i upper_halves(__m256i bits) {
  const __m256i halves = _mm256_srli_epi32(bits, 16);
  return _mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_packus_epi32(halves, halves), 0xd8));
}
DSLITE_INLINE Float rounded_to_bf16(Float a) {
  return {_mm256_castsi256_ps(_mm256_and_si256(round_to_bf16(a), _mm256_set1_epi32(static_cast<int>(0xffff0000))))};
}
DSLITE_INLINE void store(uint16_t* p, Float a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), upper_halves(round_to_bf16(a))); }
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
DSLITE_INLINE Float keep_first(Float a, int64_t count) {  // lanes from `count` > 0 on become 0
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i kept = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count > kWidth ? kWidth : count)), lane);
  return {_mm256_and_ps(a.v, _mm256_castsi256_ps(kept))};
}
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
// a 2^n for whole n in [-126, 127].
DSLITE_INLINE Float times_power_of_two(Float a, Float n) {
  const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127));
  return {_mm256_mul_ps(a.v, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)))};
}
DSLITE_INLINE Float round_to_whole(Float a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
DSLITE_INLINE Float min(Float a, Float b) { return {_mm256_min_ps(a.v, b.v)}; }
// Past the caches; p is 64-byte aligned.
DSLITE_INLINE void stream(float* p, Float a) { _mm256_stream_ps(p, a.v); }
DSLITE_INLINE void stream(uint16_t* p, Float a) { _mm_stream_si128(reinterpret_cast<__m128i*>(p), upper_halves(round_to_bf16(a))); }
// p[0], p[0], p[1], p[1], ...: kWidth / 2 values; and neighbouring lanes exchanged.
DSLITE_INLINE Float load_twice(const float* p) {
  return {_mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3))};
}
DSLITE_INLINE Float swap_pairs(Float a) { return {_mm256_permute_ps(a.v, 0xb1)}; }
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

}  // namespace dslite::kernels::DSLITE_ISA
