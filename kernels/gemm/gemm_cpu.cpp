// One tile of a product: packs a block of K of A (rows) and of 64 columns of B (panels), multiplies them with a
// register-blocked microkernel. Every element is one ascending chain of multiply-adds in a block, blocks added in
// order, whatever the place in a tile: tails take the same chain on fewer rows or on zero-padded columns. Register and
// cache blocking: Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008.
#include <cstdint>
#include <cstring>

#include "kernels/common/context.h"
#include "kernels/common/simd.h"
#include "kernels/common/typed.h"
#include "kernels/gemm/gemm_micro.h"
#include "kernels/gemm/gemm_tile.h"

namespace dslite::kernels::DSLITE_ISA {
namespace {

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
  if (part.b.layout == PanelLayout::kPairPanels) return {packed_pairs(part.b, tile.n0 + n, k0), k * kPairPanelRows * 2};
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

// Rows of bf16 that are whole aligned pairs along K already.
bool lies_in_units(const PanelSource& a, int64_t k) {
  return !a.transposed && !a.row_index && k % 2 == 0 && a.row_stride % 2 == 0 &&
         reinterpret_cast<uintptr_t>(a.data) % 4 == 0;
}

// The block [k0, k0 + k) of one part into the sums.
template <class ElementsA, class ElementsB>
void multiply_block(const GemmTile& tile, const GemmPart& part, int64_t k0, int64_t k, Sums sums, Store store) {
  static_assert(ElementsA::kDepth == ElementsB::kDepth);
  float* packed_a = static_cast<float*>(tile.scratch);
  float* b = packed_a + kPackedBytesA / 4;
  const float* a = packed_a;
  int64_t a_stride = kStrideA;
  if (ElementsA::kDepth == 2 && lies_in_units(part.a, part.k)) {
    a = reinterpret_cast<const float*>(static_cast<const uint16_t*>(part.a.data) + tile.m0 * part.a.row_stride + k0);
    a_stride = part.a.row_stride / 2;
  } else {
    pack_a<ElementsA>({part.a, k0, k}, tile.m0, tile.rows, packed_a);
  }
  const int64_t steps = num_steps(k, ElementsA::kDepth), most_columns = sweep_columns(tile, part, sums, steps);
  const int64_t panels = (most_columns + kPanel - 1) / kPanel,
                micros = (tile.rows + kMicroRows - 1) / kMicroRows * panels;  // of a sweep
  LinesAhead next_a = next_of_a(tile, part, k0);
  const int64_t lines_of_a = next_a.num_lines() * most_columns / (micros * tile.columns) + 1;
  for (int64_t n = 0; n < tile.columns; n += most_columns) {
    const int64_t columns = smaller(most_columns, tile.columns - n);
    const float* panels_of_b = b;
    int64_t b_panel = steps * kPanel;
    if (ElementsB::kDepth == 2 && part.b.layout == PanelLayout::kPairPanels) {
      panels_of_b = reinterpret_cast<const float*>(packed_pairs(part.b, tile.n0 + n, k0));
      b_panel = part.b.row_stride / 2;
    } else {
      pack_b<ElementsB>({part.b, k0, k}, tile.n0 + n, columns, b);
    }
    LinesAhead next_b = most_columns > kSweepColumns ? LinesAhead() : next_of_b(tile, part, k0, n);
    multiply_sweep<typename ElementsA::Multiply>({.rows = tile.rows,
                                                  .columns = columns,
                                                  .first = {.steps = steps,
                                                            .a = a,
                                                            .b = panels_of_b,
                                                            .a_stride = a_stride,
                                                            .c = sums.c + n,
                                                            .c_stride = sums.stride,
                                                            .store = store,
                                                            .ahead = nullptr,
                                                            .num_ahead = 0,
                                                            .lines_at_once = 0},
                                                  .b_panel = b_panel,
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
