// Packing of rows into units (elements.h): as they lie, as columns, or interleaved where the sum runs across rows. For
// X_cpu.cpp only.
#pragma once
#include "kernels/common/elements.h"

namespace dslite::kernels::DSLITE_ISA {

// The rows of one head lie pages apart, where no prefetcher of the hardware follows: their lines are called by name.
constexpr int64_t kLine = 64;
constexpr int64_t kRowsAhead = 4;  // in a loop over rows: the row that is called meanwhile
template <class T>
DSLITE_INLINE void call_row(const T* row, int64_t count) {
  for (int64_t i = 0; i < count; i += kLine / static_cast<int64_t>(sizeof(T))) __builtin_prefetch(row + i);
}

// Rows that are read or written after a product: a few lines are called into L2 with each of its tiles (in bursts they
// would stall the loads of the products).
struct RowsAhead {
  const char* row;
  int64_t row_bytes, row_stride_bytes, num_rows;
  int64_t done = 0;  // bytes of `row`
  void call(int64_t lines) {
    for (int64_t i = 0; i < lines && num_rows > 0; ++i) {
      __builtin_prefetch(row + done, 0, 2);
      done += kLine;
      if (done >= row_bytes) row += row_stride_bytes, --num_rows, done = 0;
    }
  }
};

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

// Rows row(0) .. row(count - 1) of `width` values as columns of panels that are `columns` wide: out[row /
// columns][step] [row % columns], zeros up to whole vectors. row(i + 1) .. row(i + kWidth - 1) may be asked for before
// row(i) is read.
template <class Elements, class Row>
DSLITE_INLINE void put_panels(const Row& row, int64_t count, int64_t width, int64_t columns, float* out) {
  const int64_t steps = num_steps(width, Elements::kDepth);
  for (int64_t first = 0; first < count; first += kWidth) {
    const typename Elements::Source* rows[kWidth] = {};
    const int64_t num_rows = smaller(kWidth, count - first);
    for (int64_t r = 0; r < num_rows; ++r) rows[r] = row(first + r);
    float* panel = out + first / columns * columns * steps + first % columns;
    put_rows_as_columns<Elements>(rows, num_rows, width, panel, columns);
  }
}

// The same rows as steps: out[row / kDepth][value], zeros up to `padded` values.
template <class Elements, class Row>
DSLITE_INLINE void put_steps(const Row& row, int64_t count, int64_t width, int64_t padded, float* out) {
  for (int64_t first = 0; first < count; first += Elements::kDepth, out += padded) {
    const typename Elements::Source* lines[Elements::kDepth];
    for (int64_t d = 0; d < Elements::kDepth; ++d) lines[d] = row(smaller(first + d, count - 1));
    put_step<Elements>(lines, count - first, width, padded, out);
  }
}

}  // namespace dslite::kernels::DSLITE_ISA
