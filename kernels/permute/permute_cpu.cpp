// combine: one pass over the rows of a token.
#include "kernels/permute/permute.h"

#include "kernels/common/simd.h"
#include "kernels/common/typed.h"

namespace dslite::kernels::DSLITE_ISA {
namespace {

constexpr int64_t kChunk = 512;

// sum += weight * columns [column, column + count) of a row
DSLITE_INLINE void add_row(ConstMatrix matrix, int64_t row, int64_t column, int64_t count, float weight, float* line,
                           float* sum) {
  const int64_t padded = (count + kWidth - 1) / kWidth * kWidth;
  widen_row(matrix.data, matrix.dtype, row * matrix.row_stride + column, count, padded, line);
  for (int64_t i = 0; i < count; i += kWidth) store(sum + i, fma(splat(weight), load(line + i), load(sum + i)));
}

}  // namespace

void combine_tokens(int64_t first, int64_t last, const CombineArguments& arguments) {
  alignas(64) float total[kChunk], line[kChunk];
  for (int64_t t = first; t < last; ++t) {
    for (int64_t column = 0; column < arguments.hidden; column += kChunk) {
      const int64_t count = arguments.hidden - column < kChunk ? arguments.hidden - column : kChunk;
      std::memset(total, 0, sizeof total);
      if (arguments.residual.data) add_row(arguments.residual, t, column, count, 1, line, total);
      if (arguments.shared.data) add_row(arguments.shared, t, column, count, 1, line, total);
      for (int64_t k = 0; k < arguments.num_experts_per_tok; ++k) {
        const int64_t slot = t * arguments.num_experts_per_tok + k;
        const float weight = arguments.weights ? arguments.weights[slot] : 1;
        add_row(arguments.y, arguments.row_of_slot[slot], column, count, weight, line, total);
      }
      narrow_row(total, count, arguments.out.data, arguments.out.dtype, t * arguments.out.row_stride + column);
    }
  }
}

}  // namespace dslite::kernels::DSLITE_ISA
