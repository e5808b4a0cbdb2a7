// Attention backward: one task per (segment, head). Key blocks ascend; for each, the query blocks from the diagonal on;
// dQ of the whole segment stays in the task's fp32 scratch. Keys lie across the lanes of S and dP, so that only a key
// block is packed in columns and Q, dO are plain rows.
#include "kernels/attention/attention.h"
#include "kernels/attention/attention_blocks.h"
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
struct Task {
  const Backward& b;
  int64_t head, q_begin, kv_begin, n, m;
  int64_t depth, values, depth_stride, value_stride;
  float *q, *d_out, *d_q;          // [n, depth_stride], [n, value_stride], [n, depth_stride]
  float *delta, *lse;              // [n]
  float *k, *k_panels, *v_panels;  // [kKeys, depth_stride], columns = keys
  float *d_k, *d_v;                // [kKeys, depth_stride], [kKeys, value_stride]
  float *p, *d_s;                  // [kQueries, kKeys]
  float* row;

  Task(const Backward& backward, int64_t task, int thread) : b(backward) {
    const AttentionShape& s = b.shape;
    const int64_t segment = task / s.num_heads;
    head = task % s.num_heads;
    q_begin = s.q_offsets[segment], n = s.q_offsets[segment + 1] - q_begin;
    kv_begin = s.kv_offsets[segment], m = s.kv_offsets[segment + 1] - kv_begin;
    depth = s.qk_nope_head_dim + s.qk_rope_head_dim, depth_stride = round_up(depth, kTileColumns);
    values = s.v_head_dim, value_stride = round_up(values, kTileColumns);
    float* next = b.thread_scratch + thread * b.thread_floats;
    const auto take = [&next](int64_t count) {
      float* start = next;
      next += count;
      return start;
    };
    const int64_t rows = round_up(n, kTileRows);
    p = take(kQueries * kKeys), d_s = take(kQueries * kKeys);
    k = take(kKeys * depth_stride), k_panels = take(kKeys * depth_stride), v_panels = take(kKeys * value_stride);
    d_k = take(kKeys * depth_stride), d_v = take(kKeys * value_stride);
    row = take(depth_stride + value_stride);
    q = take(rows * depth_stride), d_out = take(rows * value_stride), d_q = take(rows * depth_stride);
    delta = take(rows), lse = take(rows);
  }
  int64_t query_row(int64_t i) const { return (q_begin + i) * b.shape.num_heads + head; }
  int64_t key_row(int64_t j) const {
    return ((kv_begin + j) * b.shape.num_heads + head) * (b.shape.qk_nope_head_dim + values);
  }
};

// Widens Q and dO, delta = rowsum(dO o).
void pack_queries(const Task& t) {
  const DType dtype = t.b.inputs.dtype;
  for (int64_t i = 0; i < t.n; ++i) {
    const int64_t at = t.query_row(i);
    float* d_out = t.d_out + i * t.value_stride;
    widen_row(t.b.inputs.q, dtype, at * t.depth, t.depth, t.depth_stride, t.q + i * t.depth_stride);
    widen_row(t.b.backward.d_out, dtype, at * t.values, t.values, t.value_stride, d_out);
    widen_row(t.b.backward.out, dtype, at * t.values, t.values, t.value_stride, t.row);
    Float total = splat(0);
    for (int64_t v = 0; v < t.value_stride; v += kWidth) total = fma(load(d_out + v), load(t.row + v), total);
    t.delta[i] = sum(total);
    t.lse[i] = t.b.backward.lse[at];
  }
  const int64_t padding = round_up(t.n, kTileRows) - t.n;
  std::memset(t.q + t.n * t.depth_stride, 0, static_cast<size_t>(padding * t.depth_stride) * 4);
  std::memset(t.d_out + t.n * t.value_stride, 0, static_cast<size_t>(padding * t.value_stride) * 4);
  std::memset(t.d_q, 0, static_cast<size_t>((t.n + padding) * t.depth_stride) * 4);
}

void pack_keys(const Task& t, int64_t first, int64_t count) {
  const DType dtype = t.b.inputs.dtype;
  const int64_t nope = t.b.shape.qk_nope_head_dim, rope = t.b.shape.qk_rope_head_dim;
  for (int64_t j = 0; j < round_up(count, kTileColumns); ++j) {
    float* k = t.k + j * t.depth_stride;
    if (j < count) {
      widen_row(t.b.inputs.kv, dtype, t.key_row(first + j), nope, nope, k);
      widen_row(t.b.inputs.k_rope, dtype, (t.kv_begin + first + j) * rope, rope, t.depth_stride - nope, k + nope);
      widen_row(t.b.inputs.kv, dtype, t.key_row(first + j) + nope, t.values, t.value_stride, t.row);
    }
    put_column(j < count ? k : nullptr, t.depth, j, t.k_panels);
    put_column(j < count ? t.row : nullptr, t.values, j, t.v_panels);
  }
  std::memset(t.d_k, 0, static_cast<size_t>(kKeys * t.depth_stride) * 4);
  std::memset(t.d_v, 0, static_cast<size_t>(kKeys * t.value_stride) * 4);
}

// p = exp(scale S - lse) and d_s = scale p (dP - delta) of queries [first, first + queries) against the packed keys;
// exact zeros where a query does not see a key. `seen`: keys of the block that query `first` sees, may be negative;
// each next query sees one more.
void probabilities(const Task& t, int64_t first, int64_t queries, int64_t keys, int64_t seen) {
  for (int64_t i = 0; i < queries; i += kTileRows) {
    const int64_t seen_by_last = smaller(keys, seen + i + kTileRows - 1);
    for (int64_t c = 0; c < seen_by_last; c += kTileColumns) {
      tile_store(
          {t.q + (first + i) * t.depth_stride, t.depth_stride, 1, t.k_panels + c * t.depth, kTileColumns, t.depth},
          t.p + i * kKeys + c, kKeys);
      tile_store({t.d_out + (first + i) * t.value_stride, t.value_stride, 1, t.v_panels + c * t.values, kTileColumns,
                  t.values},
                 t.d_s + i * kKeys + c, kKeys);
    }
  }
  const Float scale = splat(t.b.shape.scale);
  for (int64_t i = 0; i < queries; ++i) {
    float *p = t.p + i * kKeys, *d_s = t.d_s + i * kKeys;
    const Float lse = splat(t.lse[first + i]), delta = splat(t.delta[first + i]);
    const int64_t visible = larger(0, smaller(keys, seen + i));
    for (int64_t c = 0; c < visible; c += kWidth) {
      const Float probability = exp(load(p + c) * scale - lse);
      store(p + c, probability);
      store(d_s + c, scale * probability * (load(d_s + c) - delta));
    }
    std::memset(p + visible, 0, static_cast<size_t>(kKeys - visible) * 4);
    std::memset(d_s + visible, 0, static_cast<size_t>(kKeys - visible) * 4);
  }
}

// dV += P^T dO, dK += dS^T Q, dQ += dS K.
void accumulate(const Task& t, int64_t first, int64_t queries, int64_t keys, int64_t seen) {
  for (int64_t j = 0; j < keys; j += kTileRows) {
    const int64_t skipped = larger(0, j + 1 - seen),
                  depth = queries - skipped;  // queries before the first that sees key j
    if (depth <= 0) break;
    const float *p = t.p + skipped * kKeys + j, *d_s = t.d_s + skipped * kKeys + j;
    const float *d_out = t.d_out + (first + skipped) * t.value_stride, *q = t.q + (first + skipped) * t.depth_stride;
    for (int64_t c = 0; c < t.value_stride; c += kTileColumns)
      tile_add({p, 1, kKeys, d_out + c, t.value_stride, depth}, t.d_v + j * t.value_stride + c, t.value_stride);
    for (int64_t c = 0; c < t.depth_stride; c += kTileColumns)
      tile_add({d_s, 1, kKeys, q + c, t.depth_stride, depth}, t.d_k + j * t.depth_stride + c, t.depth_stride);
  }
  for (int64_t c = 0; c < t.depth_stride; c += kTileColumns) {
    for (int64_t i = 0; i < queries; i += kTileRows) {
      const int64_t visible = smaller(keys, seen + i + kTileRows - 1);
      if (visible <= 0) continue;
      tile_add({t.d_s + i * kKeys, kKeys, 1, t.k + c, t.depth_stride, visible},
               t.d_q + (first + i) * t.depth_stride + c, t.depth_stride);
    }
  }
}

void write_keys(const Task& t, int64_t first, int64_t count) {
  const int64_t nope = t.b.shape.qk_nope_head_dim, rope = t.b.shape.qk_rope_head_dim;
  for (int64_t j = 0; j < count; ++j) {
    narrow_row(t.d_k + j * t.depth_stride, nope, t.b.backward.d_kv, t.b.inputs.dtype, t.key_row(first + j));
    narrow_row(t.d_v + j * t.value_stride, t.values, t.b.backward.d_kv, t.b.inputs.dtype, t.key_row(first + j) + nope);
    std::memcpy(t.b.d_k_rope + ((t.kv_begin + first + j) * t.b.shape.num_heads + t.head) * rope,
                t.d_k + j * t.depth_stride + nope, static_cast<size_t>(rope) * 4);
  }
}

void backward_task(void* state, int64_t number, int thread) {
  const Task t(*static_cast<const Backward*>(state), number, thread);
  pack_queries(t);
  for (int64_t key = 0; key < t.m; key += kKeys) {
    const int64_t keys = smaller(t.m - key, kKeys);
    pack_keys(t, key, keys);
    const int64_t first_query = larger(0, key - (t.m - t.n)) / kQueries * kQueries;  // query i sees keys 0 .. m - n + i
    for (int64_t i = first_query; i < t.n; i += kQueries) {
      const int64_t queries = smaller(t.n - i, kQueries), seen = t.m - t.n + i + 1 - key;
      probabilities(t, i, queries, keys, seen);
      accumulate(t, i, queries, keys, seen);
    }
    write_keys(t, key, keys);
  }
  for (int64_t i = 0; i < t.n; ++i)
    narrow_row(t.d_q + i * t.depth_stride, t.depth, t.b.backward.d_q, t.b.inputs.dtype, t.query_row(i) * t.depth);
}

constexpr int64_t kSumKeys = 64;

// d_k_rope = the heads' partials in their order.
void sum_heads(void* state, int64_t task, int) {
  const auto& b = *static_cast<const Backward*>(state);
  const int64_t rope = b.shape.qk_rope_head_dim, end = smaller(b.shape.num_keys, (task + 1) * kSumKeys);
  for (int64_t j = task * kSumKeys; j < end; ++j) {
    float* total = b.d_k_rope + j * b.shape.num_heads * rope;
    for (int64_t h = 1; h < b.shape.num_heads; ++h) {
      for (int64_t d = 0; d < rope; ++d) total[d] += total[h * rope + d];
    }
    narrow_row(total, rope, b.backward.d_k_rope, b.inputs.dtype, j * rope);
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
  context.parallel_for(shape.num_segments * shape.num_heads, backward_task, &state);
  context.parallel_for((shape.num_keys + kSumKeys - 1) / kSumKeys, sum_heads, &state);
}

}  // namespace dslite::kernels::DSLITE_ISA
