// Attention backward: one task per (segment, head). Key blocks ascend; for each, the query blocks from the diagonal on;
// dQ of the whole segment stays in the task's fp32 scratch. Keys lie across the lanes of S and dP. Operands are units
// of `Elements` (kernels/common/elements.h), in the two packings that the products need: `rows`, where the sum runs
// along a row, and `steps`, where it runs across rows. With one value a unit the two are the same memory.
#include "kernels/attention/attention.h"
#include "kernels/attention/attention_blocks.h"
#include "kernels/attention/attention_query.h"
#include "kernels/common/pack.h"
#include "kernels/common/tile.h"
#include "kernels/common/typed.h"

namespace dslite::kernels::DSLITE_ISA {
namespace {

constexpr int64_t kKeys = kAttentionKeyBlock, kQueries = kAttentionBackwardQueries;
static_assert(kKeys % kTileRows == 0 && kKeys % kTileColumns == 0 && kQueries % kTileRows == 0);

struct Backward {
  const AttentionShape& shape;
  const AttentionInputs& inputs;
  const AttentionBackward& backward;
  float* d_k_rope;  // [keys, heads, R] partials
  float* thread_scratch;
  int64_t thread_floats;
};

// One (segment, head): n queries, m keys, and the task's scratch. Widths are padded to whole tiles.
template <class Elements>
struct Task {
  using T = typename Elements::Source;
  static constexpr int64_t kDepth = Elements::kDepth;
  static constexpr int64_t kRowKeys = kKeys / kDepth;  // units of a row of d_s

  const Backward& b;
  int64_t head, q_begin, kv_begin, n, m;
  int64_t depth, values, depth_stride, value_stride;
  int64_t depth_units, value_units;      // of a row: strides of `rows` packings
  float *q_rows, *d_out_rows;            // [n, depth_units], [n, value_units]
  float *q_steps, *d_out_steps;          // [n / kDepth, depth_stride], [n / kDepth, value_stride]
  float* d_q;                            // [n, depth_stride]
  float *delta, *lse;                    // [n]
  float *k_steps, *k_panels, *v_panels;  // [kKeys / kDepth, depth_stride], columns = keys
  float *d_k, *d_v;                      // [kKeys, depth_stride], [kKeys, value_stride]
  float *p, *d_s;                        // scores, then steps: [kQueries, kKeys]
  float* d_s_rows;                       // [kQueries, kRowKeys]
  T* k;                                  // [kKeys, depth]

  Task(const Backward& backward, int64_t task, int thread) : b(backward) {
    const AttentionShape& s = b.shape;
    const int64_t segment = task / s.num_heads;
    head = task % s.num_heads;
    q_begin = s.q_offsets[segment], n = s.q_offsets[segment + 1] - q_begin;
    kv_begin = s.kv_offsets[segment], m = s.kv_offsets[segment + 1] - kv_begin;
    depth = s.qk_nope_head_dim + s.qk_rope_head_dim, depth_stride = round_up(depth, kTileColumns);
    values = s.v_head_dim, value_stride = round_up(values, kTileColumns);
    depth_units = kDepth == 1 ? depth_stride : num_steps(depth, kDepth);
    value_units = kDepth == 1 ? value_stride : num_steps(values, kDepth);
    float* next = b.thread_scratch + thread * b.thread_floats;
    const auto take = [&next](int64_t count) {
      float* start = next;
      next += count;
      return start;
    };
    const int64_t rows = round_up(n, kTileRows);
    p = take(kQueries * kKeys), d_s = take(kQueries * kKeys);
    d_s_rows = kDepth == 1 ? d_s : take(kQueries * kRowKeys);
    k_steps = take(kKeys / kDepth * depth_stride), k_panels = take(kKeys * num_steps(depth, kDepth));
    v_panels = take(kKeys * num_steps(values, kDepth));
    d_k = take(kKeys * depth_stride), d_v = take(kKeys * value_stride);
    k = reinterpret_cast<T*>(take(kKeys * depth));
    q_rows = take(rows * depth_units), d_out_rows = take(rows * value_units);
    q_steps = kDepth == 1 ? q_rows : take(rows / kDepth * depth_stride);
    d_out_steps = kDepth == 1 ? d_out_rows : take(rows / kDepth * value_stride);
    d_q = take(rows * depth_stride), delta = take(rows), lse = take(rows);
  }
  int64_t query_row(int64_t i) const { return (q_begin + i) * b.shape.num_heads + head; }
  int64_t key_row(int64_t j) const {
    return ((kv_begin + j) * b.shape.num_heads + head) * (b.shape.qk_nope_head_dim + values);
  }
  const T* d_out(int64_t i) const { return static_cast<const T*>(b.backward.d_out) + query_row(i) * values; }
};

// rowsum(a o b) of stored values, in one fixed order.
template <class T>
float dot(const T* a, const T* b, int64_t count) {
  Float total = splat(0);
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) total = fma(load(a + i), load(b + i), total);
  float rest = sum(total);
  for (; i < count; ++i) rest += value_at(a + i) * value_at(b + i);
  return rest;
}

// Rows that are packed already, n of `width` values, once more as steps; zeros up to whole tiles. Pairs of a row are
// its values.
template <class Elements>
void rows_to_steps(const Task<Elements>& t, const float* rows, int64_t units, int64_t width, float* steps,
                   int64_t stride) {
  if (Elements::kDepth == 1) return;
  const auto row = [&](int64_t i) { return reinterpret_cast<const typename Elements::Source*>(rows + i * units); };
  for (int64_t i = 0; i < round_up(t.n, kTileRows); i += Elements::kDepth) {
    const typename Elements::Source* lines[Elements::kDepth];
    for (int64_t d = 0; d < Elements::kDepth; ++d) lines[d] = row(i + d);
    put_step<Elements>(lines, Elements::kDepth, width, stride, steps + i / Elements::kDepth * stride);
  }
}

// Rotates and packs Q, packs dO; delta = rowsum(dO o).
template <class Elements>
void pack_queries(const Task<Elements>& t) {
  const int64_t padded = round_up(t.n, kTileRows);
  std::memset(t.q_rows, 0, static_cast<size_t>(padded * t.depth_units) * 4);
  std::memset(t.d_out_rows, 0, static_cast<size_t>(padded * t.value_units) * 4);
  for (int64_t i = 0; i < t.n; ++i) {
    rotated_query(t.b.shape, t.b.inputs, t.q_begin + i, t.head, t.k);  // k waits for the first keys
    put_row<Elements>(t.k, t.depth, t.q_rows + i * t.depth_units);
    put_row<Elements>(t.d_out(i), t.values, t.d_out_rows + i * t.value_units);
  }
  rows_to_steps(t, t.q_rows, t.depth_units, t.depth, t.q_steps, t.depth_stride);
  rows_to_steps(t, t.d_out_rows, t.value_units, t.values, t.d_out_steps, t.value_stride);
  for (int64_t i = 0; i < t.n; ++i) {
    const int64_t at = t.query_row(i);
    const auto* out = static_cast<const typename Elements::Source*>(t.b.backward.out) + at * t.values;
    t.delta[i] = dot(t.d_out(i), out, t.values);
    t.lse[i] = t.b.backward.lse[at];
  }
  std::memset(t.d_q, 0, static_cast<size_t>(round_up(t.n, kTileRows) * t.depth_stride) * 4);
}

template <class Elements>
void pack_keys(const Task<Elements>& t, int64_t first, int64_t count) {
  using T = typename Elements::Source;
  const int64_t nope = t.b.shape.qk_nope_head_dim, rope = t.b.shape.qk_rope_head_dim;
  const auto kv = [&](int64_t j) { return static_cast<const T*>(t.b.inputs.kv) + t.key_row(first + j); };
  for (int64_t j = 0; j < count; ++j) {
    std::memcpy(t.k + j * t.depth, kv(j), static_cast<size_t>(nope) * sizeof(T));
    std::memcpy(t.k + j * t.depth + nope, static_cast<const T*>(t.b.inputs.k_rope) + (t.kv_begin + first + j) * rope,
                static_cast<size_t>(rope) * sizeof(T));
  }
  const int64_t depth_steps = num_steps(t.depth, Elements::kDepth), value_steps = num_steps(t.values, Elements::kDepth);
  for (int64_t j = 0; j < round_up(count, kTileColumns); j += kWidth) {
    const T *k_rows[kWidth] = {}, *v_rows[kWidth] = {};
    int64_t rows = 0;
    for (; rows < kWidth && j + rows < count; ++rows)
      k_rows[rows] = t.k + (j + rows) * t.depth, v_rows[rows] = kv(j + rows) + nope;
    const int64_t panel = j / kTileColumns * kTileColumns;
    put_rows_as_columns<Elements>(k_rows, rows, t.depth, t.k_panels + panel * depth_steps + j - panel, kTileColumns);
    put_rows_as_columns<Elements>(v_rows, rows, t.values, t.v_panels + panel * value_steps + j - panel, kTileColumns);
  }
  for (int64_t j = 0; j < count; j += Elements::kDepth) {
    const T* lines[Elements::kDepth];
    for (int64_t d = 0; d < Elements::kDepth; ++d) lines[d] = t.k + smaller(j + d, count - 1) * t.depth;
    put_step<Elements>(lines, count - j, t.depth, t.depth_stride, t.k_steps + j / Elements::kDepth * t.depth_stride);
  }
  std::memset(t.d_k, 0, static_cast<size_t>(kKeys * t.depth_stride) * 4);
  std::memset(t.d_v, 0, static_cast<size_t>(kKeys * t.value_stride) * 4);
}

// S = q k^T into p, dP = dO v^T into d_s, of the tiles that hold a pair which is seen.
template <class Elements>
void score_products(const Task<Elements>& t, int64_t first, int64_t queries, int64_t keys, int64_t seen) {
  using Multiply = typename Elements::Multiply;
  const int64_t depth = num_steps(t.depth, Elements::kDepth), values = num_steps(t.values, Elements::kDepth);
  for (int64_t i = 0; i < queries; i += kTileRows) {
    const int64_t seen_by_last = smaller(keys, seen + i + kTileRows - 1);
    for (int64_t c = 0; c < seen_by_last; c += kTileColumns) {
      tile_store<Multiply>(
          {t.q_rows + (first + i) * t.depth_units, t.depth_units, 1, t.k_panels + c * depth, kTileColumns, depth},
          t.p + i * kKeys + c, kKeys);
      tile_store<Multiply>(
          {t.d_out_rows + (first + i) * t.value_units, t.value_units, 1, t.v_panels + c * values, kTileColumns, values},
          t.d_s + i * kKeys + c, kKeys);
    }
  }
}

// p = exp(scale S - lse) and d_s = scale p (dP - delta) of queries [first, first + queries) against the packed keys;
// exact zeros where a query does not see a key. `seen`: keys of the block that query `first` sees, may be negative;
// each next query sees one more. Row i / kDepth takes the units of kDepth queries.
template <class Elements>
void probabilities(const Task<Elements>& t, int64_t first, int64_t queries, int64_t keys, int64_t seen) {
  constexpr int64_t kDepth = Elements::kDepth;
  const Float scale = splat(t.b.shape.scale);
  for (int64_t i = 0; i < queries; i += kDepth) {
    float *p_steps = t.p + i / kDepth * kKeys, *d_s_steps = t.d_s + i / kDepth * kKeys;
    const int64_t most = larger(0, smaller(keys, seen + smaller(i + kDepth, queries) - 1));
    for (int64_t c = 0; c < most; c += kWidth) {
      Float p[kDepth], d_s[kDepth];
      for (int64_t d = 0; d < kDepth; ++d) {
        p[d] = d_s[d] = splat(0);
        const int64_t visible = smaller(keys, seen + i + d) - c;
        if (i + d >= queries || visible <= 0) continue;
        const int64_t at = (i + d) * kKeys + c;
        const Float probability = exp(fma(load(t.p + at), scale, splat(-t.lse[first + i + d])));
        p[d] = keep_first(probability, visible);
        d_s[d] = keep_first(scale * probability * (load(t.d_s + at) - splat(t.delta[first + i + d])), visible);
        if (kDepth > 1) Elements::put_lanes(d_s[d], t.d_s_rows + (i + d) * t.kRowKeys, c);
      }
      store(p_steps + c, Elements::unit_of(p));
      store(d_s_steps + c, Elements::unit_of(d_s));
    }
    const int64_t done = round_up(most, kWidth);
    std::memset(p_steps + done, 0, static_cast<size_t>(kKeys - done) * 4);
    std::memset(d_s_steps + done, 0, static_cast<size_t>(kKeys - done) * 4);
  }
}

// dV += P^T dO, dK += dS^T Q, dQ += dS K.
template <class Elements>
void accumulate(const Task<Elements>& t, int64_t first, int64_t queries, int64_t keys, int64_t seen) {
  using Multiply = typename Elements::Multiply;
  constexpr int64_t kDepth = Elements::kDepth;
  for (int64_t j = 0; j < keys; j += kTileRows) {
    const int64_t skipped = larger(0, j + 1 - seen) / kDepth,  // steps before the first query that sees key j
        depth = num_steps(queries, kDepth) - skipped;
    if (depth <= 0) break;
    const float *p = t.p + skipped * kKeys + j, *d_s = t.d_s + skipped * kKeys + j;
    const int64_t step = first / kDepth + skipped;
    const float *d_out = t.d_out_steps + step * t.value_stride, *q = t.q_steps + step * t.depth_stride;
    for (int64_t c = 0; c < t.value_stride; c += kTileColumns)
      tile_add<Multiply>({p, 1, kKeys, d_out + c, t.value_stride, depth}, t.d_v + j * t.value_stride + c,
                         t.value_stride);
    for (int64_t c = 0; c < t.depth_stride; c += kTileColumns)
      tile_add<Multiply>({d_s, 1, kKeys, q + c, t.depth_stride, depth}, t.d_k + j * t.depth_stride + c, t.depth_stride);
  }
  for (int64_t c = 0; c < t.depth_stride; c += kTileColumns) {
    for (int64_t i = 0; i < queries; i += kTileRows) {
      const int64_t visible = smaller(keys, seen + i + kTileRows - 1);
      if (visible <= 0) continue;
      tile_add<Multiply>(
          {t.d_s_rows + i * t.kRowKeys, t.kRowKeys, 1, t.k_steps + c, t.depth_stride, num_steps(visible, kDepth)},
          t.d_q + (first + i) * t.depth_stride + c, t.depth_stride);
    }
  }
}

template <class Elements>
void write_keys(const Task<Elements>& t, int64_t first, int64_t count) {
  const int64_t nope = t.b.shape.qk_nope_head_dim, rope = t.b.shape.qk_rope_head_dim;
  for (int64_t j = 0; j < count; ++j) {
    narrow_row(t.d_k + j * t.depth_stride, nope, t.b.backward.d_kv, t.b.inputs.dtype, t.key_row(first + j));
    narrow_row(t.d_v + j * t.value_stride, t.values, t.b.backward.d_kv, t.b.inputs.dtype, t.key_row(first + j) + nope);
    std::memcpy(t.b.d_k_rope + ((t.kv_begin + first + j) * t.b.shape.num_heads + t.head) * rope,
                t.d_k + j * t.depth_stride + nope, static_cast<size_t>(rope) * 4);
  }
}

template <class Elements>
void write_queries(const Task<Elements>& t) {
  const int64_t nope = t.b.shape.qk_nope_head_dim, rope = t.b.shape.qk_rope_head_dim;
  const RopeAngles& table = t.b.inputs.rope;
  for (int64_t i = 0; i < t.n; ++i) {
    float* row = t.d_q + i * t.depth_stride;
    rotate_row(row + nope, rope, angle_at(table, table.positions, t.q_begin + i, rope, -1), row + nope);
    narrow_row(row, t.depth, t.b.backward.d_q, t.b.inputs.dtype, t.query_row(i) * t.depth);
  }
}

template <class Elements>
void backward_task(void* state, int64_t number, int thread) {
  const Task<Elements> t(*static_cast<const Backward*>(state), number, thread);
  pack_queries(t);
  for (int64_t key = 0; key < t.m; key += kKeys) {
    const int64_t keys = smaller(t.m - key, kKeys);
    pack_keys(t, key, keys);
    const int64_t first_query = larger(0, key - (t.m - t.n)) / kQueries * kQueries;  // query i sees keys 0 .. m - n + i
    for (int64_t i = first_query; i < t.n; i += kQueries) {
      const int64_t queries = smaller(t.n - i, kQueries), seen = t.m - t.n + i + 1 - key;
      if (Elements::kDepth > 1) std::memset(t.d_s_rows, 0, static_cast<size_t>(kQueries * t.kRowKeys) * 4);
      score_products(t, i, queries, keys, seen);
      probabilities(t, i, queries, keys, seen);
      accumulate(t, i, queries, keys, seen);
    }
    write_keys(t, key, keys);
  }
  write_queries(t);
}

constexpr int64_t kSumKeys = 64;

// d_k_rope = the heads' partials in their order, rotated back.
void sum_heads(void* state, int64_t task, int) {
  const auto& b = *static_cast<const Backward*>(state);
  const int64_t rope = b.shape.qk_rope_head_dim, end = smaller(b.shape.num_keys, (task + 1) * kSumKeys);
  for (int64_t j = task * kSumKeys; j < end; ++j) {
    float* total = b.d_k_rope + j * b.shape.num_heads * rope;
    for (int64_t h = 1; h < b.shape.num_heads; ++h) {
      for (int64_t d = 0; d < rope; ++d) total[d] += total[h * rope + d];
    }
    rotate_row(total, rope, angle_at(b.inputs.rope, b.backward.key_positions, j, rope, -1), total);
    narrow_row(total, rope, b.backward.d_k_rope, b.inputs.dtype, j * b.backward.d_k_rope_row_stride);
  }
}

}  // namespace

void attention_backward(const Context& context, const AttentionShape& shape, const AttentionInputs& inputs,
                        const AttentionBackward& backward) {
  const int64_t partial_bytes = round_up(shape.num_keys * shape.num_heads * shape.qk_rope_head_dim * 4, 64);
  Backward state{shape,
                 inputs,
                 backward,
                 static_cast<float*>(context.scratch),
                 reinterpret_cast<float*>(static_cast<char*>(context.scratch) + partial_bytes),
                 attention_backward_thread_floats(shape)};
  context.parallel_for(
      shape.num_segments * shape.num_heads,
      inputs.dtype == DType::kFloat32 ? &backward_task<WidenedElements<float>> : &backward_task<Bf16Elements>, &state);
  context.parallel_for((shape.num_keys + kSumKeys - 1) / kSumKeys, sum_heads, &state);
}

}  // namespace dslite::kernels::DSLITE_ISA
