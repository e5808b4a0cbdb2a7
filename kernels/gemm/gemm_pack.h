// Packing of gemm's operands into units of 4 bytes (kernels/common/elements.h): A as rows, B as panels of columns.
// For gemm_cpu.cpp only.
#pragma once
#include "kernels/common/pack.h"
#include "kernels/gemm/gemm_tile.h"

namespace dslite::kernels::DSLITE_ISA {

constexpr int kVectors = kPacketWidth == 16 ? 4 : kPacketWidth == 8 ? 2 : 4;  // of a panel's width
constexpr int64_t kPanel = kVectors * kPacketWidth;                           // columns of a packed panel of B
static_assert(kSweepColumns % kPanel == 0 && kPanel % kWidth == 0);

// Where an operand's values lie, with K values [k0, k0 + k) of a block.
template <class Elements>
struct BlockSource {
  using T = typename Elements::Source;
  const PanelSource& source;
  int64_t k0, k;
  const T* row(int64_t r) const {
    return static_cast<const T*>(source.data) + (source.row_index ? source.row_index[r] : r) * source.row_stride;
  }
  int64_t values_from(int64_t step) const { return k - step * Elements::kDepth; }
};

// K across the rows of X: the lines of one step.
template <class Elements>
DSLITE_INLINE void lines_of_step(const BlockSource<Elements>& block, int64_t step, int64_t column,
                                 const typename Elements::Source** lines) {
  for (int64_t d = 0; d < Elements::kDepth; ++d) {
    const int64_t k = smaller(step * Elements::kDepth + d, block.k - 1);
    lines[d] = block.row(block.k0 + k) + column;
  }
}

// A: rows [m0, m0 + rows) of a block of K as [rows][kStrideA].
template <class Elements>
void pack_a(const BlockSource<Elements>& block, int64_t m0, int64_t rows, float* out) {
  if (!block.source.transposed) {
    for (int64_t r = 0; r < rows; ++r) put_row<Elements>(block.row(m0 + r) + block.k0, block.k, out + r * kStrideA);
    return;
  }
  const int64_t steps = num_steps(block.k, Elements::kDepth);
  for (int64_t s = 0; s < steps; s += kWidth) {  // kWidth steps at a time; may write past the last, inside the stride
    const typename Elements::Source* lines[kWidth][Elements::kDepth];
    const int64_t count = smaller(kWidth, steps - s);
    for (int64_t i = 0; i < kWidth; ++i) lines_of_step(block, s + smaller(i, count - 1), m0, lines[i]);
    for (int64_t r = 0; r < rows; r += kWidth) {
      Float units[kWidth];
      if (r + kWidth <= rows && count == kWidth && block.values_from(s + kWidth - 1) >= Elements::kDepth) {
        for (int i = 0; i < kWidth; ++i) units[i] = Elements::load_step(lines[i], r);
      } else {
        float values[kWidth * kWidth];
        for (int64_t i = 0; i < kWidth; ++i) {
          const typename Elements::Source* here[Elements::kDepth];
          for (int64_t d = 0; d < Elements::kDepth; ++d) here[d] = lines[i][d] + r;
          put_step<Elements>(here, i < count ? block.values_from(s + i) : 1, smaller(kWidth, rows - r), kWidth,
                             values + i * kWidth);
        }
        for (int i = 0; i < kWidth; ++i) units[i] = load(values + i * kWidth);
      }
      transpose(units);
      for (int64_t i = 0; i < kWidth && r + i < rows; ++i) store(out + (r + i) * kStrideA + s, units[i]);
    }
  }
}

// Names the lines of a block that will be packed next, so that they are called into L2 while the present one is
// multiplied: its rows are pages apart, which the hardware's prefetcher does not follow.
class LinesAhead {
 public:
  LinesAhead() = default;
  // Values [first, first + count) of rows [row, row + rows) of the source.
  LinesAhead(const PanelSource& source, int64_t row, int64_t rows, int64_t first, int64_t count)
      : source_(&source),
        row_(row),
        last_row_(row + rows),
        first_byte_(first * element_bytes()),
        last_byte_((first + count) * element_bytes()),
        byte_(first_byte_) {}
  int64_t num_lines() const {
    return source_ ? (last_row_ - row_) * ((last_byte_ - first_byte_ + kLine - 1) / kLine) : 0;
  }
  // At most `most` lines more; how many it wrote.
  int64_t take(int64_t most, const char** lines) {
    int64_t count = 0;
    for (; count < most && source_ && row_ < last_row_; ++row_, byte_ = first_byte_) {
      const int64_t at = source_->row_index ? source_->row_index[row_] : row_;
      const char* line = static_cast<const char*>(source_->data) + at * source_->row_stride * element_bytes();
      for (; count < most && byte_ < last_byte_; byte_ += kLine) lines[count++] = line + byte_;
      if (byte_ < last_byte_) break;
    }
    return count;
  }

 private:
  static constexpr int64_t kLine = 64;
  int64_t element_bytes() const { return source_->dtype == DType::kFloat32 ? 4 : 2; }
  const PanelSource* source_ = nullptr;
  int64_t row_ = 0, last_row_ = 0, first_byte_ = 0, last_byte_ = 0, byte_ = 0;
};

// B: columns [n0, n0 + columns) of a block of K as panels [ceil(columns / kPanel)][steps][kPanel], zero-padded.
template <class Elements>
void pack_b(const BlockSource<Elements>& block, int64_t n0, int64_t columns, float* out) {
  const int64_t panel_size = num_steps(block.k, Elements::kDepth) * kPanel;
  if (block.source.transposed) {
    for (int64_t n = 0; n < columns; n += kPanel) {
      for (int64_t part = 0; part < kPanel; part += kWidth) {
        const typename Elements::Source* rows[kWidth] = {};
        int64_t count = 0;
        for (; count < kWidth && n + part + count < columns; ++count)
          rows[count] = block.row(n0 + n + part + count) + block.k0;
        put_rows_as_columns<Elements>(rows, count, block.k, out + n / kPanel * panel_size + part, kPanel);
      }
    }
    return;
  }
  const int64_t steps = num_steps(block.k, Elements::kDepth);
  for (int64_t s = 0; s < steps; ++s) {
    const typename Elements::Source* lines[Elements::kDepth];
    for (int64_t n = 0; n < columns; n += kPanel) {
      lines_of_step(block, s, n0 + n, lines);
      put_step<Elements>(lines, block.values_from(s), smaller(kPanel, columns - n), kPanel,
                         out + n / kPanel * panel_size + s * kPanel);
    }
  }
}

}  // namespace dslite::kernels::DSLITE_ISA
