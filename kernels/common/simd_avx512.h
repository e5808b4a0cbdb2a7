// Float of AVX-512 (F, BW, DQ, VL): 16 fp32 lanes. Included by simd.h alone.
#pragma once

namespace dslite::kernels::DSLITE_ISA {

constexpr int kWidth = 16;
struct Float {
  __m512 v;
};
DSLITE_INLINE Float splat(float x) { return {_mm512_set1_ps(x)}; }
DSLITE_INLINE Float load(const float* p) { return {_mm512_loadu_ps(p)}; }
DSLITE_INLINE void store(float* p, Float a) { _mm512_storeu_ps(p, a.v); }
DSLITE_INLINE __m512i load_words(const uint16_t* p) {
  return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
DSLITE_INLINE void store_words(uint16_t* p, __m512i words) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(words));
}
DSLITE_INLINE Float load(const uint16_t* p) { return {_mm512_castsi512_ps(_mm512_slli_epi32(load_words(p), 16))}; }
// By integers: the processor's own conversion flushes denormals.
DSLITE_INLINE __m512i round_to_bf16(Float a) {  // in the upper halves; the lower ones are undefined
  const __m512i word = _mm512_castps_si512(a.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(word, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(word, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __mmask16 is_nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
  return _mm512_mask_or_epi32(rounded, is_nan, word, _mm512_set1_epi32(0x400000));
}
DSLITE_INLINE Float rounded_to_bf16(Float a) {
  return {_mm512_castsi512_ps(_mm512_and_si512(round_to_bf16(a), _mm512_set1_epi32(static_cast<int>(0xffff0000))))};
}
DSLITE_INLINE void store(uint16_t* p, Float a) { store_words(p, _mm512_srli_epi32(round_to_bf16(a), 16)); }
// A fp32 master kept as {bf16 value, 16 more bits} (kernels/adamw/adamw.h); NaN becomes a quiet NaN with low 0.
DSLITE_INLINE Float load_master(const uint16_t* value, const int16_t* low) {
  const __m512i rest = _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(low)));
  return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_slli_epi32(load_words(value), 16), rest))};
}
DSLITE_INLINE void store_master(uint16_t* value, int16_t* low, Float a) {
  const __mmask16 is_nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
  const __m512i bits = _mm512_mask_mov_epi32(_mm512_castps_si512(a.v), is_nan, _mm512_set1_epi32(0x7fc00000));
  store_words(value, _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x8000)), 16));
  store_words(reinterpret_cast<uint16_t*>(low), bits);
}
DSLITE_INLINE Float operator+(Float a, Float b) { return {_mm512_add_ps(a.v, b.v)}; }
DSLITE_INLINE Float operator-(Float a, Float b) { return {_mm512_sub_ps(a.v, b.v)}; }
DSLITE_INLINE Float operator*(Float a, Float b) { return {_mm512_mul_ps(a.v, b.v)}; }
DSLITE_INLINE Float operator/(Float a, Float b) { return {_mm512_div_ps(a.v, b.v)}; }
DSLITE_INLINE Float fma(Float a, Float b, Float c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}  // a * b + c, rounded once
DSLITE_INLINE Float max(Float a, Float b) { return {_mm512_max_ps(a.v, b.v)}; }
DSLITE_INLINE Float min(Float a, Float b) { return {_mm512_min_ps(a.v, b.v)}; }
DSLITE_INLINE Float sqrt(Float a) { return {_mm512_sqrt_ps(a.v)}; }
// value where a > bound or a is NaN, else 0.
DSLITE_INLINE Float zero_unless_above(Float a, Float bound, Float value) {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a.v, bound.v, _CMP_NLE_UQ), value.v)};
}
DSLITE_INLINE Float keep_first(Float a, int64_t count) {  // lanes from `count` > 0 on become 0
  return {count >= kWidth ? a.v : _mm512_maskz_mov_ps(static_cast<__mmask16>((1u << count) - 1), a.v)};
}
// Sums and maxima of the lanes, in one fixed order: halves added, three times, then the last two lanes.
DSLITE_INLINE float sum(Float a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
DSLITE_INLINE float max_lane(Float a) {
  float lanes[16], best;
  _mm512_storeu_ps(lanes, a.v);
  best = lanes[0];
  for (int i = 1; i < 16; ++i) best = lanes[i] > best ? lanes[i] : best;
  return best;
}
// a 2^n for whole n in [-126, 127].
DSLITE_INLINE Float times_power_of_two(Float a, Float n) { return {_mm512_scalef_ps(a.v, n.v)}; }
DSLITE_INLINE Float round_to_whole(Float a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
// Past the caches; p is aligned to the vector.
DSLITE_INLINE void stream(float* p, Float a) { _mm512_stream_ps(p, a.v); }
DSLITE_INLINE void stream(uint16_t* p, Float a) {
  _mm256_stream_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_srli_epi32(round_to_bf16(a), 16)));
}
// p[0], p[0], p[1], p[1], ...: kWidth / 2 values; and neighbouring lanes exchanged.
DSLITE_INLINE Float load_twice(const float* p) {
  const __m512i lanes = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  return {_mm512_permutexvar_ps(lanes, _mm512_castps256_ps512(_mm256_loadu_ps(p)))};
}
DSLITE_INLINE Float swap_pairs(Float a) { return {_mm512_permute_ps(a.v, 0xb1)}; }
// Transposes the kWidth x kWidth block of rows in place: within quarters of a vector, then the quarters.
DSLITE_INLINE void transpose(Float* rows) {
  __m512 pairs[16], quads[16];
  for (int i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_ps(rows[i].v, rows[i + 1].v);
    pairs[i + 1] = _mm512_unpackhi_ps(rows[i].v, rows[i + 1].v);
  }
  for (int i = 0; i < 16; i += 4) {
    quads[i] = _mm512_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
    quads[i + 1] = _mm512_shuffle_ps(pairs[i], pairs[i + 2], 0xee);
    quads[i + 2] = _mm512_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
    quads[i + 3] = _mm512_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    const __m512 even_low = _mm512_shuffle_f32x4(quads[i], quads[i + 4], 0x88);
    const __m512 odd_low = _mm512_shuffle_f32x4(quads[i], quads[i + 4], 0xdd);
    const __m512 even_high = _mm512_shuffle_f32x4(quads[i + 8], quads[i + 12], 0x88);
    const __m512 odd_high = _mm512_shuffle_f32x4(quads[i + 8], quads[i + 12], 0xdd);
    rows[i].v = _mm512_shuffle_f32x4(even_low, even_high, 0x88);
    rows[i + 4].v = _mm512_shuffle_f32x4(odd_low, odd_high, 0x88);
    rows[i + 8].v = _mm512_shuffle_f32x4(even_low, even_high, 0xdd);
    rows[i + 12].v = _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd);
  }
}

}  // namespace dslite::kernels::DSLITE_ISA
