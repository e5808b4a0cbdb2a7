// A bf16 matrix X [rows, cols] packed once for many products that read it as a transposed B (y = x X^T): frozen weights
// and inference. The layout is the same for every instruction set: panels of 64 rows, zero-padded,
//   [ceil(rows / 64)][ceil(cols / 2)][64][2]: element (r, c) at ((r / 64) * ceil(cols / 2) + c / 2) * 128 + r % 64 * 2
//   + c % 2.
// A product gives the same bits as from the matrix that was packed.
#pragma once
#include "kernels/gemm/gemm.h"

namespace dslite::kernels {

constexpr int64_t kPairPanelRows = 64;

int64_t packed_bytes(int64_t rows, int64_t cols);

// X in bf16: element (r, c) = x.data[row(r)][c], `transposed`: x.data[row(c)][r]; row_index as in PanelSource.
struct PackMatrix {
  int64_t rows, cols;
  PanelSource x;  // row-major
  void* out;      // packed_bytes, 64-byte aligned
};
// Returns how a product reads it: transposed. Panels may be skipped by adding row_stride elements each to its data.
PanelSource pack_matrix(const Context& context, const PackMatrix& arguments);

}  // namespace dslite::kernels
