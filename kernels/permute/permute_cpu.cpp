// combine: the sums of kVectors vectors of a token's row stay in registers while its rows pass by.
#include "kernels/permute/permute.h"

#include "kernels/common/simd.h"
#include "kernels/common/typed.h"

namespace dslite::kernels::DSLITE_ISA {
namespace {

constexpr int64_t kVectors = 4, kChunk = kVectors * kWidth;
constexpr int64_t kTokensAhead = 2;  // y's rows lie anywhere: they are called before their token's turn

struct Token {
  const CombineArguments& x;
  int64_t t, num_tokens;
  float weight(int64_t k) const { return x.weights ? x.weights[t * x.num_experts_per_tok + k] : 1.0f; }
  int64_t y_at(int64_t token, int64_t k) const {
    return x.row_of_slot[token * x.num_experts_per_tok + k] * x.y.row_stride;
  }
};

DSLITE_INLINE void add_chunk(const ConstMatrix& x, int64_t row, int64_t column, Float (&sum)[kVectors]) {
  if (!x.data) return;
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v)
    sum[v] = sum[v] + load_typed(x.data, x.dtype, row * x.row_stride + column + v * kWidth);
}
DSLITE_INLINE Float part_of(const ConstMatrix& x, int64_t row, int64_t column, int64_t count) {
  return x.data ? load_part(x.data, x.dtype, row * x.row_stride + column, count) : splat(0);
}

// Columns [column, column + kChunk).
template <class T>
DSLITE_INLINE void combine_chunk(const Token& token, int64_t column) {
  const CombineArguments& x = token.x;
  Float sum[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) sum[v] = splat(0);
  add_chunk(x.residual, token.t, column, sum);
  add_chunk(x.shared, token.t, column, sum);
  const T* y = static_cast<const T*>(x.y.data) + column;
  const int64_t ahead = token.t + kTokensAhead < token.num_tokens ? token.t + kTokensAhead : token.t;
  for (int64_t k = 0; k < x.num_experts_per_tok; ++k) {
    const T *row = y + token.y_at(token.t, k), *next = y + token.y_at(ahead, k);
    const Float weight = splat(token.weight(k));
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      __builtin_prefetch(next + v * kWidth);
      sum[v] = fma(weight, load(row + v * kWidth), sum[v]);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v)
    store_typed(x.out.data, x.out.dtype, token.t * x.out.row_stride + column + v * kWidth, sum[v]);
}

// Columns [column, hidden), fewer than kChunk.
DSLITE_INLINE void combine_rest(const Token& token, int64_t column) {
  const CombineArguments& x = token.x;
  for (; column < x.hidden; column += kWidth) {
    const int64_t left = x.hidden - column, count = left < kWidth ? left : kWidth;
    Float sum = part_of(x.residual, token.t, column, count) + part_of(x.shared, token.t, column, count);
    for (int64_t k = 0; k < x.num_experts_per_tok; ++k) {
      const int64_t at = token.y_at(token.t, k) + column;
      sum = fma(splat(token.weight(k)), load_part(x.y.data, x.y.dtype, at, count), sum);
    }
    store_part(x.out.data, x.out.dtype, token.t * x.out.row_stride + column, count, sum);
  }
}

template <class T>
void combine_rows(int64_t first, int64_t last, const CombineArguments& arguments) {
  for (int64_t t = first; t < last; ++t) {
    const Token token{arguments, t, last};
    int64_t column = 0;
    for (; column + kChunk <= arguments.hidden; column += kChunk) combine_chunk<T>(token, column);
    combine_rest(token, column);
  }
}

}  // namespace

void combine_tokens(int64_t first, int64_t last, const CombineArguments& arguments) {
  arguments.y.dtype == DType::kFloat32 ? combine_rows<float>(first, last, arguments)
                                       : combine_rows<uint16_t>(first, last, arguments);
}

}  // namespace dslite::kernels::DSLITE_ISA
