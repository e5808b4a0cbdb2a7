// Packing of rows into units (elements.h): as they lie, as columns, or interleaved where the sum runs across rows. For
// X_cpu.cpp only.
#pragma once
#include "kernels/common/elements.h"

namespace dslite::kernels::DSLITE_ISA {

DSLITE_INLINE int64_t num_steps(int64_t values, int64_t depth) { return (values + depth - 1) / depth; }

// The sum runs along a row of k values: out[step].
template <class Elements>
DSLITE_INLINE void put_row(const typename Elements::Source* row, int64_t k, float* out) {
  const int64_t whole = k / Elements::kDepth, steps = num_steps(k, Elements::kDepth);
  int64_t s = 0;
  for (; s + kWidth <= whole; s += kWidth) store(out + s, Elements::load_row(row, s));
  for (; s < steps; ++s) out[s] = Elements::unit_of_row(row, s, k - s * Elements::kDepth);
}

// The same for `count` <= kWidth rows that become columns: out[step * stride + r], zeros for r in [count, kWidth).
template <class Elements>
DSLITE_INLINE void put_rows_as_columns(const typename Elements::Source* const* rows, int64_t count, int64_t k,
                                       float* out, int64_t stride) {
  const int64_t whole = k / Elements::kDepth, steps = num_steps(k, Elements::kDepth);
  int64_t s = 0;
  for (; count == kWidth && s + kWidth <= whole; s += kWidth) {
    Float units[kWidth];
    for (int r = 0; r < kWidth; ++r) units[r] = Elements::load_row(rows[r], s);
    transpose(units);
    for (int r = 0; r < kWidth; ++r) store(out + (s + r) * stride, units[r]);
  }
  for (; s < steps; ++s) {
    for (int64_t r = 0; r < kWidth; ++r)
      out[s * stride + r] = r < count ? Elements::unit_of_row(rows[r], s, k - s * Elements::kDepth) : 0;
  }
}

// The sum runs across rows: one step of `values` <= kDepth lines, out[c] for c < count, zeros up to `padded`. All
// kDepth pointers are readable.
template <class Elements>
DSLITE_INLINE void put_step(const typename Elements::Source* const* lines, int64_t values, int64_t count,
                            int64_t padded, float* out) {
  int64_t c = 0;
  for (; values >= Elements::kDepth && c + kWidth <= count; c += kWidth) store(out + c, Elements::load_step(lines, c));
  for (; c < count; ++c) out[c] = Elements::unit_of_step(lines, c, values);
  for (; c < padded; ++c) out[c] = 0;
}

}  // namespace dslite::kernels::DSLITE_ISA
