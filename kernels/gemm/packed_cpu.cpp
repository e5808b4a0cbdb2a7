// One panel of a packed matrix: 64 rows as columns of pairs.
#include "kernels/gemm/packed.h"

#include <cstdint>
#include <cstring>

#include "kernels/common/pack.h"

namespace dslite::kernels::DSLITE_ISA {

void pack_panel(const PackMatrix& arguments, int64_t panel) {
  const PanelSource& x = arguments.x;
  const int64_t first = panel * kPairPanelRows, rows = smaller(kPairPanelRows, arguments.rows - first);
  const int64_t steps = num_steps(arguments.cols, PairUnits::kDepth);
  float* out = static_cast<float*>(arguments.out) + panel * steps * kPairPanelRows;
  const auto line = [&](int64_t r) {
    return static_cast<const uint16_t*>(x.data) + (x.row_index ? x.row_index[r] : r) * x.row_stride;
  };
  if (!x.transposed) {
    for (int64_t part = 0; part < kPairPanelRows; part += kWidth) {
      const uint16_t* lines[kWidth] = {};
      const int64_t count = larger(0, smaller(kWidth, rows - part));
      for (int64_t r = 0; r < count; ++r) lines[r] = line(first + part + r);
      put_rows_as_columns<PairUnits>(lines, count, arguments.cols, out + part, kPairPanelRows);
    }
    return;
  }
  for (int64_t s = 0; s < steps; ++s) {
    const int64_t values = smaller(PairUnits::kDepth, arguments.cols - s * PairUnits::kDepth);
    const uint16_t* lines[PairUnits::kDepth] = {line(2 * s) + first, line(2 * s + values - 1) + first};
    put_step<PairUnits>(lines, values, rows, kPairPanelRows, out + s * kPairPanelRows);
  }
}

}  // namespace dslite::kernels::DSLITE_ISA
