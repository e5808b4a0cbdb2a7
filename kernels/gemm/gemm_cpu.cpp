// One tile of a product: packs 512 K-values of A (rows, fp32) and of 64 columns of B (panels [512][16]), multiplies
// them with a register-blocked microkernel. Every element is acc = fma(a, b, acc) ascending in a block, blocks added in
// order, whatever the place in a tile: tails take the same chain on fewer rows or on zero-padded columns. Register and
// cache blocking: Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008.
#include <cstdint>
#include <cstring>

#include "kernels/common/context.h"
#include "kernels/common/simd.h"
#include "kernels/common/typed.h"
#include "kernels/gemm/gemm_tile.h"

namespace dslite::kernels::DSLITE_ISA {
namespace {

constexpr int kMicroRows = kPacketWidth == 4 ? 2 : 6;  // 6 x 2 ymm accumulators, or 2 x 4 xmm in the scalar build
constexpr int64_t kRowsAhead = 12;                     // rows of B are pages apart: no hardware prefetch
constexpr int kVectors = static_cast<int>(kPanel) / kPacketWidth;

DSLITE_INLINE float value_at(const float* p) { return *p; }
DSLITE_INLINE float value_at(const uint16_t* p) { return widen(*p); }
DSLITE_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
DSLITE_INLINE int64_t row_of(const PanelSource& source, int64_t r) {
  return source.row_index ? source.row_index[r] : r;
}

// out[i] = in[i]; zeros from `count` to `padded`. (typed.h's widen_row with the dtype known while compiling.)
template <class T>
DSLITE_INLINE void widen_line(const T* in, int64_t count, int64_t padded, float* out) {
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) store(out + i, load(in + i));
  for (; i < count; ++i) out[i] = value_at(in + i);
  for (; i < padded; ++i) out[i] = 0;
}

// out[c * out_stride + r] = rows[r][c] for r < num_rows <= kWidth, c < num_columns; missing rows up to kWidth become
// zeros.
template <class T>
DSLITE_INLINE void transpose_rows(const T* const* rows, int64_t num_rows, int64_t num_columns, float* out,
                                  int64_t out_stride) {
  int64_t c = 0;
  if (num_rows == kWidth) {
    for (; c + kWidth <= num_columns; c += kWidth) {
      Float block[kWidth];
      for (int r = 0; r < kWidth; ++r) block[r] = load(rows[r] + c);
      transpose(block);
      for (int r = 0; r < kWidth; ++r) store(out + (c + r) * out_stride, block[r]);
    }
  }
  for (; c < num_columns; ++c)
    for (int64_t r = 0; r < kWidth; ++r) out[c * out_stride + r] = r < num_rows ? value_at(rows[r] + c) : 0;
}

// A: rows [m0, m0 + rows) of K values [k0, k0 + k) as fp32 [rows][kStrideA].
template <class T>
void pack_a(const PanelSource& source, int64_t m0, int64_t rows, int64_t k0, int64_t k, float* out) {
  const T* data = static_cast<const T*>(source.data);
  if (!source.transposed) {
    for (int64_t r = 0; r < rows; ++r)
      widen_line(data + row_of(source, m0 + r) * source.row_stride + k0, k, k, out + r * kStrideA);
    return;
  }
  for (int64_t kk = 0; kk < k;
       kk += kWidth) {  // kWidth source rows at a time; may write up to kWidth - 1 values past k, inside the stride
    const T* lines[kWidth];
    const int64_t count = smaller(kWidth, k - kk);
    for (int64_t r = 0; r < count; ++r) lines[r] = data + row_of(source, k0 + kk + r) * source.row_stride + m0;
    transpose_rows(lines, count, rows, out + kk, kStrideA);
  }
}

// B: K values [k0, k0 + k) of columns [n0, n0 + columns <= 64) as panels [ceil(columns / 16)][kGemmBlockK][16],
// zero-padded.
template <class T>
void pack_b(const PanelSource& source, int64_t n0, int64_t columns, int64_t k0, int64_t k, float* out) {
  const T* data = static_cast<const T*>(source.data);
  const int64_t panel_size = kGemmBlockK * kPanel;
  if (!source.transposed) {
    for (int64_t kk = 0; kk < k; ++kk) {
      const T* line = data + row_of(source, k0 + kk) * source.row_stride + n0;
      const T* later = data + row_of(source, k0 + smaller(kk + kRowsAhead, k - 1)) * source.row_stride + n0;
      __builtin_prefetch(later);
      __builtin_prefetch(later + columns / 2);
      for (int64_t n = 0; n < columns; n += kPanel)
        widen_line(line + n, smaller(kPanel, columns - n), kPanel, out + n / kPanel * panel_size + kk * kPanel);
    }
    return;
  }
  for (int64_t n = 0; n < columns; n += kPanel) {
    for (int64_t part = 0; part < kPanel; part += kWidth) {
      const T* lines[kWidth];
      int64_t count = columns - n - part;
      count = count < 0 ? 0 : smaller(kWidth, count);
      for (int64_t r = 0; r < count; ++r) lines[r] = data + row_of(source, n0 + n + part + r) * source.row_stride + k0;
      transpose_rows(lines, count, k, out + n / kPanel * panel_size + part, kPanel);
    }
  }
}

// c[Rows][16] (+)= a[Rows][k] b[k][16]
template <int Rows>
void micro(int64_t k, const float* __restrict a, const float* __restrict b, float* __restrict c, int64_t c_stride,
           bool add) {
  Packet sum[Rows][kVectors];
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < kVectors; ++v) sum[r][v] = packet_splat(0);
  for (int64_t kk = 0; kk < k; ++kk) {
    Packet column[kVectors];
    for (int v = 0; v < kVectors; ++v) column[v] = packet_load(b + kk * kPanel + v * kPacketWidth);
    for (int r = 0; r < Rows; ++r) {
      const Packet value = packet_splat(a[r * kStrideA + kk]);
      for (int v = 0; v < kVectors; ++v) sum[r][v] = fma(value, column[v], sum[r][v]);
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      float* place = c + r * c_stride + v * kPacketWidth;
      packet_store(place, add ? packet_load(place) + sum[r][v] : sum[r][v]);
    }
  }
}

void micro_rows(int64_t rows, int64_t k, const float* a, const float* b, float* c, int64_t c_stride, bool add) {
  switch (rows) {
    case 1:
      return micro<1>(k, a, b, c, c_stride, add);
    case 2:
      return micro<2>(k, a, b, c, c_stride, add);
    case 3:
      return micro<3>(k, a, b, c, c_stride, add);
    case 4:
      return micro<4>(k, a, b, c, c_stride, add);
    case 5:
      return micro<5>(k, a, b, c, c_stride, add);
    default:
      return micro<6>(k, a, b, c, c_stride, add);
  }
}

// One panel of B against all rows of packed A. c: fp32, `columns` <= 16 of it are ours.
void multiply_panel(int64_t rows, int64_t columns, int64_t k, const float* a, const float* b, float* c,
                    int64_t c_stride, bool add) {
  for (int64_t r = 0; r < rows; r += kMicroRows) {
    const int64_t count = smaller(kMicroRows, rows - r);
    if (columns == kPanel) {
      micro_rows(count, k, a + r * kStrideA, b, c + r * c_stride, c_stride, add);
      continue;
    }
    float edge[kMicroRows * kPanel];
    micro_rows(count, k, a + r * kStrideA, b, edge, kPanel, false);
    for (int64_t i = 0; i < count; ++i) {
      float* line = c + (r + i) * c_stride;
      for (int64_t j = 0; j < columns; ++j) line[j] = add ? line[j] + edge[i * kPanel + j] : edge[i * kPanel + j];
    }
  }
}

// Adds (or, for the tile's first block, writes) the block [k0, k0 + k) of one part into c.
void multiply_block(const GemmTile& tile, const GemmPart& part, int64_t k0, int64_t k, float* c, int64_t c_stride,
                    bool add) {
  float* a = static_cast<float*>(tile.scratch);
  float* b = a + kPackedBytesA / 4;
  part.a.dtype == DType::kFloat32 ? pack_a<float>(part.a, tile.m0, tile.rows, k0, k, a)
                                  : pack_a<uint16_t>(part.a, tile.m0, tile.rows, k0, k, a);
  for (int64_t n = 0; n < tile.columns; n += kSweepColumns) {
    const int64_t columns = smaller(kSweepColumns, tile.columns - n);
    part.b.dtype == DType::kFloat32 ? pack_b<float>(part.b, tile.n0 + n, columns, k0, k, b)
                                    : pack_b<uint16_t>(part.b, tile.n0 + n, columns, k0, k, b);
    for (int64_t p = 0; p < columns; p += kPanel)
      multiply_panel(tile.rows, smaller(kPanel, columns - p), k, a, b + p * kGemmBlockK, c + n + p, c_stride, add);
  }
}

}  // namespace

void gemm_tile(const GemmTile& tile) {
  const GemmProduct& product = *tile.product;
  const bool direct = product.c.dtype == DType::kFloat32;  // bf16: fp32 sums in the scratch, rounded once
  float* c = direct ? static_cast<float*>(product.c.data) + tile.m0 * product.c.row_stride + tile.n0
                    : static_cast<float*>(tile.scratch) + (kPackedBytesA + kPackedBytesB) / 4;
  const int64_t c_stride = direct ? product.c.row_stride : kTileColumns;
  bool add = product.accumulate;
  for (int part = 0; part < product.num_parts; ++part) {
    for (int64_t k0 = 0; k0 < product.parts[part].k; k0 += kGemmBlockK) {
      multiply_block(tile, product.parts[part], k0, smaller(kGemmBlockK, product.parts[part].k - k0), c, c_stride, add);
      add = true;
    }
  }
  for (int64_t r = 0; !add && r < tile.rows; ++r) std::memset(c + r * c_stride, 0, tile.columns * sizeof(float));
  if (direct) return;
  for (int64_t r = 0; r < tile.rows; ++r) {
    const int64_t place = (tile.m0 + r) * product.c.row_stride + tile.n0;
    narrow_row(c + r * c_stride, tile.columns, product.c.data, product.c.dtype, place);
  }
}

}  // namespace dslite::kernels::DSLITE_ISA
