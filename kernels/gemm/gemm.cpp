// Cuts products into tiles by shape and hands the tiles to the threads.
#include "kernels/gemm/gemm.h"

#include <algorithm>

#include "kernels/common/contract.h"
#include "kernels/common/dispatch.h"
#include "kernels/gemm/gemm_many.h"
#include "kernels/gemm/gemm_tile.h"
#include "kernels/gemm/packed.h"

namespace dslite::kernels {

DSLITE_DECLARE_FOR_EACH_SET(void gemm_tile(const GemmTile& tile);)

namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Even tiles of at most 258 rows, narrower and lower where a lonely product would give too few tasks. Wide tiles pack A
// less often: the widest where each element of C is written once, so that it need not stay in a cache.
struct Tiling {
  Tiling(const GemmProduct& product, bool lonely) {
    const int64_t m = product.m, n = product.n;
    if (m == 0 || n == 0) return;
    const bool once =
        product.epilogue.kind == EpilogueKind::kStore && product.num_parts == 1 && product.parts[0].k <= kGemmBlockK;
    const bool side_by_side = product.epilogue.kind == EpilogueKind::kSwiglu;
    const int64_t widest = side_by_side                                 ? kTileColumns / 2
                           : once && product.c.dtype == DType::kFloat32 ? kTileColumnsOnce
                                                                        : kTileColumns;
    const bool large = m * n >= 1024 * 2048;
    cut(m, kTileRows, n, !lonely || large ? widest : 2 * kSweepColumns);
    if (!lonely) return;
    if (count() < kEnoughTasks) cut(m, kTileRows, n, kSweepColumns);
    if (count() < kEnoughTasks) cut(m, kTileRows / 4, n, kSweepColumns);
  }
  void cut(int64_t m, int64_t most_rows, int64_t n, int64_t most_columns) {
    rows = ceil_div(ceil_div(m, ceil_div(m, most_rows)), 6) * 6;
    columns = ceil_div(ceil_div(n, ceil_div(n, most_columns)), kSweepColumns) * kSweepColumns;
    row_tiles = ceil_div(m, rows);
    column_tiles = ceil_div(n, columns);
  }
  static constexpr int64_t kEnoughTasks = 8;
  int64_t count() const { return row_tiles * column_tiles; }
  int64_t rows = 0, columns = 0, row_tiles = 0, column_tiles = 0;
};

// X of a source as the operand [rows, columns] of a product.
[[maybe_unused]] bool is_operand(const PanelSource& x, int64_t rows, int64_t columns) {
  if (rows == 0 || columns == 0) return true;
  const int64_t x_rows = x.transposed ? columns : rows, x_columns = x.transposed ? rows : columns;
  if (x.layout == PanelLayout::kRowMajor) return x.data && (x_rows <= 1 || x.row_stride >= x_columns);
  return x.data && x.transposed && !x.row_index && x.dtype == DType::kBFloat16 &&
         reinterpret_cast<uintptr_t>(x.data) % 64 == 0 && x.row_stride >= (x_columns + 1) / 2 * 2 * kPairPanelRows;
}
[[maybe_unused]] bool is_product(const GemmProduct& x) {
  if (x.m < 0 || x.n < 0 || x.num_parts < 1 || x.num_parts > 2) return false;
  if (x.m == 0 || x.n == 0) return true;
  for (int i = 0; i < x.num_parts; ++i) {
    const GemmPart& part = x.parts[i];
    if (part.k < 0 || part.a.layout != PanelLayout::kRowMajor) return false;
    if (!is_operand(part.a, x.m, part.k) || !is_operand(part.b, part.k, x.n)) return false;
  }
  const GemmEpilogue& e = x.epilogue;
  if (e.kind == EpilogueKind::kStore)
    return is_matrix(x.c, x.m, x.n) && (!x.accumulate || x.c.dtype == DType::kFloat32);
  if (x.accumulate || !is_matrix(x.c, x.m, 2 * x.n) || (e.a.data && !is_matrix(e.a, x.m, x.n))) return false;
  if (e.kind == EpilogueKind::kSwigluBackward) return x.num_parts == 1 && is_matrix(e.z, x.m, 2 * x.n);
  const GemmPart &gate = x.parts[0], &up = x.parts[1];
  return x.num_parts == 2 && gate.k == up.k && gate.a.data == up.a.data && gate.b.dtype == up.b.dtype;
}

struct Sweep {
  const Context* context;
  const GemmProduct* products;
  int64_t num_products;
  Tiling tiling(const GemmProduct& product) const { return {product, num_products < kEnoughProducts}; }
  static constexpr int64_t kEnoughProducts = 8;
};

void run_tile(const Context& context, const GemmTile& tile) { DSLITE_DISPATCH(context, gemm_tile(tile)); }

void run_task(void* state, int64_t task, int thread) {
  const Sweep& sweep = *static_cast<const Sweep*>(state);
  const GemmProduct* product = sweep.products;
  Tiling tiling = sweep.tiling(*product);
  while (task >= tiling.count()) {
    task -= tiling.count();
    ++product;
    tiling = sweep.tiling(*product);
  }
  // Tiles that share columns follow each other: a block of B is fetched from memory once.
  const int64_t m0 = task % tiling.row_tiles * tiling.rows, n0 = task / tiling.row_tiles * tiling.columns;
  run_tile(*sweep.context, {.product = product,
                            .m0 = m0,
                            .rows = std::min(tiling.rows, product->m - m0),
                            .n0 = n0,
                            .columns = std::min(tiling.columns, product->n - n0),
                            .scratch = static_cast<char*>(sweep.context->scratch) + thread * kGemmThreadBytes});
}

}  // namespace

int64_t gemm_many_scratch_bytes(int num_threads) { return num_threads * kGemmThreadBytes; }

void gemm_many(const Context& context, const GemmProduct* products, int64_t num_products) {
  DSLITE_CONTRACT(is_given(products, num_products));
  DSLITE_CONTRACT(is_usable(context, gemm_many_scratch_bytes(context.num_threads)));
  for (int64_t i = 0; i < num_products; ++i) DSLITE_CONTRACT(is_product(products[i]));
  Sweep sweep{.context = &context, .products = products, .num_products = num_products};
  int64_t num_tasks = 0;
  for (int64_t i = 0; i < num_products; ++i) num_tasks += sweep.tiling(products[i]).count();
  if (num_tasks > 0) context.parallel_for(num_tasks, run_task, &sweep);
}

int64_t gemm_scratch_bytes(int64_t, int64_t, int64_t, int num_threads) { return gemm_many_scratch_bytes(num_threads); }

void gemm(const Context& context, const GemmArguments& arguments) {
  const GemmProduct product{.m = arguments.m,
                            .n = arguments.n,
                            .num_parts = 1,
                            .accumulate = arguments.accumulate,
                            .stream = false,
                            .parts = {{.a = arguments.a, .b = arguments.b, .k = arguments.k}, {}},
                            .c = arguments.c};
  gemm_many(context, &product, 1);
}

}  // namespace dslite::kernels
