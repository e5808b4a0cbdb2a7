// A product of small blocks in fp32: 6 rows x 2 vectors of C held in registers (or 1, where the second would be thrown
// away). For the inside of kernels that cut their own blocks (attention, decode); whole matrices go through
// kernels/gemm. For X_cpu.cpp only.
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

// sum += product
template <class Multiply, int Vectors>
DSLITE_INLINE void multiply_more(const TileOperands& x, Float (&sum)[kTileRows][Vectors]) {
  const float* __restrict a0 = x.a, * __restrict a3 = x.a + 3 * x.a_row, * __restrict b = x.b;
  for (int64_t k = 0; k < x.depth; ++k) {
    Float column[Vectors];
    for (int v = 0; v < Vectors; ++v) column[v] = load(b + v * kWidth);
#pragma GCC unroll 6
    for (int r = 0; r < kTileRows; ++r) {
      const Float a = splat(r < 3 ? a0[r * x.a_row] : a3[(r - 3) * x.a_row]);
      for (int v = 0; v < Vectors; ++v) sum[r][v] = Multiply::add(sum[r][v], a, column[v]);
    }
    a0 += x.a_step, a3 += x.a_step, b += x.b_step;
  }
}

template <class Multiply, int Vectors>
DSLITE_INLINE void multiply_tile(const TileOperands& x, Float (&c)[kTileRows][Vectors]) {
  Float sum[kTileRows][Vectors];
#pragma GCC unroll 6
  for (int r = 0; r < kTileRows; ++r)
    for (int v = 0; v < Vectors; ++v) sum[r][v] = splat(0);
  multiply_more<Multiply>(x, sum);
#pragma GCC unroll 6
  for (int r = 0; r < kTileRows; ++r)
    for (int v = 0; v < Vectors; ++v) c[r][v] = sum[r][v];
}

// c = product
template <class Multiply, int Vectors = 2>
void tile_store(const TileOperands& x, float* c, int64_t c_row) {
  Float tile[kTileRows][Vectors];
  multiply_tile<Multiply>(x, tile);
#pragma GCC unroll 6
  for (int r = 0; r < kTileRows; ++r)
    for (int v = 0; v < Vectors; ++v) store(c + r * c_row + v * kWidth, tile[r][v]);
}
// c = c + product
template <class Multiply, int Vectors = 2>
void tile_add(const TileOperands& x, float* c, int64_t c_row) {
  Float tile[kTileRows][Vectors];
  multiply_tile<Multiply>(x, tile);
#pragma GCC unroll 6
  for (int r = 0; r < kTileRows; ++r) {
    float* p = c + r * c_row;
    for (int v = 0; v < Vectors; ++v) store(p + v * kWidth, load(p + v * kWidth) + tile[r][v]);
  }
}
// c[r] = c[r] * factor[r] + product
template <class Multiply>
void tile_scale_add(const TileOperands& x, const float* factor, float* c, int64_t c_row) {
  Float tile[kTileRows][2];
  multiply_tile<Multiply>(x, tile);
#pragma GCC unroll 6
  for (int r = 0; r < kTileRows; ++r) {
    float* p = c + r * c_row;
    store(p, fma(load(p), splat(factor[r]), tile[r][0]));
    store(p + kWidth, fma(load(p + kWidth), splat(factor[r]), tile[r][1]));
  }
}

}  // namespace dslite::kernels::DSLITE_ISA
