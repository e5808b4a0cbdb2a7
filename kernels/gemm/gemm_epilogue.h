// What becomes of a tile's finished fp32 sums: stored, or taken through SwiGLU forward or backward while they are near.
// For gemm_cpu.cpp only.
#pragma once
#include "kernels/common/typed.h"
#include "kernels/gemm/gemm_tile.h"
#include "kernels/swiglu/swiglu_lanes.h"

namespace dslite::kernels::DSLITE_ISA {

constexpr int64_t kUpColumns = kTileColumns / 2;  // kSwiglu: the sums of up lie beside those of gate

// Whole or part of a vector of lanes, count <= kWidth.
DSLITE_INLINE Float load_lanes(const void* p, DType dtype, int64_t i, int64_t count) {
  return count == kWidth ? load_typed(p, dtype, i) : load_part(p, dtype, i, count);
}
DSLITE_INLINE void store_lanes(void* p, DType dtype, int64_t i, int64_t count, Float a) {
  if (count == kWidth) {
    store_typed(p, dtype, i, a);
  } else {
    store_part(p, dtype, i, count, a);
  }
}

DSLITE_INLINE void store_sums(const GemmTile& tile, const float* sums, int64_t stride) {
  const Matrix& c = tile.product->c;
  for (int64_t r = 0; r < tile.rows; ++r)
    narrow_row(sums + r * stride, tile.columns, c.data, c.dtype, (tile.m0 + r) * c.row_stride + tile.n0);
}

// z as stored, and a of it.
DSLITE_INLINE void store_swiglu(const GemmTile& tile, const float* sums, int64_t stride) {
  const Matrix &z = tile.product->c, &a = tile.product->epilogue.a;
  for (int64_t r = 0; r < tile.rows; ++r) {
    const float* row = sums + r * stride;
    for (int64_t n = 0; n < tile.columns; n += kWidth) {
      const int64_t count = smaller(kWidth, tile.columns - n), column = tile.n0 + n;
      const int64_t place = (tile.m0 + r) * z.row_stride + column;
      const Float gate = rounded_to(z.dtype, load_lanes(row, DType::kFloat32, n, count)),
                  up = rounded_to(z.dtype, load_lanes(row + kUpColumns, DType::kFloat32, n, count));
      store_lanes(z.data, z.dtype, place, count, gate);
      store_lanes(z.data, z.dtype, place + tile.product->n, count, up);
      if (a.data) store_lanes(a.data, a.dtype, (tile.m0 + r) * a.row_stride + column, count, swiglu(gate, up));
    }
  }
}

// One panel of one row of da: dz, s * a; returns the panel's part of ds.
DSLITE_INLINE float store_swiglu_gradient_panel(const GemmTile& tile, const float* da, int64_t row, int64_t column,
                                                int64_t columns) {
  const GemmEpilogue& e = tile.product->epilogue;
  const Matrix& dz = tile.product->c;
  const int64_t width = tile.product->n;
  const Float scale = splat(e.row_scale ? e.row_scale[row] : 1.0f);
  Float ds = splat(0);
  for (int64_t n = 0; n < columns; n += kWidth) {
    const int64_t count = smaller(kWidth, columns - n), in = row * e.z.row_stride + column + n,
                  out = row * dz.row_stride + column + n;
    const Float gate = load_lanes(e.z.data, e.z.dtype, in, count), d = load_lanes(da, DType::kFloat32, n, count),
                up = load_lanes(e.z.data, e.z.dtype, in + width, count);
    const Float a = rounded_to(e.z.dtype, swiglu(gate, up));  // as forward stored it
    ds = fma(d, a, ds);
    const SwigluLanes gradient = swiglu_gradient(gate, up, scale * d);
    store_lanes(dz.data, dz.dtype, out, count, gradient.d_gate);
    store_lanes(dz.data, dz.dtype, out + width, count, gradient.d_up);
    if (e.a.data) store_lanes(e.a.data, e.a.dtype, row * e.a.row_stride + column + n, count, scale * a);
  }
  return sum(ds);
}
DSLITE_INLINE void store_swiglu_gradient(const GemmTile& tile, const float* sums, int64_t stride) {
  float* parts = tile.product->epilogue.ds_parts;
  const int64_t panels = (tile.product->n + kEpiloguePanel - 1) / kEpiloguePanel;
  for (int64_t r = 0; r < tile.rows; ++r) {
    const int64_t row = tile.m0 + r;
    for (int64_t n = 0; n < tile.columns; n += kEpiloguePanel) {
      const float ds = store_swiglu_gradient_panel(tile, sums + r * stride + n, row, tile.n0 + n,
                                                   smaller(kEpiloguePanel, tile.columns - n));
      if (parts) parts[row * panels + (tile.n0 + n) / kEpiloguePanel] = ds;
    }
  }
}

}  // namespace dslite::kernels::DSLITE_ISA
