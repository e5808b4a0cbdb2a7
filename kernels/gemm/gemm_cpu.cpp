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

// The microkernels of a sweep: all row blocks of packed A against its packed panels, along the rows of C.
struct Sweep {
  int64_t rows, columns;
  Micro first;    // of row 0 and column 0
  bool far_c;     // C lies in memory, not in a cache
  LinesAhead* b;  // what is packed next, and how many lines of it a microkernel calls
  LinesAhead* a;
  int64_t lines_of_b, lines_of_a;
};

// The lines of C that the microkernel after the next one adds to: its own start would be too late for a short K. Those
// past the last column are harmless.
DSLITE_INLINE int64_t lines_of_c_ahead(const Sweep& sweep, int64_t r, int64_t n, const char** lines) {
  constexpr int64_t distance = 2, line = 64;
  for (n += distance * kPanel; n >= sweep.columns; r += kMicroRows) n = larger(0, n - round_up(sweep.columns, kPanel));
  const int64_t stride = sweep.first.c_stride * 4, rows = smaller(kMicroRows, sweep.rows - r);
  const char* c = reinterpret_cast<const char*>(sweep.first.c + n) + r * stride;
  int64_t count = 0;
  for (int64_t i = 0; i < rows; ++i, c += stride) {
#pragma GCC unroll 4
    for (int64_t j = 0; j < kPanel * 4; j += line) lines[count++] = c + j;
  }
  return count;
}

// Where C ends inside a panel: its sums by way of a whole one.
template <class Multiply>
void micro_at_edge(int64_t rows, int64_t columns, const Micro& x) {
  float edge[kMicroRows * kPanel];
  Micro whole = x;
  whole.c = edge, whole.c_stride = kPanel, whole.store = Store::kWrite;
  micro_rows<Multiply>(rows, whole);
  for (int64_t i = 0; i < rows; ++i) {
    float* line = x.c + i * x.c_stride;
    for (int64_t j = 0; j < columns; ++j)
      line[j] = x.store == Store::kAdd ? line[j] + edge[i * kPanel + j] : edge[i * kPanel + j];
  }
}

template <class Multiply>
void multiply_sweep(const Sweep& sweep) {
  constexpr int64_t most = kGemmBlockK / kStepsOfLine;
  const char* lines[2 * most + kMicroRows * kPanel / 16];
  for (int64_t r = 0; r < sweep.rows; r += kMicroRows) {
    const int64_t rows = smaller(kMicroRows, sweep.rows - r);
    for (int64_t n = 0; n < sweep.columns; n += kPanel) {
      Micro x = sweep.first;
      x.a += r * kStrideA;
      x.b += n * x.steps;
      x.c += r * x.c_stride + n;
      x.ahead = lines;
      x.num_ahead = sweep.far_c && x.store == Store::kAdd ? lines_of_c_ahead(sweep, r, n, lines) : 0;
      x.num_ahead += sweep.b->take(smaller(sweep.lines_of_b, most), lines + x.num_ahead);
      x.num_ahead += sweep.a->take(smaller(sweep.lines_of_a, most), lines + x.num_ahead);
      x.lines_at_once = x.num_ahead * kStepsOfLine / x.steps + 1;
      if (n + kPanel <= sweep.columns) {
        micro_rows<Multiply>(rows, x);
      } else {
        micro_at_edge<Multiply>(rows, sweep.columns - n, x);
      }
    }
  }
}

// Where a tile's fp32 sums go.
struct Sums {
  float* c;
  int64_t stride;
  bool kept;  // in the scratch
};

// Columns of B that are packed at once. All of them where a tile's C is in memory and is added to once, if they fit:
// then C is walked along its rows, which memory gives at twice the rate of pieces 64 columns wide, pages apart.
int64_t sweep_columns(const GemmTile& tile, const GemmPart& part, Sums sums, int64_t steps) {
  const bool once = tile.product->num_parts == 1 && part.k <= kGemmBlockK;
  const int64_t room = kPackedBytesB + kTileBytes;  // the sums' place is free
  return once && !sums.kept && steps * round_up(tile.columns, kPanel) * 4 <= room ? tile.columns : kSweepColumns;
}

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
  const int64_t steps = num_steps(k, ElementsA::kDepth), most_columns = sweep_columns(tile, part, sums, steps);
  const int64_t panels = (most_columns + kPanel - 1) / kPanel,
                micros = (tile.rows + kMicroRows - 1) / kMicroRows * panels;  // of a sweep
  LinesAhead next_a = next_of_a(tile, part, k0);
  const int64_t lines_of_a = next_a.num_lines() * most_columns / (micros * tile.columns) + 1;
  for (int64_t n = 0; n < tile.columns; n += most_columns) {
    const int64_t columns = smaller(most_columns, tile.columns - n);
    pack_b<ElementsB>({part.b, k0, k}, tile.n0 + n, columns, b);
    LinesAhead next_b = most_columns > kSweepColumns ? LinesAhead() : next_of_b(tile, part, k0, n);
    multiply_sweep<typename ElementsA::Multiply>({.rows = tile.rows,
                                                  .columns = columns,
                                                  .first = {.steps = steps,
                                                            .a = a,
                                                            .b = b,
                                                            .c = sums.c + n,
                                                            .c_stride = sums.stride,
                                                            .store = store,
                                                            .ahead = nullptr,
                                                            .num_ahead = 0,
                                                            .lines_at_once = 0},
                                                  .far_c = !sums.kept,
                                                  .b = &next_b,
                                                  .a = &next_a,
                                                  .lines_of_b = next_b.num_lines() / micros + 1,
                                                  .lines_of_a = lines_of_a});
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
      direct ? Sums{static_cast<float*>(product.c.data) + tile.m0 * product.c.row_stride + tile.n0,
                    product.c.row_stride, false}
             : Sums{static_cast<float*>(tile.scratch) + (kPackedBytesA + kPackedBytesB) / 4, kTileColumns, true};
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
