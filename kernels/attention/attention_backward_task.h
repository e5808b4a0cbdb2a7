// Inside of attention backward: what a task of one (segment, head) holds, how it packs its operands and writes its
// gradients. Operands are units of `Elements` (kernels/common/elements.h), in the two packings that the products need:
// `rows`, where the sum runs along a row, and `steps`, where it runs across rows. With one value a unit the two are the
// same memory. For attention_backward_cpu.cpp only.
#pragma once
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
  int64_t nope() const { return b.shape.qk_nope_head_dim; }
  int64_t rope() const { return b.shape.qk_rope_head_dim; }
  int64_t query_row(int64_t i) const { return (q_begin + i) * b.shape.num_heads + head; }
  int64_t key_row(int64_t j) const { return ((kv_begin + j) * b.shape.num_heads + head) * (nope() + values); }
  const T* q(int64_t i) const { return query_at<T>(b.shape, b.inputs, q_begin + i, head); }
  const T* kv(int64_t j) const { return static_cast<const T*>(b.inputs.kv) + key_row(j); }
  const T* out(int64_t i) const { return static_cast<const T*>(b.backward.out) + query_row(i) * values; }
  const T* d_out(int64_t i) const { return static_cast<const T*>(b.backward.d_out) + query_row(i) * values; }
  T* d_q_row(int64_t i) const { return static_cast<T*>(b.backward.d_q) + query_row(i) * depth; }
  T* d_kv(int64_t j) const { return static_cast<T*>(b.backward.d_kv) + key_row(j); }
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

// Rotates and packs Q, packs dO; delta = rowsum(dO o). Zeros up to whole tiles of queries.
template <class Elements>
void pack_queries(const Task<Elements>& t) {
  using T = typename Elements::Source;
  const int64_t padded = round_up(t.n, kTileRows);
  std::memset(t.q_rows, 0, static_cast<size_t>(padded * t.depth_units) * 4);
  std::memset(t.d_out_rows, 0, static_cast<size_t>(padded * t.value_units) * 4);
  std::memset(t.d_q, 0, static_cast<size_t>(padded * t.depth_stride) * 4);
  for (int64_t i = 0; i < t.n; ++i) {
    const int64_t soon = smaller(i + kRowsAhead, t.n - 1);
    call_row(t.q(soon), t.depth), call_row(t.d_out(soon), t.values), call_row(t.out(soon), t.values);
    rotated_query(t.b.shape, t.b.inputs, t.q_begin + i, t.head, t.k);  // k waits for the first keys
    put_row<Elements>(t.k, t.depth, t.q_rows + i * t.depth_units);
    put_row<Elements>(t.d_out(i), t.values, t.d_out_rows + i * t.value_units);
    t.delta[i] = dot(t.d_out(i), t.out(i), t.values);
    t.lse[i] = t.b.backward.lse[t.query_row(i)];
  }
  if (Elements::kDepth == 1) return;
  const auto values_of = [](const float* units) { return reinterpret_cast<const T*>(units); };  // pairs lie as values
  put_steps<Elements>([&](int64_t i) { return values_of(t.q_rows + i * t.depth_units); }, padded, t.depth,
                      t.depth_stride, t.q_steps);
  put_steps<Elements>([&](int64_t i) { return values_of(t.d_out_rows + i * t.value_units); }, padded, t.values,
                      t.value_stride, t.d_out_steps);
}

template <class Elements>
void pack_keys(const Task<Elements>& t, int64_t first, int64_t count) {
  using T = typename Elements::Source;
  const int64_t nope = t.nope(), rope = t.rope();
  for (int64_t j = 0; j < count; ++j) {
    call_row(t.kv(first + smaller(j + kRowsAhead, count - 1)), nope + t.values);
    std::memcpy(t.k + j * t.depth, t.kv(first + j), static_cast<size_t>(nope) * sizeof(T));
    std::memcpy(t.k + j * t.depth + nope, static_cast<const T*>(t.b.inputs.k_rope) + (t.kv_begin + first + j) * rope,
                static_cast<size_t>(rope) * sizeof(T));
  }
  const auto key = [&](int64_t j) { return t.k + j * t.depth; };
  put_panels<Elements>(key, count, t.depth, kTileColumns, t.k_panels);
  put_panels<Elements>([&](int64_t j) { return t.kv(first + j) + nope; }, count, t.values, kTileColumns, t.v_panels);
  put_steps<Elements>(key, count, t.depth, t.depth_stride, t.k_steps);
  std::memset(t.d_k, 0, static_cast<size_t>(kKeys * t.depth_stride) * 4);
  std::memset(t.d_v, 0, static_cast<size_t>(kKeys * t.value_stride) * 4);
}

template <class Elements>
void write_keys(const Task<Elements>& t, int64_t first, int64_t count) {
  const int64_t nope = t.nope(), rope = t.rope();
  for (int64_t j = 0; j < count; ++j) {
    const float* d_k = t.d_k + j * t.depth_stride;
    narrow_row(d_k, nope, t.d_kv(first + j), t.b.inputs.dtype, 0);
    narrow_row(t.d_v + j * t.value_stride, t.values, t.d_kv(first + j), t.b.inputs.dtype, nope);
    std::memcpy(t.b.d_k_rope + ((t.kv_begin + first + j) * t.b.shape.num_heads + t.head) * rope, d_k + nope,
                static_cast<size_t>(rope) * 4);
  }
}

// Rotates back and writes dQ.
template <class Elements>
void write_queries(const Task<Elements>& t) {
  const RopeAngles& table = t.b.inputs.rope;
  for (int64_t i = 0; i < t.n; ++i) {
    call_row(t.d_q_row(smaller(i + kRowsAhead, t.n - 1)), t.depth);
    float* row = t.d_q + i * t.depth_stride;
    const Angle back = angle_at(table, table.positions, t.q_begin + i, t.rope(), -1);
    rotate_row(row + t.nope(), t.rope(), back, row + t.nope());
    narrow_row(row, t.depth, t.d_q_row(i), t.b.inputs.dtype, 0);
  }
}

}  // namespace
}  // namespace dslite::kernels::DSLITE_ISA
