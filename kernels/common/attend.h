// One step of attention with an online softmax (FlashAttention-2, arXiv:2307.08691): a block of queries meets a block
// of keys. Queries lie across the lanes, so that maxima and sums need no shuffles. Shared by attention (queries =
// tokens) and latent decode (queries = heads). For X_cpu.cpp only. Operands are units of `Elements` (elements.h):
// with pairs of bf16 the probabilities are rounded to bf16 for their product with the values. A query's bits depend on
// its own row and on the keys that it sees: keys that it does not see add exact zeros.
#pragma once
#include "kernels/common/pack.h"
#include "kernels/common/tile.h"

namespace dslite::kernels::DSLITE_ISA {

constexpr int64_t kAttendKeys = 96;  // keys of a step at most; a multiple of kTileRows
// Queries whose scores are held at once; a multiple of kTileRows and kTileColumns.
constexpr int64_t kAttendColumns = kTileColumns > 16 ? 96 : 48;
constexpr int64_t kAttendDepth = 192;  // longest chain of a score: a longer one loses precision
static_assert(kAttendKeys % kTileRows == 0 && kAttendColumns % kTileRows == 0 && kAttendColumns % kTileColumns == 0);
constexpr float kLowest = -3.0e38f;

struct AttendQueries {
  int64_t columns;     // queries, padded to a multiple of kWidth
  int64_t depth;       // of q . k, in units
  float* panels;       // [columns / kTileColumns rounded up][depth][kTileColumns]
  float* highest;      // [columns] running maximum of the scaled scores
  float* total;        // [columns] running sum of exp(score - highest)
  float* out;          // [columns rounded up to kTileRows, out_stride] running sum of exp(score - highest) v
  int64_t out_stride;  // value dims padded to a multiple of kTileColumns
};

struct AttendKeys {
  const float* k;  // [count, depth] units; rows up to the next multiple of kTileRows are readable and finite
  int64_t k_stride;
  const float* v;  // [steps of count, out_stride] units
  int64_t v_stride;
  int64_t count;
  int64_t visible;       // query c sees the first visible + c * visible_step keys of the block, at most count
  int64_t visible_step;  // 1: causal; 0: all queries see the same
  RowsAhead ahead;
};

[[maybe_unused]] static void begin_attend(const AttendQueries& q) {
  for (int64_t c = 0; c < q.columns; ++c) q.highest[c] = kLowest, q.total[c] = 0.0f;
  std::memset(q.out, 0, static_cast<size_t>(round_up(q.columns, kTileRows) * q.out_stride) * 4);
}

// Scores of one vector of columns -> units of probabilities in place, one row for each step of keys; rescale =
// exp(old maximum - new maximum).
template <class Elements>
DSLITE_INLINE void online_softmax(float* scores, int64_t keys, float scale, float* highest, float* total,
                                  float* rescale) {
  Float best = splat(kLowest);
  for (int64_t k = 0; k < keys; ++k) best = max(load(scores + k * kAttendColumns), best);
  const Float old = load(highest), now = max(best * splat(scale), old), shift = splat(0) - now;
  Float sum = splat(0);
  for (int64_t k = 0; k < keys; k += Elements::kDepth) {
    Float p[Elements::kDepth];
    for (int64_t d = 0; d < Elements::kDepth; ++d) {
      p[d] = splat(0);
      if (k + d < keys) p[d] = exp(fma(load(scores + (k + d) * kAttendColumns), splat(scale), shift));
      sum = sum + p[d];
    }
    store(scores + k / Elements::kDepth * kAttendColumns, Elements::unit_of(p));
  }
  const Float factor = exp(old - now);
  store(rescale, factor);
  store(total, fma(load(total), factor, sum));
  store(highest, now);
}

// q . k of the queries [column, column + Vectors * kWidth) with keys [first_key, end), in chains of kAttendDepth
// values.
template <class Elements, int Vectors>
DSLITE_INLINE void score_tile(const AttendQueries& q, int64_t column, const AttendKeys& keys, int64_t first_key,
                              int64_t end, float* scores, RowsAhead& ahead) {
  using Multiply = typename Elements::Multiply;
  constexpr int64_t chain = kAttendDepth / Elements::kDepth;
  const float* panel = q.panels + column / kTileColumns * kTileColumns * q.depth + column % kTileColumns;
  for (int64_t k = first_key; k < end; k += kTileRows) {
    float* tile = scores + k * kAttendColumns;
    ahead.call(4);
    for (int64_t d = 0; d < q.depth; d += chain) {
      const TileOperands product{keys.k + k * keys.k_stride + d, keys.k_stride, 1,
                                 panel + d * kTileColumns,       kTileColumns,  smaller(q.depth - d, chain)};
      if (d == 0) {
        tile_store<Multiply, Vectors>(product, tile, kAttendColumns);
      } else {
        tile_add<Multiply, Vectors>(product, tile, kAttendColumns);
      }
    }
  }
}

// scores: [kAttendKeys, kAttendColumns], finite before the first call.
template <class Elements>
void attend(const AttendQueries& q, const AttendKeys& keys, float scale, float* scores) {
  float rescale[kAttendColumns] = {};
  RowsAhead ahead = keys.ahead;
  for (int64_t first = 0; first < q.columns; first += kAttendColumns) {
    const int64_t columns = smaller(q.columns - first, kAttendColumns);
    const auto seen = [&](int64_t column) {
      return larger(0, smaller(keys.count, keys.visible + (first + column) * keys.visible_step));
    };
    const int64_t seen_by_last = seen(columns - 1), last_steps = num_steps(seen_by_last, Elements::kDepth);
    if (seen_by_last == 0) continue;
    for (int64_t c = 0; c < columns; c += kTileColumns) {  // two vectors see some keys together, then one sees more
      const int64_t both = seen(c + kWidth - 1);
      if (c + kWidth == columns) {
        score_tile<Elements, 1>(q, first + c, keys, 0, both, scores + c, ahead);
        continue;
      }
      score_tile<Elements, 2>(q, first + c, keys, 0, both, scores + c, ahead);
      score_tile<Elements, 1>(q, first + c + kWidth, keys, round_up(both, kTileRows), seen(c + kTileColumns - 1),
                              scores + c + kWidth, ahead);
    }
    for (int64_t c = 0; c < columns; c += kWidth) {
      const int64_t num_keys = seen(c + kWidth - 1);
      for (int64_t k = seen(c); k < num_keys; ++k) {
        for (int64_t x = 0; x < kWidth && seen(c + x) <= k; ++x) scores[k * kAttendColumns + c + x] = kLowest;
      }
      online_softmax<Elements>(scores + c, num_keys, scale, q.highest + first + c, q.total + first + c, rescale + c);
      for (int64_t s = num_steps(num_keys, Elements::kDepth); s < last_steps; ++s)
        std::memset(scores + s * kAttendColumns + c, 0, kWidth * 4);
    }
    for (int64_t v = 0; v < q.out_stride; v += kTileColumns) {
      for (int64_t c = 0; c < columns; c += kTileRows) {
        const int64_t steps = num_steps(smaller(seen(c + kTileRows - 1), seen_by_last), Elements::kDepth);
        if (steps == 0) continue;
        tile_scale_add<typename Elements::Multiply>({scores + c, 1, kAttendColumns, keys.v + v, keys.v_stride, steps},
                                                    rescale + c, q.out + (first + c) * q.out_stride + v, q.out_stride);
      }
    }
  }
}

}  // namespace dslite::kernels::DSLITE_ISA
