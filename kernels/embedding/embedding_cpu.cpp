// Embedding for one instruction set. Backward splits the columns, so that a task meets every token in ascending order
// and no two tasks write one element, however often an id repeats.
#include "kernels/embedding/embedding.h"

#include "kernels/common/simd.h"

namespace dslite::kernels::DSLITE_ISA {
namespace {

constexpr int64_t kTokensPerTask = 32, kColumnsPerTask = 256, kZeroBytesPerTask = 1 << 20;

struct ForwardJob {
  int64_t num_tokens, row_bytes, table_stride_bytes, out_stride_bytes;
  const int32_t* ids;
  const char* table;
  char* out;
};

void copy_rows(void* state, int64_t task, int) {
  const auto& job = *static_cast<const ForwardJob*>(state);
  for (int64_t t = task * kTokensPerTask; t < (task + 1) * kTokensPerTask && t < job.num_tokens; ++t)
    std::memcpy(job.out + t * job.out_stride_bytes, job.table + job.ids[t] * job.table_stride_bytes, job.row_bytes);
}

struct ZeroJob {
  char* data;
  int64_t bytes;
};

void zero_block(void* state, int64_t task, int) {
  const auto& job = *static_cast<const ZeroJob*>(state);
  const int64_t begin = task * kZeroBytesPerTask, rest = job.bytes - begin;
  std::memset(job.data + begin, 0, rest < kZeroBytesPerTask ? rest : kZeroBytesPerTask);
}

template <class Element>
void add_columns(const EmbeddingBackward& arguments, int64_t begin, int64_t end) {
  const int64_t whole = begin + (end - begin) / kWidth * kWidth;
  for (int64_t t = 0; t < arguments.num_tokens; ++t) {
    const Element* dy = static_cast<const Element*>(arguments.dy.data) + t * arguments.dy.row_stride;
    float* row = arguments.d_table + arguments.ids[t] * arguments.width;
    for (int64_t c = begin; c < whole; c += kWidth) store(row + c, load(row + c) + load(dy + c));
    for (int64_t c = whole; c < end; ++c) {
      if constexpr (sizeof(Element) == 2) {
        row[c] += widen(dy[c]);
      } else {
        row[c] += dy[c];
      }
    }
  }
}

void add_task(void* state, int64_t task, int) {
  const auto& arguments = *static_cast<const EmbeddingBackward*>(state);
  const int64_t begin = task * kColumnsPerTask, end = begin + kColumnsPerTask;
  const int64_t limit = end < arguments.width ? end : arguments.width;
  if (arguments.dy.dtype == DType::kBFloat16) {
    add_columns<uint16_t>(arguments, begin, limit);
  } else {
    add_columns<float>(arguments, begin, limit);
  }
}

}  // namespace

void embedding_forward(const Context& context, int64_t num_tokens, int64_t width, const int32_t* ids, ConstMatrix table,
                       Matrix out) {
  const int64_t element_bytes = table.dtype == DType::kBFloat16 ? 2 : 4;
  ForwardJob job{num_tokens,
                 width * element_bytes,
                 table.row_stride * element_bytes,
                 out.row_stride * element_bytes,
                 ids,
                 static_cast<const char*>(table.data),
                 static_cast<char*>(out.data)};
  context.parallel_for((num_tokens + kTokensPerTask - 1) / kTokensPerTask, copy_rows, &job);
}

void embedding_backward(const Context& context, const EmbeddingBackward& arguments) {
  if (!arguments.accumulate) {
    ZeroJob zero{reinterpret_cast<char*>(arguments.d_table),
                 arguments.vocab_size * arguments.width * static_cast<int64_t>(sizeof(float))};
    context.parallel_for((zero.bytes + kZeroBytesPerTask - 1) / kZeroBytesPerTask, zero_block, &zero);
  }
  EmbeddingBackward copy = arguments;
  context.parallel_for((arguments.width + kColumnsPerTask - 1) / kColumnsPerTask, add_task, &copy);
}

}  // namespace dslite::kernels::DSLITE_ISA
