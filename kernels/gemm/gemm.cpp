// Cuts products into tiles by shape and hands the tiles to the threads.
#include "kernels/gemm/gemm.h"

#include <algorithm>

#include "kernels/common/dispatch.h"
#include "kernels/gemm/gemm_many.h"
#include "kernels/gemm/gemm_tile.h"

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
