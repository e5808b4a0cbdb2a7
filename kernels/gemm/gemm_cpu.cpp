// One tile of a product: packs a block of K of A (rows) and of 64 columns of B (panels), multiplies them with a
// register-blocked microkernel. Every element is one ascending chain of multiply-adds in a block, blocks added in
// order, whatever the place in a tile: tails take the same chain on fewer rows or on zero-padded columns. Register and
// cache blocking: Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008.
#include <cstdint>
#include <cstring>

#include "kernels/common/context.h"
#include "kernels/common/simd.h"
#include "kernels/common/typed.h"
#include "kernels/gemm/gemm_epilogue.h"
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
// then C is walked along its rows, which memory gives at twice the rate of pieces 64 columns wide, pages apart. Two
// panels, if they fit, where B's own rows are read in such pieces.
int64_t sweep_columns(const GemmTile& tile, const GemmPart& part, Sums sums, int64_t steps) {
  const bool once = tile.product->num_parts == 1 && part.k <= kGemmBlockK;
  const int64_t room = kPackedBytesB + kTileBytes;  // the sums' place is free
  if (once && !sums.kept && steps * round_up(tile.columns, kPanel) * 4 <= room) return tile.columns;
  return !part.b.transposed && steps * 2 * kSweepColumns * 4 <= kPackedBytesB ? 2 * kSweepColumns : kSweepColumns;
}

// The blocks of K of a tile's parts in the order in which they are multiplied.
struct Block {
  int part;
  int64_t k0;
  int64_t k(const GemmTile& tile) const { return smaller(kGemmBlockK, tile.product->parts[part].k - k0); }
  bool exists(const GemmTile& tile) const { return part < tile.product->num_parts && k0 < tile.product->parts[part].k; }
};
Block next_block(const GemmTile& tile, Block block) {
  const bool in_turn = tile.product->epilogue.kind == EpilogueKind::kSwiglu;  // from one packing of A
  if (in_turn && block.part == 0) return {1, block.k0};
  const Block later{in_turn ? 0 : block.part, block.k0 + kGemmBlockK};
  return later.exists(tile) ? later : Block{block.part + 1, 0};
}

// The columns that are packed after [n, n + sweep) of a block, unless those are the tile's last.
LinesAhead next_of_b(const GemmTile& tile, Block block, int64_t n, int64_t sweep) {
  n += sweep;
  if (n >= tile.columns) n = 0, block = next_block(tile, block);
  if (!block.exists(tile)) return {};
  const PanelSource& b = tile.product->parts[block.part].b;
  const int64_t columns = smaller(sweep, tile.columns - n), k0 = block.k0, k = block.k(tile);
  if (b.layout == PanelLayout::kPairPanels) return {packed_pairs(b, tile.n0 + n, k0), k * kPairPanelRows * 2};
  if (b.transposed) return {b, tile.n0 + n, columns, k0, k};
  return {b, k0, k, tile.n0 + n, columns};
}
// The A of a block.
LinesAhead lines_of_a(const GemmTile& tile, Block block) {
  if (!block.exists(tile)) return {};
  const PanelSource& a = tile.product->parts[block.part].a;
  if (a.transposed) return {a, block.k0, block.k(tile), tile.m0, tile.rows};
  return {a, tile.m0, tile.rows, block.k0, block.k(tile)};
}

// Rows of bf16 that are whole aligned pairs along K already.
bool lies_in_units(const PanelSource& a, int64_t k) {
  return !a.transposed && !a.row_index && k % 2 == 0 && a.row_stride % 2 == 0 &&
         reinterpret_cast<uintptr_t>(a.data) % 4 == 0;
}

// One block into the sums; `same_a`: A is the block's before it.
template <class ElementsA, class ElementsB>
void multiply_block(const GemmTile& tile, Block block, Sums sums, Store store, bool same_a) {
  static_assert(ElementsA::kDepth == ElementsB::kDepth);
  const GemmPart& part = tile.product->parts[block.part];
  const int64_t k0 = block.k0, k = block.k(tile);
  float* packed_a = static_cast<float*>(tile.scratch);
  float* b = packed_a + kPackedBytesA / 4;
  const float* a = packed_a;
  int64_t a_stride = kStrideA;
  if (ElementsA::kDepth == 2 && lies_in_units(part.a, part.k)) {
    a = reinterpret_cast<const float*>(static_cast<const uint16_t*>(part.a.data) + tile.m0 * part.a.row_stride + k0);
    a_stride = part.a.row_stride / 2;
  } else if (!same_a) {
    pack_a<ElementsA>({part.a, k0, k}, tile.m0, tile.rows, packed_a);
  }
  const int64_t steps = num_steps(k, ElementsA::kDepth), most_columns = sweep_columns(tile, part, sums, steps);
  const int64_t panels = (most_columns + kPanel - 1) / kPanel,
                micros = (tile.rows + kMicroRows - 1) / kMicroRows * panels;  // of a sweep
  LinesAhead next_a = lines_of_a(tile, next_block(tile, block));
  const int64_t a_lines = next_a.num_lines() * most_columns / (micros * tile.columns) + 1;
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
    LinesAhead next_b = next_of_b(tile, block, n, most_columns);
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
                                                  .lines_of_a = a_lines});
  }
}

void multiply(const GemmTile& tile, Block block, Sums sums, Store store, bool same_a = false) {
  using Wide = WidenedElements<float>;
  using Narrow = WidenedElements<uint16_t>;
  const GemmPart& part = tile.product->parts[block.part];
  const bool a = part.a.dtype == DType::kFloat32, b = part.b.dtype == DType::kFloat32;
  if (!a && !b) return multiply_block<Bf16Elements, Bf16Elements>(tile, block, sums, store, same_a);
  if (a && b) return multiply_block<Wide, Wide>(tile, block, sums, store, same_a);
  if (a) return multiply_block<Wide, Narrow>(tile, block, sums, store, same_a);
  return multiply_block<Narrow, Wide>(tile, block, sums, store, same_a);
}

void clear(const GemmTile& tile, Sums sums) {
  for (int64_t r = 0; r < tile.rows; ++r) std::memset(sums.c + r * sums.stride, 0, tile.columns * sizeof(float));
}

// A C that is written once, in whole aligned lines, and that nobody reads soon.
bool may_stream(const GemmProduct& product, Sums sums) {
  return product.stream && !product.accumulate && product.num_parts == 1 && product.parts[0].k <= kGemmBlockK &&
         reinterpret_cast<uintptr_t>(sums.c) % 64 == 0 && sums.stride % 16 == 0;
}

}  // namespace

void gemm_tile(const GemmTile& tile) {
  const GemmProduct& product = *tile.product;
  const EpilogueKind kind = product.epilogue.kind;
  // Straight into an fp32 C; otherwise into the scratch, where the epilogue takes them from.
  const bool direct = kind == EpilogueKind::kStore && product.c.dtype == DType::kFloat32;
  const Sums sums =
      direct ? Sums{static_cast<float*>(product.c.data) + tile.m0 * product.c.row_stride + tile.n0,
                    product.c.row_stride, false}
             : Sums{static_cast<float*>(tile.scratch) + (kPackedBytesA + kPackedBytesB) / 4, kTileColumns, true};
  const bool side_by_side = kind == EpilogueKind::kSwiglu;
  const Sums up{sums.c + kUpColumns, sums.stride, sums.kept};
  const Store first = product.accumulate                    ? Store::kAdd
                      : direct && may_stream(product, sums) ? Store::kStream
                                                            : Store::kWrite;
  bool empty = true;
  for (Block block{0, 0}; block.part < product.num_parts; block = next_block(tile, block)) {
    if (!block.exists(tile)) continue;  // a part without values
    const bool begins = side_by_side ? block.k0 == 0 : empty;
    const bool second = side_by_side && block.part == 1;
    multiply(tile, block, second ? up : sums, begins ? first : Store::kAdd, second);
    empty = false;
  }
  if (empty && first != Store::kAdd) clear(tile, sums);
  if (empty && side_by_side) clear(tile, up);
  switch (kind) {
    case EpilogueKind::kStore:
      return direct ? void() : store_sums(tile, sums.c, sums.stride);
    case EpilogueKind::kSwiglu:
      return store_swiglu(tile, sums.c, sums.stride);
    case EpilogueKind::kSwigluBackward:
      return store_swiglu_gradient(tile, sums.c, sums.stride);
  }
}

}  // namespace dslite::kernels::DSLITE_ISA
