// Attention forward: one task per (segment, head, 384 queries). The block's Q is rotated and packed once, each block of
// 96 keys is packed for all of its queries.
#include "kernels/attention/attention.h"
#include "kernels/attention/attention_blocks.h"
#include "kernels/attention/attention_query.h"
#include "kernels/common/attend.h"
#include "kernels/common/typed.h"

namespace dslite::kernels::DSLITE_ISA {
namespace {

static_assert(kAttendKeys == kAttentionKeyBlock && kAttendColumns <= kAttentionColumns);

struct Forward {
  const AttentionShape& shape;
  const AttentionInputs& inputs;
  void* out;
  float* lse;
  const int64_t* first_task;  // [segments + 1]
  float* thread_scratch;      // [threads, thread_floats]
  int64_t thread_floats;
};

struct Scratch {
  AttendQueries queries;
  float *k, *v, *scores;
  Scratch(float* p, const AttentionShape& shape, int64_t elements_depth) {
    const int64_t depth = num_steps(shape.qk_nope_head_dim + shape.qk_rope_head_dim, elements_depth),
                  values = round_up(shape.v_head_dim, kTileColumns);
    const auto take = [&p](int64_t count) {
      float* start = p;
      p += count;
      return start;
    };
    queries = {.columns = 0,
               .depth = depth,
               .panels = take(kAttentionQueryBlock * depth),
               .highest = take(kAttentionQueryBlock),
               .total = take(kAttentionQueryBlock),
               .out = take(kAttentionQueryBlock * values),
               .out_stride = values};
    scores = take(kAttendKeys * kAttendColumns);
    v = take(kAttendKeys * values);
    k = take(kAttendKeys * depth);
  }
};

template <class Elements>
void pack_queries(const Forward& f, int64_t first, int64_t count, int64_t head, Scratch& scratch) {
  using T = typename Elements::Source;
  const int64_t depth = f.shape.qk_nope_head_dim + f.shape.qk_rope_head_dim;
  T* rotated = reinterpret_cast<T*>(scratch.k);  // kWidth rows at a time, before there are keys
  static_assert(kWidth * sizeof(T) <= kAttendKeys * 4 / Elements::kDepth);
  const auto row = [&](int64_t i) {
    call_row(query_at<T>(f.shape, f.inputs, first + smaller(i + kRowsAhead, count - 1), head), depth);
    T* out = rotated + i % kWidth * depth;
    rotated_query(f.shape, f.inputs, first + i, head, out);
    return out;
  };
  scratch.queries.columns = round_up(count, kWidth);
  put_panels<Elements>(row, count, depth, kTileColumns, scratch.queries.panels);
}

template <class Elements>
void pack_keys(const Forward& f, int64_t first, int64_t count, int64_t head, Scratch& scratch) {
  using T = typename Elements::Source;
  const AttentionShape& s = f.shape;
  const int64_t nope = s.qk_nope_head_dim, rope = s.qk_rope_head_dim, stride = scratch.queries.depth;
  const auto kv_row = [&](int64_t i) {
    return static_cast<const T*>(f.inputs.kv) + ((first + i) * s.num_heads + head) * (nope + s.v_head_dim);
  };
  for (int64_t i = 0; i < count; ++i) {
    float* k = scratch.k + i * stride;
    Elements::put_values(kv_row(i), nope, k, 0);
    Elements::put_values(static_cast<const T*>(f.inputs.k_rope) + (first + i) * rope, rope, k, nope);
    Elements::end_row(k, nope + rope);
  }
  const int64_t padded = round_up(count, kTileRows);
  std::memset(scratch.k + count * stride, 0, static_cast<size_t>((padded - count) * stride) * 4);
  put_steps<Elements>([&](int64_t i) { return kv_row(i) + nope; }, count, s.v_head_dim, scratch.queries.out_stride,
                      scratch.v);
}

// The block of keys after this one.
template <class Elements>
RowsAhead rows_ahead(const Forward& f, int64_t first, int64_t left, int64_t head) {
  const int64_t bytes = sizeof(typename Elements::Source), width = f.shape.qk_nope_head_dim + f.shape.v_head_dim;
  return {.row = static_cast<const char*>(f.inputs.kv) + (first * f.shape.num_heads + head) * width * bytes,
          .row_bytes = width * bytes,
          .row_stride_bytes = f.shape.num_heads * width * bytes,
          .num_rows = smaller(left, kAttendKeys)};
}

void write_rows(const Forward& f, int64_t first, int64_t count, int64_t head, const AttendQueries& q) {
  const int64_t values = f.shape.v_head_dim;
  for (int64_t c = 0; c < count; ++c) {
    const float* row = q.out + c * q.out_stride;
    const Float inverse = splat(1.0f) / splat(q.total[c]);
    const int64_t at = (first + c) * f.shape.num_heads + head;
    int64_t v = 0;
    for (; v + kWidth <= values; v += kWidth)
      store_typed(f.out, f.inputs.dtype, at * values + v, load(row + v) * inverse);
    if (v < values) store_part(f.out, f.inputs.dtype, at * values + v, values - v, load(row + v) * inverse);
    if (f.lse) f.lse[at] = q.highest[c] + __builtin_logf(q.total[c]);
  }
}

int64_t num_query_blocks(const AttentionShape& shape, int64_t segment) {
  return (shape.q_offsets[segment + 1] - shape.q_offsets[segment] + kAttentionQueryBlock - 1) / kAttentionQueryBlock;
}

template <class Elements>
void forward_task(void* state, int64_t task, int thread) {
  const auto& f = *static_cast<const Forward*>(state);
  int64_t segment = 0, above = f.shape.num_segments;  // the segment whose tasks hold `task`
  while (above - segment > 1) {
    const int64_t middle = (segment + above) / 2;
    (f.first_task[middle] <= task ? segment : above) = middle;
  }
  const int64_t blocks = num_query_blocks(f.shape, segment), local = task - f.first_task[segment];
  const int64_t head = local % f.shape.num_heads,
                block = blocks - 1 - local / f.shape.num_heads;  // the longest tasks first
  const int64_t q_begin = f.shape.q_offsets[segment], kv_begin = f.shape.kv_offsets[segment];
  const int64_t n = f.shape.q_offsets[segment + 1] - q_begin, m = f.shape.kv_offsets[segment + 1] - kv_begin;
  const int64_t first = block * kAttentionQueryBlock, count = smaller(n - first, kAttentionQueryBlock);

  Scratch scratch(f.thread_scratch + thread * f.thread_floats, f.shape, Elements::kDepth);
  pack_queries<Elements>(f, q_begin + first, count, head, scratch);
  begin_attend(scratch.queries);
  std::memset(scratch.scores, 0, static_cast<size_t>(kAttendKeys * kAttendColumns) * 4);
  const int64_t seen_by_first = m - n + first + 1, seen_by_last = m - n + first + count;
  for (int64_t key = 0; key < seen_by_last; key += kAttendKeys) {
    const int64_t keys = smaller(seen_by_last - key, kAttendKeys);
    pack_keys<Elements>(f, kv_begin + key, keys, head, scratch);
    attend<Elements>(scratch.queries,
                     {.k = scratch.k,
                      .k_stride = scratch.queries.depth,
                      .v = scratch.v,
                      .v_stride = scratch.queries.out_stride,
                      .count = keys,
                      .visible = seen_by_first - key,
                      .visible_step = 1,
                      .ahead = rows_ahead<Elements>(f, kv_begin + key + keys, seen_by_last - key - keys, head)},
                     f.shape.scale, scratch.scores);
  }
  write_rows(f, q_begin + first, count, head, scratch.queries);
}

}  // namespace

void attention_forward(const Context& context, const AttentionShape& shape, const AttentionInputs& inputs, void* out,
                       float* lse) {
  auto* first_task = static_cast<int64_t*>(context.scratch);
  first_task[0] = 0;
  for (int64_t s = 0; s < shape.num_segments; ++s)
    first_task[s + 1] = first_task[s] + shape.num_heads * num_query_blocks(shape, s);
  auto* threads =
      reinterpret_cast<float*>(static_cast<char*>(context.scratch) + round_up((shape.num_segments + 1) * 8, 64));
  Forward state{shape, inputs, out, lse, first_task, threads, attention_forward_thread_floats(shape)};
  context.parallel_for(
      first_task[shape.num_segments],
      inputs.dtype == DType::kFloat32 ? &forward_task<WidenedElements<float>> : &forward_task<Bf16Elements>, &state);
}

}  // namespace dslite::kernels::DSLITE_ISA
