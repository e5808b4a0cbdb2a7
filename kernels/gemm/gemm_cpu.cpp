// One tile of a product: packs a block of K of A (rows) and of 64 columns of B (panels), multiplies them with a
// register-blocked microkernel. Every element is one ascending chain of multiply-adds in a block, blocks added in
// order, whatever the place in a tile: tails take the same chain on fewer rows or on zero-padded columns. Register and
// cache blocking: Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008.
#include <cstdint>
#include <cstring>

#include "kernels/common/context.h"
#include "kernels/common/simd.h"
#include "kernels/common/typed.h"
#include "kernels/gemm/gemm_pack.h"
#include "kernels/gemm/gemm_tile.h"

namespace dslite::kernels::DSLITE_ISA {
namespace {

// 6 x 4 zmm or 6 x 2 ymm accumulators; 2 x 4 xmm in the scalar build.
constexpr int kMicroRows = kPacketWidth == 4 ? 2 : 6;

enum class Store { kWrite, kAdd, kStream };  // kStream: past the caches

// What a microkernel multiplies: a [rows][kStrideA], b [steps][kPanel], into c [rows][kPanel].
struct Micro {
  int64_t steps;
  const float *a, *b;
  float* c;
  int64_t c_stride;
  Store store;
  const char* const* ahead;  // lines to be called into L2 on the way
  int64_t num_ahead, lines_at_once;
};
constexpr int64_t kStepsOfLine = 4;  // between two calls: more at once than the processor can have on the way stall it

// Unrolled, so that the sums stay in registers.
template <int Rows, class Put>
DSLITE_INLINE void put_sums(const Packet (&sum)[Rows][kVectors], float* c, int64_t stride, const Put& put) {
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) put(c + r * stride + v * kPacketWidth, sum[r][v]);
  }
}

template <class Multiply, int Rows>
void micro(const Micro& x) {
  Packet sum[Rows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[r][v] = packet_splat(0);
  for (int r = 0; x.store != Store::kStream && r < Rows; ++r)  // C may lie far away: it is on its way meanwhile
    for (int64_t c = 0; c < kPanel; c += 16) __builtin_prefetch(x.c + r * x.c_stride + c, 1);
  const float* __restrict a = x.a;
  const float* __restrict b = x.b;
  int64_t line = 0;
  for (int64_t s = 0; s < x.steps;) {
    for (int64_t i = 0; i < x.lines_at_once && line < x.num_ahead; ++i) __builtin_prefetch(x.ahead[line++], 0, 2);
    for (const int64_t end = smaller(s + kStepsOfLine, x.steps); s < end; ++s) {
      Packet column[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) column[v] = packet_load(b + s * kPanel + v * kPacketWidth);
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) {
        const Packet value = packet_splat(a[r * kStrideA + s]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sum[r][v] = Multiply::add(sum[r][v], value, column[v]);
      }
    }
  }
  switch (x.store) {
    case Store::kWrite:
      return put_sums<Rows>(sum, x.c, x.c_stride, [](float* place, Packet value) { packet_store(place, value); });
    case Store::kAdd:
      return put_sums<Rows>(sum, x.c, x.c_stride,
                            [](float* place, Packet value) { packet_store(place, packet_load(place) + value); });
    case Store::kStream:
      return put_sums<Rows>(sum, x.c, x.c_stride, [](float* place, Packet value) { packet_stream(place, value); });
  }
}

template <class Multiply>
void micro_rows(int64_t rows, const Micro& x) {
  switch (rows) {
    case 1:
      return micro<Multiply, 1>(x);
    case 2:
      return micro<Multiply, 2>(x);
    case 3:
      return micro<Multiply, 3>(x);
    case 4:
      return micro<Multiply, 4>(x);
    case 5:
      return micro<Multiply, 5>(x);
    default:
      return micro<Multiply, 6>(x);
  }
}

// What is packed next: a part of it is called in each step of a panel.
struct Ahead {
  LinesAhead a, b;
  int64_t lines_of_a, lines_of_b;  // a step
};

// One panel of B against all rows of packed A; `columns` <= kPanel of c are ours.
template <class Multiply>
void multiply_panel(int64_t rows, int64_t columns, const Micro& panel, Ahead& ahead) {
  constexpr int64_t most = kGemmBlockK / kStepsOfLine;
  const char* lines[2 * most];
  for (int64_t r = 0; r < rows; r += kMicroRows) {
    const int64_t count = smaller(kMicroRows, rows - r);
    Micro x = panel;
    x.a += r * kStrideA;
    x.c += r * panel.c_stride;
    x.ahead = lines;
    x.num_ahead = ahead.b.take(smaller(ahead.lines_of_b, most), lines);
    x.num_ahead += ahead.a.take(smaller(ahead.lines_of_a, most), lines + x.num_ahead);
    x.lines_at_once = x.num_ahead * kStepsOfLine / x.steps + 1;
    if (columns == kPanel) {
      micro_rows<Multiply>(count, x);
      continue;
    }
    float edge[kMicroRows * kPanel];
    x.c = edge, x.c_stride = kPanel, x.store = Store::kWrite;
    micro_rows<Multiply>(count, x);
    for (int64_t i = 0; i < count; ++i) {
      float* line = panel.c + (r + i) * panel.c_stride;
      for (int64_t j = 0; j < columns; ++j)
        line[j] = panel.store == Store::kAdd ? line[j] + edge[i * kPanel + j] : edge[i * kPanel + j];
    }
  }
}

// Where a tile's fp32 sums go.
struct Sums {
  float* c;
  int64_t stride;
};

// The columns that are packed after [n, n + kSweepColumns) of the block at k0, unless those are the tile's last.
LinesAhead next_of_b(const GemmTile& tile, const GemmPart& part, int64_t k0, int64_t n) {
  n += kSweepColumns;
  if (n >= tile.columns) n = 0, k0 += kGemmBlockK;
  if (k0 >= part.k) return {};
  const int64_t columns = smaller(kSweepColumns, tile.columns - n), k = smaller(kGemmBlockK, part.k - k0);
  if (part.b.transposed) return {part.b, tile.n0 + n, columns, k0, k};
  return {part.b, k0, k, tile.n0 + n, columns};
}
// The block of A after the one at k0.
LinesAhead next_of_a(const GemmTile& tile, const GemmPart& part, int64_t k0) {
  k0 += kGemmBlockK;
  if (k0 >= part.k) return {};
  const int64_t k = smaller(kGemmBlockK, part.k - k0);
  if (part.a.transposed) return {part.a, k0, k, tile.m0, tile.rows};
  return {part.a, tile.m0, tile.rows, k0, k};
}

// The block [k0, k0 + k) of one part into the sums.
template <class ElementsA, class ElementsB>
void multiply_block(const GemmTile& tile, const GemmPart& part, int64_t k0, int64_t k, Sums sums, Store store) {
  static_assert(ElementsA::kDepth == ElementsB::kDepth);
  float* a = static_cast<float*>(tile.scratch);
  float* b = a + kPackedBytesA / 4;
  pack_a<ElementsA>({part.a, k0, k}, tile.m0, tile.rows, a);
  const int64_t steps = (tile.rows + kMicroRows - 1) / kMicroRows * (kSweepColumns / kPanel);  // of a sweep
  Ahead ahead = {.a = next_of_a(tile, part, k0), .b = {}, .lines_of_a = 0, .lines_of_b = 0};
  ahead.lines_of_a = ahead.a.num_lines() * kSweepColumns / (steps * tile.columns) + 1;
  for (int64_t n = 0; n < tile.columns; n += kSweepColumns) {
    const int64_t columns = smaller(kSweepColumns, tile.columns - n);
    pack_b<ElementsB>({part.b, k0, k}, tile.n0 + n, columns, b);
    ahead.b = next_of_b(tile, part, k0, n);
    ahead.lines_of_b = ahead.b.num_lines() / steps + 1;
    for (int64_t p = 0; p < columns; p += kPanel) {
      multiply_panel<typename ElementsA::Multiply>(tile.rows, smaller(kPanel, columns - p),
                                                   {.steps = num_steps(k, ElementsA::kDepth),
                                                    .a = a,
                                                    .b = b + p * kGemmBlockK,
                                                    .c = sums.c + n + p,
                                                    .c_stride = sums.stride,
                                                    .store = store,
                                                    .ahead = nullptr,
                                                    .num_ahead = 0,
                                                    .lines_at_once = 0},
                                                   ahead);
    }
  }
}

void multiply_part(const GemmTile& tile, const GemmPart& part, int64_t k0, Sums sums, Store store) {
  using Wide = WidenedElements<float>;
  using Narrow = WidenedElements<uint16_t>;
  const int64_t k = smaller(kGemmBlockK, part.k - k0);
  const bool a = part.a.dtype == DType::kFloat32, b = part.b.dtype == DType::kFloat32;
  if (!a && !b) return multiply_block<Bf16Elements, Bf16Elements>(tile, part, k0, k, sums, store);
  if (a && b) return multiply_block<Wide, Wide>(tile, part, k0, k, sums, store);
  if (a) return multiply_block<Wide, Narrow>(tile, part, k0, k, sums, store);
  return multiply_block<Narrow, Wide>(tile, part, k0, k, sums, store);
}

// A C that is written once, in whole aligned lines, and that nobody reads soon.
bool may_stream(const GemmProduct& product, Sums sums) {
  return product.stream && !product.accumulate && product.num_parts == 1 && product.parts[0].k <= kGemmBlockK &&
         reinterpret_cast<uintptr_t>(sums.c) % 64 == 0 && sums.stride % 16 == 0;
}

}  // namespace

void gemm_tile(const GemmTile& tile) {
  const GemmProduct& product = *tile.product;
  const bool direct = product.c.dtype == DType::kFloat32;  // bf16: fp32 sums in the scratch, rounded once
  const Sums sums =
      direct
          ? Sums{static_cast<float*>(product.c.data) + tile.m0 * product.c.row_stride + tile.n0, product.c.row_stride}
          : Sums{static_cast<float*>(tile.scratch) + (kPackedBytesA + kPackedBytesB) / 4, kTileColumns};
  Store store = product.accumulate ? Store::kAdd : direct && may_stream(product, sums) ? Store::kStream : Store::kWrite;
  for (int part = 0; part < product.num_parts; ++part) {
    for (int64_t k0 = 0; k0 < product.parts[part].k; k0 += kGemmBlockK) {
      multiply_part(tile, product.parts[part], k0, sums, store);
      store = Store::kAdd;
    }
  }
  for (int64_t r = 0; store != Store::kAdd && r < tile.rows; ++r)
    std::memset(sums.c + r * sums.stride, 0, tile.columns * sizeof(float));
  if (direct) return;
  for (int64_t r = 0; r < tile.rows; ++r) {
    const int64_t place = (tile.m0 + r) * product.c.row_stride + tile.n0;
    narrow_row(sums.c + r * sums.stride, tile.columns, product.c.data, product.c.dtype, place);
  }
}

}  // namespace dslite::kernels::DSLITE_ISA
