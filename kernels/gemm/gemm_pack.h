// Packing of gemm's operands into units of 4 bytes (kernels/common/elements.h): A as rows, B as panels of columns.
// For gemm_cpu.cpp only.
#pragma once
#include "kernels/common/pack.h"
#include "kernels/gemm/gemm_tile.h"
#include "kernels/gemm/packed.h"

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
  // Values [first, first + count) of rows [row, row + rows) of a row-major source.
  LinesAhead(const PanelSource& source, int64_t row, int64_t rows, int64_t first, int64_t count)
      : base_(static_cast<const char*>(source.data) + first * element_bytes(source)),
        stride_(source.row_stride * element_bytes(source)),
        bytes_(count * element_bytes(source)),
        row_index_(source.row_index),
        row_(row),
        last_row_(row + rows) {}
  // `bytes` from `base` on.
  LinesAhead(const void* base, int64_t bytes) : base_(static_cast<const char*>(base)), bytes_(bytes), last_row_(1) {}
  int64_t num_lines() const { return (last_row_ - row_) * ((bytes_ + kLine - 1) / kLine); }
  // At most `most` lines more; how many it wrote.
  int64_t take(int64_t most, const char** lines) {
    int64_t count = 0;
    for (; count < most && row_ < last_row_; ++row_, at_ = 0) {
      const char* line = base_ + (row_index_ ? row_index_[row_] : row_) * stride_ + at_;
      const int64_t here = smaller(most - count, (bytes_ - at_ + kLine - 1) / kLine);
      for (int64_t i = 0; i < here; ++i) lines[count + i] = line + i * kLine;
      count += here, at_ += here * kLine;
      if (at_ < bytes_) break;
    }
    return count;
  }

 private:
  static constexpr int64_t kLine = 64;
  static int64_t element_bytes(const PanelSource& source) { return source.dtype == DType::kFloat32 ? 4 : 2; }
  const char* base_ = nullptr;
  int64_t stride_ = 0, bytes_ = 0;  // of a row; at_ within it
  const int32_t* row_index_ = nullptr;
  int64_t row_ = 0, last_row_ = 0, at_ = 0;
};

// Where column n of a packed source has its pair at step k / 2, k even; n a multiple of kPanel.
DSLITE_INLINE const uint16_t* packed_pairs(const PanelSource& source, int64_t n, int64_t k) {
  return static_cast<const uint16_t*>(source.data) + n / kPairPanelRows * source.row_stride + k * kPairPanelRows +
         n % kPairPanelRows * 2;
}
// Packed pairs of a block as panels of widened values.
DSLITE_INLINE void unpack_pairs(const BlockSource<WidenedElements<uint16_t>>& block, int64_t n0, int64_t columns,
                                float* out) {
  for (int64_t n = 0; n < columns; n += kPanel) {
    for (int64_t k = 0; k < block.k; k += 2) {
      const uint16_t* pairs = packed_pairs(block.source, n0 + n, block.k0 + k);
      float* even = out + (n / kPanel * block.k + k) * kPanel;
      float* odd = k + 1 < block.k ? even + kPanel : even;  // without an odd value the even one overwrites it
      for (int64_t c = 0; c < kPanel; ++c) odd[c] = widen(pairs[2 * c + 1]);
      for (int64_t c = 0; c < kPanel; ++c) even[c] = widen(pairs[2 * c]);
    }
  }
}

// B: columns [n0, n0 + columns) of a block of K as panels [ceil(columns / kPanel)][steps][kPanel], zero-padded.
// Packed pairs are widened; where pairs are multiplied they are read where they lie instead.
template <class Elements>
void pack_b(const BlockSource<Elements>& block, int64_t n0, int64_t columns, float* out) {
  if constexpr (Elements::kDepth == 1 && sizeof(typename Elements::Source) == 2) {
    if (block.source.layout == PanelLayout::kPairPanels) return unpack_pairs(block, n0, columns, out);
  }
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
