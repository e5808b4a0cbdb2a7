// How the inner loops of products see their operands: as 4-byte units along K that one instruction multiplies and adds.
// A unit is one fp32 value, or a pair of neighbouring bf16 values where the processor multiplies pairs. `kDepth`
// values of K are one step; a step that K does not fill holds zeros. For X_cpu.cpp only.
#pragma once
#include "kernels/common/simd.h"

namespace dslite::kernels::DSLITE_ISA {

DSLITE_INLINE float value_at(const float* p) { return *p; }
DSLITE_INLINE float value_at(const uint16_t* p) { return widen(*p); }

struct FusedMultiplyAdd {
  template <class Vector>  // Packet or Float
  DSLITE_INLINE Vector add(Vector sum, Vector a, Vector b) {
    return fma(a, b, sum);
  }
};

// fp32, or bf16 widened while packing. T: float or uint16_t.
template <class T>
struct WidenedElements {
  using Source = T;
  using Multiply = FusedMultiplyAdd;
  static constexpr int64_t kDepth = 1;
  // Units of a row: steps [step, step + kWidth); one unit, `values` of whose kDepth values exist.
  DSLITE_INLINE Float load_row(const T* row, int64_t step) { return load(row + step); }
  DSLITE_INLINE float unit_of_row(const T* row, int64_t step, int64_t) { return value_at(row + step); }
  // Values [at, at + count) of a row of units; what is left of its last unit after `count` values.
  DSLITE_INLINE void put_values(const T* values, int64_t count, float* row, int64_t at) {
    int64_t i = 0;
    for (; i + kWidth <= count; i += kWidth) store(row + at + i, load(values + i));
    for (; i < count; ++i) row[at + i] = value_at(values + i);
  }
  DSLITE_INLINE void end_row(float*, int64_t) {}
  // The unit of kDepth computed values, lane by lane.
  DSLITE_INLINE void put_lanes(Float values, float* row, int64_t at) { store(row + at, values); }
  DSLITE_INLINE Float unit_of(const Float* values) { return values[0]; }
  // Units of a step, whose values lie in kDepth lines: columns [column, column + kWidth); one unit.
  DSLITE_INLINE Float load_step(const T* const* lines, int64_t column) { return load(lines[0] + column); }
  DSLITE_INLINE float unit_of_step(const T* const* lines, int64_t column, int64_t) {
    return value_at(lines[0] + column);
  }
};

// Pairs of neighbouring bf16 values as they lie in memory, the even one in the lower half: packed alike everywhere,
// multiplied as they are by PairElements alone.
struct PairUnits {
  using Source = uint16_t;
  static constexpr int64_t kDepth = 2;
  DSLITE_INLINE float pair(uint16_t even, uint16_t odd) {
    const uint32_t bits = static_cast<uint32_t>(odd) << 16 | even;
    float unit;
    std::memcpy(&unit, &bits, 4);
    return unit;
  }
  DSLITE_INLINE Float load_row(const uint16_t* row, int64_t step) {
    Float units;
    std::memcpy(&units, row + 2 * step, sizeof units);
    return units;
  }
  DSLITE_INLINE float unit_of_row(const uint16_t* row, int64_t step, int64_t values) {
    return pair(row[2 * step], values > 1 ? row[2 * step + 1] : uint16_t{0});
  }
  DSLITE_INLINE Float load_step(const uint16_t* const* lines, int64_t column) {
    float units[kWidth];
    for (int64_t i = 0; i < kWidth; ++i) units[i] = pair(lines[0][column + i], lines[1][column + i]);
    return load(units);
  }
  DSLITE_INLINE float unit_of_step(const uint16_t* const* lines, int64_t column, int64_t values) {
    return pair(lines[0][column], values > 1 ? lines[1][column] : uint16_t{0});
  }
};

#if defined(DSLITE_ISA_avx512bf16)
// vdpbf16ps: two multiply-adds in fp32, the odd value first; denormals count as zeros.
struct DotProductAdd {
  DSLITE_INLINE Packet add(Packet sum, Packet a, Packet b) {
    return {_mm512_dpbf16_ps(sum.v, (__m512bh)_mm512_castps_si512(a.v), (__m512bh)_mm512_castps_si512(b.v))};
  }
};

struct PairElements : PairUnits {
  using Multiply = DotProductAdd;
  DSLITE_INLINE void put_values(const uint16_t* values, int64_t count, float* row, int64_t at) {
    std::memcpy(reinterpret_cast<char*>(row) + 2 * at, values, static_cast<size_t>(count) * 2);
  }
  DSLITE_INLINE void end_row(float* row, int64_t count) {
    if (count % 2) std::memset(reinterpret_cast<char*>(row) + 2 * count, 0, 2);
  }
  // Computed values [at, at + kWidth) of a row of units.
  DSLITE_INLINE void put_lanes(Float values, float* row, int64_t at) {
    store(reinterpret_cast<uint16_t*>(row) + at, values);
  }
  DSLITE_INLINE Float unit_of(const Float* values) {
    const __m512i even = _mm512_srli_epi32(round_to_bf16(values[0]), 16);
    const __m512i odd = _mm512_and_si512(round_to_bf16(values[1]), _mm512_set1_epi32(static_cast<int>(0xffff0000)));
    return {_mm512_castsi512_ps(_mm512_or_si512(even, odd))};
  }
  DSLITE_INLINE Float load_step(const uint16_t* const* lines, int64_t column) {
    const __m512i even = load_words(lines[0] + column), odd = load_words(lines[1] + column);
    return {_mm512_castsi512_ps(_mm512_or_si512(even, _mm512_slli_epi32(odd, 16)))};
  }
};
using Bf16Elements = PairElements;  // of a product of two bf16 operands
#else
using Bf16Elements = WidenedElements<uint16_t>;
#endif

}  // namespace dslite::kernels::DSLITE_ISA
