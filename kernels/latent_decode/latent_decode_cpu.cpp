// Latent decode: one task per (sequence, 384 cached tokens), in which the heads are the queries of an online softmax;
// then the splits are merged in ascending order.
#include "kernels/common/attend.h"
#include "kernels/common/typed.h"
#include "kernels/latent_decode/latent_decode.h"
#include "kernels/latent_decode/latent_decode_blocks.h"

namespace dslite::kernels::DSLITE_ISA {
namespace {

static_assert(kLatentSplit % kAttendKeys == 0);

struct Decode {
  const LatentDecode& a;
  const int64_t* first_split;  // [B + 1]
  float* partials;             // [splits, H, L + 2]: sum of exp(score - highest) latent, highest, sum of exp
  float* thread_scratch;
  int64_t thread_floats;
  float* partial(int64_t split, int64_t head) const {
    return partials + (split * a.num_heads + head) * (a.kv_lora_rank + 2);
  }
};

struct Scratch {
  AttendQueries queries;
  float *rows, *scores;  // rows: [kAttendKeys, row_stride], the latent then k_rope: keys and values at once
  int64_t row_stride;
  Scratch(float* next, const LatentDecode& a) {
    const auto take = [&next](int64_t count) {
      float* start = next;
      next += count;
      return start;
    };
    const int64_t depth = a.kv_lora_rank + a.qk_rope_head_dim, latent = round_up(a.kv_lora_rank, kTileColumns);
    const int64_t columns = round_up(a.num_heads, kWidth);
    row_stride = larger(depth, latent);
    scores = take(kAttendKeys * kAttendColumns);
    rows = take(kAttendKeys * row_stride);
    queries = {.columns = columns,
               .depth = depth,
               .panels = take(round_up(columns, kTileColumns) * depth),
               .highest = take(columns),
               .total = take(columns),
               .out = take(round_up(columns, kTileRows) * latent),
               .out_stride = latent};
  }
};

// A head's query: the latent part, then the rotated part.
void pack_heads(const LatentDecode& a, int64_t sequence, Scratch& scratch) {
  const int64_t latent = a.kv_lora_rank, rope = a.qk_rope_head_dim, depth = latent + rope;
  for (int64_t h = 0; h < scratch.queries.columns; ++h) {
    float* out = scratch.queries.panels + h / kTileColumns * depth * kTileColumns + h % kTileColumns;
    const int64_t row = sequence * a.num_heads + h;
    for (int64_t d = 0; d < depth; ++d) {
      const float value = h >= a.num_heads ? 0.0f
                          : d < latent     ? a.q_latent[row * latent + d]
                                           : a.q_rope[row * rope + d - latent];
      out[d * kTileColumns] = value;
    }
  }
}

void pack_tokens(const LatentDecode& a, int64_t sequence, int64_t first, int64_t count, Scratch& scratch) {
  const int64_t width = a.kv_lora_rank + a.qk_rope_head_dim;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t token = first + i;
    const int64_t page = a.pages.block_table[sequence * a.pages.max_pages + token / a.pages.page_tokens];
    const int64_t row = page * a.pages.page_tokens + token % a.pages.page_tokens;
    widen_row(a.pages.data, a.pages.dtype, row * width, width, scratch.row_stride,
              scratch.rows + i * scratch.row_stride);
  }
  const int64_t padding = round_up(count, kTileRows) - count;
  std::memset(scratch.rows + count * scratch.row_stride, 0, static_cast<size_t>(padding * scratch.row_stride) * 4);
}

void split_task(void* state, int64_t split, int thread) {
  const auto& d = *static_cast<const Decode*>(state);
  int64_t sequence = 0, above = d.a.num_sequences;
  while (above - sequence > 1) {
    const int64_t middle = (sequence + above) / 2;
    (d.first_split[middle] <= split ? sequence : above) = middle;
  }
  Scratch scratch(d.thread_scratch + thread * d.thread_floats, d.a);
  pack_heads(d.a, sequence, scratch);
  begin_attend(scratch.queries);
  std::memset(scratch.scores, 0, static_cast<size_t>(kAttendKeys * kAttendColumns) * 4);
  const int64_t begin = (split - d.first_split[sequence]) * kLatentSplit,
                end = smaller(d.a.pages.kv_lengths[sequence], begin + kLatentSplit);
  for (int64_t first = begin; first < end; first += kAttendKeys) {
    const int64_t count = smaller(end - first, kAttendKeys);
    pack_tokens(d.a, sequence, first, count, scratch);
    attend<WidenedElements<float>>(scratch.queries,
                                   {.k = scratch.rows,
                                    .k_stride = scratch.row_stride,
                                    .v = scratch.rows,
                                    .v_stride = scratch.row_stride,
                                    .count = count,
                                    .visible = count,
                                    .visible_step = 0,
                                    .ahead = {}},
                                   d.a.scale, scratch.scores);
  }
  for (int64_t h = 0; h < d.a.num_heads; ++h) {
    float* out = d.partial(split, h);
    std::memcpy(out, scratch.queries.out + h * scratch.queries.out_stride, static_cast<size_t>(d.a.kv_lora_rank) * 4);
    out[d.a.kv_lora_rank] = scratch.queries.highest[h];
    out[d.a.kv_lora_rank + 1] = scratch.queries.total[h];
  }
}

float exp_of(float x) {
  float lanes[kWidth];
  store(lanes, exp(splat(x)));
  return lanes[0];
}

void merge_task(void* state, int64_t task, int) {
  const auto& d = *static_cast<const Decode*>(state);
  const int64_t sequence = task / d.a.num_heads, head = task % d.a.num_heads, latent = d.a.kv_lora_rank;
  const int64_t begin = d.first_split[sequence], end = d.first_split[sequence + 1];
  float* out = d.a.out + task * latent;
  float highest = d.partial(begin, head)[latent], total = 0;
  for (int64_t s = begin + 1; s < end; ++s)
    highest = d.partial(s, head)[latent] > highest ? d.partial(s, head)[latent] : highest;
  for (int64_t i = 0; i < latent; ++i) out[i] = 0;
  for (int64_t s = begin; s < end; ++s) {
    const float* partial = d.partial(s, head);
    const float factor = exp_of(partial[latent] - highest);
    total += factor * partial[latent + 1];
    for (int64_t i = 0; i < latent; ++i) out[i] += factor * partial[i];
  }
  for (int64_t i = 0; i < latent; ++i) out[i] /= total;
}

}  // namespace

void latent_decode(const Context& context, const LatentDecode& arguments) {
  const int64_t sequences = arguments.num_sequences;
  auto* first_split = static_cast<int64_t*>(context.scratch);
  first_split[0] = 0;
  for (int64_t b = 0; b < sequences; ++b)
    first_split[b + 1] = first_split[b] + (arguments.pages.kv_lengths[b] + kLatentSplit - 1) / kLatentSplit;
  const int64_t splits = first_split[sequences];
  char* after_offsets = static_cast<char*>(context.scratch) + round_up((sequences + 1) * 8, 64);
  const int64_t partial_bytes = round_up(splits * arguments.num_heads * (arguments.kv_lora_rank + 2) * 4, 64);
  Decode state{arguments, first_split, reinterpret_cast<float*>(after_offsets),
               reinterpret_cast<float*>(after_offsets + partial_bytes), latent_decode_thread_floats(arguments)};
  context.parallel_for(splits, split_task, &state);
  context.parallel_for(sequences * arguments.num_heads, merge_task, &state);
}

}  // namespace dslite::kernels::DSLITE_ISA
