// A product of small blocks in fp32: 6 rows x 2 vectors of C held in registers. For the inside of kernels that cut
// their own blocks (attention, decode); whole matrices go through kernels/gemm. For X_cpu.cpp only.
//   C[r, c] = sum_k a[r * a_row + k * a_step] * b[k * b_step + c], one ascending chain over k.
#pragma once
#include "kernels/common/simd.h"

namespace dslite::kernels::DSLITE_ISA {

constexpr int kTileRows = 6;
constexpr int kTileColumns = 2 * kWidth;

struct TileOperands {
  const float* a;
  int64_t a_row, a_step;
  const float* b;
  int64_t b_step;
  int64_t depth;
};

DSLITE_INLINE void multiply_tile(const TileOperands& x, Float (&c)[kTileRows][2]) {
  Float c00 = splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00, c40 = c00,
        c41 = c00, c50 = c00, c51 = c00;
  const float *a0 = x.a, *a3 = x.a + 3 * x.a_row, *b = x.b;
  const int64_t row = x.a_row;
  for (int64_t k = 0; k < x.depth; ++k) {
    const Float b0 = load(b), b1 = load(b + kWidth);
    Float a = splat(a0[0]);
    c00 = fma(a, b0, c00), c01 = fma(a, b1, c01);
    a = splat(a0[row]);
    c10 = fma(a, b0, c10), c11 = fma(a, b1, c11);
    a = splat(a0[2 * row]);
    c20 = fma(a, b0, c20), c21 = fma(a, b1, c21);
    a = splat(a3[0]);
    c30 = fma(a, b0, c30), c31 = fma(a, b1, c31);
    a = splat(a3[row]);
    c40 = fma(a, b0, c40), c41 = fma(a, b1, c41);
    a = splat(a3[2 * row]);
    c50 = fma(a, b0, c50), c51 = fma(a, b1, c51);
    a0 += x.a_step, a3 += x.a_step, b += x.b_step;
  }
  c[0][0] = c00, c[0][1] = c01, c[1][0] = c10, c[1][1] = c11, c[2][0] = c20, c[2][1] = c21;
  c[3][0] = c30, c[3][1] = c31, c[4][0] = c40, c[4][1] = c41, c[5][0] = c50, c[5][1] = c51;
}

// c = product
[[maybe_unused]] static void tile_store(const TileOperands& x, float* c, int64_t c_row) {
  Float tile[kTileRows][2];
  multiply_tile(x, tile);
  for (int r = 0; r < kTileRows; ++r) {
    store(c + r * c_row, tile[r][0]);
    store(c + r * c_row + kWidth, tile[r][1]);
  }
}
// c = c + product
[[maybe_unused]] static void tile_add(const TileOperands& x, float* c, int64_t c_row) {
  Float tile[kTileRows][2];
  multiply_tile(x, tile);
  for (int r = 0; r < kTileRows; ++r) {
    float* p = c + r * c_row;
    store(p, load(p) + tile[r][0]);
    store(p + kWidth, load(p + kWidth) + tile[r][1]);
  }
}
// c[r] = c[r] * factor[r] + product
[[maybe_unused]] static void tile_scale_add(const TileOperands& x, const float* factor, float* c, int64_t c_row) {
  Float tile[kTileRows][2];
  multiply_tile(x, tile);
  for (int r = 0; r < kTileRows; ++r) {
    float* p = c + r * c_row;
    store(p, fma(load(p), splat(factor[r]), tile[r][0]));
    store(p + kWidth, fma(load(p + kWidth), splat(factor[r]), tile[r][1]));
  }
}

DSLITE_INLINE int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }
DSLITE_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
DSLITE_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// Writes row[0 .. depth) as column `column` of panels [columns / kTileColumns][depth][kTileColumns]: what tile products
// read as B. row null: zeros.
[[maybe_unused]] static void put_column(const float* row, int64_t depth, int64_t column, float* panels) {
  float* out = panels + column / kTileColumns * depth * kTileColumns + column % kTileColumns;
  for (int64_t d = 0; d < depth; ++d) out[d * kTileColumns] = row ? row[d] : 0.0f;
}

}  // namespace dslite::kernels::DSLITE_ISA
