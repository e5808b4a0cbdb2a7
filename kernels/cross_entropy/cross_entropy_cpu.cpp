// Cross-entropy for one instruction set. A row of logits fits the second-level cache (400 KB at 102,400): it is read
// once from memory for its maximum, then twice from the cache: exponentials (kept in place for the gradient), and
// scaling.
#include "kernels/cross_entropy/cross_entropy.h"

#include "kernels/common/simd.h"

extern "C" double log1p(double);

namespace dslite::kernels::DSLITE_ISA {
namespace {

constexpr int64_t kBlock = 2048;           // columns whose sum is kept in fp32; blocks are added in fp64, ascending
constexpr int64_t kLogitsPerTask = 65536;  // small vocabularies: several rows a task

struct Row {
  float largest;
  int64_t position;  // lowest index of the largest; 0 when there is none (NaN)
};

// The largest of p[0, count).
float block_max(const float* p, int64_t count) {
  const float lowest = -__builtin_inff();
  const int64_t step = 4 * kWidth, whole = count / step * step;
  Float a = splat(lowest), b = a, c = a, d = a;
  for (int64_t i = 0; i < whole; i += step) {
    a = max(a, load(p + i));
    b = max(b, load(p + i + kWidth));
    c = max(c, load(p + i + 2 * kWidth));
    d = max(d, load(p + i + 3 * kWidth));
  }
  float best = max_lane(max(max(a, b), max(c, d)));
  for (int64_t i = whole; i < count; ++i) best = p[i] > best ? p[i] : best;
  return best;
}

Row row_max(const float* logits, int64_t vocab_size) {
  Row row{-__builtin_inff(), 0};
  int64_t best_block = 0;
  for (int64_t begin = 0; begin < vocab_size; begin += kBlock) {
    const int64_t count = vocab_size - begin < kBlock ? vocab_size - begin : kBlock;
    const float best = block_max(logits + begin, count);
    if (!(best > row.largest)) continue;
    row.largest = best;
    best_block = begin;
  }
  for (int64_t i = best_block; i < vocab_size && i < best_block + kBlock; ++i)
    if (logits[i] == row.largest) {
      row.position = i;
      break;
    }
  return row;
}

// sum e^(logit - shift); `out`: null, or where the exponentials go (may be the logits themselves).
double exponential_sum(const float* logits, int64_t vocab_size, float shift, float* out) {
  const Float shifts = splat(shift);
  double total = 0;
  for (int64_t begin = 0; begin < vocab_size; begin += kBlock) {
    const int64_t end = vocab_size - begin < kBlock ? vocab_size : begin + kBlock;
    const int64_t whole = begin + (end - begin) / (2 * kWidth) * (2 * kWidth);
    Float even = splat(0), odd = splat(0);
    for (int64_t i = begin; i < whole; i += 2 * kWidth) {
      const Float a = exp(load(logits + i) - shifts), b = exp(load(logits + i + kWidth) - shifts);
      even = even + a;
      odd = odd + b;
      if (out) {
        store(out + i, a);
        store(out + i + kWidth, b);
      }
    }
    float block = sum(even + odd);
    for (int64_t i = whole; i < end; ++i) {
      float lanes[kWidth];
      store(lanes, exp(splat(logits[i]) - shifts));
      block += lanes[0];
      if (out) out[i] = lanes[0];
    }
    total += static_cast<double>(block);
  }
  return total;
}

// In place and ascending: the narrow row never overtakes the wide one.
void narrow_in_place(float* row, int64_t count) {
  auto* out = reinterpret_cast<uint16_t*>(row);
  const int64_t whole = count / kWidth * kWidth;
  for (int64_t i = 0; i < whole; i += kWidth) store(out + i, load(row + i));
  for (int64_t i = whole; i < count; ++i) {
    const uint16_t bits = narrow(row[i]);
    std::memcpy(out + i, &bits, sizeof bits);
  }
}

void scale_row(float* row, int64_t count, float factor) {
  const Float factors = splat(factor);
  const int64_t whole = count / kWidth * kWidth;
  for (int64_t i = 0; i < whole; i += kWidth) store(row + i, load(row + i) * factors);
  for (int64_t i = whole; i < count; ++i) row[i] *= factor;
}

void one_row(const CrossEntropy& arguments, int64_t r) {
  const int64_t vocab_size = arguments.vocab_size;
  float* logits = arguments.logits + r * vocab_size;
  const int32_t label = arguments.labels[r];
  const float weight = label < 0 ? 0 : arguments.loss_weight[r];
  arguments.loss[r] = 0;
  const Row row = label >= 0 || arguments.prediction ? row_max(logits, vocab_size) : Row{};
  if (arguments.prediction) arguments.prediction[r] = static_cast<int32_t>(row.position);
  const bool gradient = arguments.gradient && weight != 0;
  if (label >= 0) {
    // The largest term is 1: kept out of the fp32 sum, so that the loss of a confident model keeps its digits.
    const double margin = static_cast<double>(row.largest) - static_cast<double>(logits[label]);
    const float largest = logits[row.position];
    logits[row.position] = -__builtin_inff();
    const double others = exponential_sum(logits, vocab_size, row.largest, gradient ? logits : nullptr);
    logits[row.position] = gradient ? 1 : largest;
    arguments.loss[r] = static_cast<float>(log1p(others) + margin);
    if (gradient) {
      const double unit = static_cast<double>(weight) * static_cast<double>(arguments.scale) / (1 + others);
      const double rest = label == row.position ? others : 1 + others - static_cast<double>(logits[label]);
      scale_row(logits, vocab_size, static_cast<float>(unit));
      logits[label] = static_cast<float>(-unit * rest);
    }
  }
  if (arguments.gradient && !gradient) std::memset(logits, 0, vocab_size * sizeof(float));
  if (gradient && arguments.gradient_dtype == DType::kBFloat16) narrow_in_place(logits, vocab_size);
}

int64_t rows_per_task(int64_t vocab_size) { return vocab_size >= kLogitsPerTask ? 1 : kLogitsPerTask / vocab_size; }

void task_rows(void* state, int64_t task, int) {
  const auto& arguments = *static_cast<const CrossEntropy*>(state);
  const int64_t rows = rows_per_task(arguments.vocab_size);
  for (int64_t r = task * rows; r < (task + 1) * rows && r < arguments.num_rows; ++r) one_row(arguments, r);
}

}  // namespace

void cross_entropy(const Context& context, const CrossEntropy& arguments) {
  const int64_t rows = rows_per_task(arguments.vocab_size);
  CrossEntropy copy = arguments;
  context.parallel_for((arguments.num_rows + rows - 1) / rows, task_rows, &copy);
}

}  // namespace dslite::kernels::DSLITE_ISA
