// C[M, N] = A[M, K] B[K, N] (+ C): the one product of the model. fp32 arithmetic for fp32 and bf16 operands; bf16 is
// widened while packing. K is cut into blocks of kGemmBlockK; inside a block each element of C is one ascending chain
// of multiply-adds in fp32, blocks are added in ascending order (into C when `accumulate`). K is never shared between
// threads. So the bits of a row of C depend on that row of A and on B alone: not on M, the number of threads, the
// alignment or the place of the row; a row of A that is NaN or infinite reaches no other row.
#pragma once
#include <cstdint>

#include "kernels/common/context.h"

namespace dslite::kernels {

constexpr int64_t kGemmBlockK = 512;

// How a source's matrix X [rows, cols] lies in memory. Quantised layouts will stand beside these.
enum class PanelLayout : uint8_t {
  kRowMajor,   // rows of row_stride elements
  kPairPanels  // bf16 packed by kernels/gemm/packed.h, read where it lies by processors that multiply pairs
};

// Where a product reads an operand: a row-major matrix X [rows, cols], its rows optionally gathered, optionally
// transposed. As A: element (i, k) = X[row(i)][k], transposed: X[row(k)][i]. As B: element (k, n) = X[row(k)][n],
// transposed: X[row(n)][k]. row(r) = row_index ? row_index[r] : r. A linear layer y = x W^T reads W [out, in] as a
// transposed B; its input gradient reads it as it lies. A packed X is read as a transposed B alone, without row_index.
struct PanelSource {
  const void* data;
  DType dtype;
  int64_t row_stride;        // elements; packed: from one panel of rows to the next
  const int32_t* row_index;  // or null
  bool transposed;
  PanelLayout layout = PanelLayout::kRowMajor;
};

struct GemmArguments {
  int64_t m, n, k;  // each may be 0; k == 0 gives zeros (or leaves C when accumulating)
  PanelSource a, b;
  Matrix c;  // [M, N]; accumulate needs fp32
  bool accumulate;
};

int64_t gemm_scratch_bytes(int64_t m, int64_t n, int64_t k, int num_threads);
void gemm(const Context& context, const GemmArguments& arguments);

}  // namespace dslite::kernels
