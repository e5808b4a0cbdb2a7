// A product of small blocks in fp32: 6 rows x 2 vectors of C held in registers. For the inside of kernels that cut
// their own blocks (attention, decode); whole matrices go through kernels/gemm. For X_cpu.cpp only.
//   C[r, c] = sum_k a[r * a_row + k * a_step] * b[k * b_step + c], one ascending chain over k.
// `Multiply` says what an element is: one fp32 value, or a pair of bf16 values (elements.h).
#pragma once
#include "kernels/common/elements.h"

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

template <class Multiply>
DSLITE_INLINE void multiply_tile(const TileOperands& x, Float (&c)[kTileRows][2]) {
  Float c00 = splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00, c40 = c00,
        c41 = c00, c50 = c00, c51 = c00;
  const float *a0 = x.a, *a3 = x.a + 3 * x.a_row, *b = x.b;
  const int64_t row = x.a_row;
  for (int64_t k = 0; k < x.depth; ++k) {
    const Float b0 = load(b), b1 = load(b + kWidth);
    Float a = splat(a0[0]);
    c00 = Multiply::add(c00, a, b0), c01 = Multiply::add(c01, a, b1);
    a = splat(a0[row]);
    c10 = Multiply::add(c10, a, b0), c11 = Multiply::add(c11, a, b1);
    a = splat(a0[2 * row]);
    c20 = Multiply::add(c20, a, b0), c21 = Multiply::add(c21, a, b1);
    a = splat(a3[0]);
    c30 = Multiply::add(c30, a, b0), c31 = Multiply::add(c31, a, b1);
    a = splat(a3[row]);
    c40 = Multiply::add(c40, a, b0), c41 = Multiply::add(c41, a, b1);
    a = splat(a3[2 * row]);
    c50 = Multiply::add(c50, a, b0), c51 = Multiply::add(c51, a, b1);
    a0 += x.a_step, a3 += x.a_step, b += x.b_step;
  }
  c[0][0] = c00, c[0][1] = c01, c[1][0] = c10, c[1][1] = c11, c[2][0] = c20, c[2][1] = c21;
  c[3][0] = c30, c[3][1] = c31, c[4][0] = c40, c[4][1] = c41, c[5][0] = c50, c[5][1] = c51;
}

// c = product
template <class Multiply>
void tile_store(const TileOperands& x, float* c, int64_t c_row) {
  Float tile[kTileRows][2];
  multiply_tile<Multiply>(x, tile);
  for (int r = 0; r < kTileRows; ++r) {
    store(c + r * c_row, tile[r][0]);
    store(c + r * c_row + kWidth, tile[r][1]);
  }
}
// c = c + product
template <class Multiply>
void tile_add(const TileOperands& x, float* c, int64_t c_row) {
  Float tile[kTileRows][2];
  multiply_tile<Multiply>(x, tile);
  for (int r = 0; r < kTileRows; ++r) {
    float* p = c + r * c_row;
    store(p, load(p) + tile[r][0]);
    store(p + kWidth, load(p + kWidth) + tile[r][1]);
  }
}
// c[r] = c[r] * factor[r] + product
template <class Multiply>
void tile_scale_add(const TileOperands& x, const float* factor, float* c, int64_t c_row) {
  Float tile[kTileRows][2];
  multiply_tile<Multiply>(x, tile);
  for (int r = 0; r < kTileRows; ++r) {
    float* p = c + r * c_row;
    store(p, fma(load(p), splat(factor[r]), tile[r][0]));
    store(p + kWidth, fma(load(p + kWidth), splat(factor[r]), tile[r][1]));
  }
}

DSLITE_INLINE int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }
DSLITE_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
DSLITE_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

}  // namespace dslite::kernels::DSLITE_ISA
