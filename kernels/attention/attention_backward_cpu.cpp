// Attention backward: one task per (segment, head). Key blocks ascend; for each, the query blocks from the diagonal on;
// dQ of the whole segment stays in the task's fp32 scratch. Keys lie across the lanes of S and dP.
#include "kernels/attention/attention_backward_task.h"

namespace dslite::kernels::DSLITE_ISA {
namespace {

// Queries (x.a) against a panel of keys: the tiles of columns [c, c + kTileColumns) that hold a pair which is seen.
template <class Multiply>
void score_columns(TileOperands x, int64_t queries, int64_t keys, int64_t seen, int64_t c, float* scores) {
  for (int64_t i = 0; i < queries; i += kTileRows, x.a += kTileRows * x.a_row) {
    const int64_t seen_by_last = smaller(keys, seen + i + kTileRows - 1) - c;
    if (seen_by_last > kWidth) {
      tile_store<Multiply>(x, scores + i * kKeys + c, kKeys);
    } else if (seen_by_last > 0) {
      tile_store<Multiply, 1>(x, scores + i * kKeys + c, kKeys);
    }
  }
}

// S = q k^T into p, dP = dO v^T into d_s.
template <class Elements>
void score_products(const Task<Elements>& t, int64_t first, int64_t queries, int64_t keys, int64_t seen) {
  using Multiply = typename Elements::Multiply;
  const int64_t depth = num_steps(t.depth, Elements::kDepth), values = num_steps(t.values, Elements::kDepth);
  const float *q = t.q_rows + first * t.depth_units, *d_out = t.d_out_rows + first * t.value_units;
  for (int64_t c = 0; c < keys; c += kTileColumns) {
    score_columns<Multiply>({q, t.depth_units, 1, t.k_panels + c * depth, kTileColumns, depth}, queries, keys, seen, c,
                            t.p);
    score_columns<Multiply>({d_out, t.value_units, 1, t.v_panels + c * values, kTileColumns, values}, queries, keys,
                            seen, c, t.d_s);
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

// One tile's columns of sums over the queries: out[key] += sum of weights[query, key] * steps[query].
template <class Elements>
void add_to_keys(const float* weights, const float* steps, int64_t stride, int64_t queries, int64_t keys, int64_t seen,
                 float* out) {
  for (int64_t j = 0; j < keys; j += kTileRows) {
    const int64_t skipped = larger(0, j + 1 - seen) / Elements::kDepth,  // steps before the first query that sees key j
        depth = num_steps(queries, Elements::kDepth) - skipped;
    if (depth <= 0) return;
    tile_add<typename Elements::Multiply>(
        {weights + skipped * kKeys + j, 1, kKeys, steps + skipped * stride, stride, depth}, out + j * stride, stride);
  }
}

// dV += P^T dO, dK += dS^T Q, dQ += dS K.
template <class Elements>
void accumulate(const Task<Elements>& t, int64_t first, int64_t queries, int64_t keys, int64_t seen) {
  using Multiply = typename Elements::Multiply;
  constexpr int64_t kDepth = Elements::kDepth;
  for (int64_t c = 0; c < t.value_stride; c += kTileColumns)
    add_to_keys<Elements>(t.p, t.d_out_steps + first / kDepth * t.value_stride + c, t.value_stride, queries, keys, seen,
                          t.d_v + c);
  for (int64_t c = 0; c < t.depth_stride; c += kTileColumns)
    add_to_keys<Elements>(t.d_s, t.q_steps + first / kDepth * t.depth_stride + c, t.depth_stride, queries, keys, seen,
                          t.d_k + c);
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
