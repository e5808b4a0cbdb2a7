// Inside of gemm: one tile of one product, built once per instruction set; and the sizes that both sides share.
#pragma once
#include "kernels/gemm/gemm_many.h"

namespace dslite::kernels {

constexpr int64_t kTileRows = 258;          // of A, packed as [258][528] units of 4 bytes: 533 KiB at most, stays in L2
constexpr int64_t kTileColumns = 512;       // most columns of a tile whose sums are kept
constexpr int64_t kTileColumnsOnce = 2048;  // ... of one that writes each element of an fp32 C once
constexpr int64_t kSweepColumns =
    64;  // columns of B packed at a time, of which one block of K is at most [512][64] units, 128 KiB
constexpr int64_t kStrideA = kGemmBlockK + 16;  // not a multiple of 4 KiB: rows spread over the sets of L1

constexpr int64_t kPackedBytesA = kTileRows * kStrideA * 4;
constexpr int64_t kPackedBytesB = kGemmBlockK * kSweepColumns * 4;
constexpr int64_t kTileBytes = kTileRows * kTileColumns * 4;
constexpr int64_t kGemmThreadBytes = kPackedBytesA + kPackedBytesB + kTileBytes;

// Rows [m0, m0 + rows) and columns [n0, n0 + columns) of a product's C; scratch: kGemmThreadBytes, 64-byte aligned.
struct GemmTile {
  const GemmProduct* product;
  int64_t m0, rows, n0, columns;
  void* scratch;
};

}  // namespace dslite::kernels
