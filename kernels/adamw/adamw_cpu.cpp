// AdamW for one instruction set: one pass over value, low bits, gradient and both moments, in blocks of fixed size.
#include "kernels/adamw/adamw.h"

#include "kernels/common/simd.h"

namespace dslite::kernels::DSLITE_ISA {
namespace {

constexpr int64_t kBlock = 16384;

int64_t block_end(int64_t begin, int64_t size) { return size - begin < kBlock ? size : begin + kBlock; }
int64_t num_blocks(int64_t size) { return (size + kBlock - 1) / kBlock; }

// An fp32 weight, or the two halves of a split one.
struct PlainWeight {
  float* value;
  Float get(int64_t i) const { return load(value + i); }
  void set(int64_t i, Float a) const { store(value + i, a); }
};
struct SplitWeight {
  uint16_t* value;
  int16_t* low;
  Float get(int64_t i) const { return load_master(value + i, low + i); }
  void set(int64_t i, Float a) const { store_master(value + i, low + i, a); }
};

struct Factors {
  Float gradient_scale, beta1, one_minus_beta1, beta2, one_minus_beta2, decay, step, inverse_correction2, eps;
};

Factors factors_of(const AdamW& a) {
  return {splat(a.gradient_scale),
          splat(a.beta1),
          splat(static_cast<float>(1.0 - static_cast<double>(a.beta1))),
          splat(a.beta2),
          splat(static_cast<float>(1.0 - static_cast<double>(a.beta2))),
          splat(static_cast<float>(static_cast<double>(a.learning_rate) * static_cast<double>(a.weight_decay))),
          splat(static_cast<float>(static_cast<double>(a.learning_rate) / static_cast<double>(a.bias_correction1))),
          splat(static_cast<float>(1.0 / static_cast<double>(a.bias_correction2))),
          splat(a.eps)};
}

template <class Weight, class Moment>
DSLITE_INLINE void update(const Factors& f, const Weight& weight, Float raw_gradient, Moment* exp_avg,
                          Moment* exp_avg_sq, int64_t i) {
  const Float gradient = raw_gradient * f.gradient_scale;
  const Float m = fma(f.beta1, load(exp_avg + i), f.one_minus_beta1 * gradient);
  const Float v = fma(f.beta2, load(exp_avg_sq + i), f.one_minus_beta2 * (gradient * gradient));
  store(exp_avg + i, m);
  store(exp_avg_sq + i, v);
  const Float change = f.step * m / (sqrt(v * f.inverse_correction2) + f.eps);
  const Float w = weight.get(i);
  weight.set(i, w - fma(f.decay, w, change));  // one rounding of the weight itself
}

// The last, partial vector: copied out, updated and copied back.
template <class Moment>
void update_tail(const Factors& f, const AdamW& arguments, int64_t begin, int64_t count) {
  float gradient[kWidth] = {}, plain[kWidth] = {};
  uint16_t value[kWidth] = {};
  int16_t low[kWidth] = {};
  Moment exp_avg[kWidth] = {}, exp_avg_sq[kWidth] = {};
  const bool split = arguments.value_dtype == DType::kBFloat16;
  auto* all_avg = static_cast<Moment*>(arguments.exp_avg) + begin;
  auto* all_avg_sq = static_cast<Moment*>(arguments.exp_avg_sq) + begin;
  if (arguments.gradient) std::memcpy(gradient, arguments.gradient + begin, count * sizeof(float));
  std::memcpy(exp_avg, all_avg, count * sizeof(Moment));
  std::memcpy(exp_avg_sq, all_avg_sq, count * sizeof(Moment));
  if (split) {
    std::memcpy(value, static_cast<uint16_t*>(arguments.value) + begin, count * sizeof(uint16_t));
    std::memcpy(low, arguments.low + begin, count * sizeof(int16_t));
    update(f, SplitWeight{value, low}, load(gradient), exp_avg, exp_avg_sq, 0);
    std::memcpy(static_cast<uint16_t*>(arguments.value) + begin, value, count * sizeof(uint16_t));
    std::memcpy(arguments.low + begin, low, count * sizeof(int16_t));
  } else {
    std::memcpy(plain, static_cast<float*>(arguments.value) + begin, count * sizeof(float));
    update(f, PlainWeight{plain}, load(gradient), exp_avg, exp_avg_sq, 0);
    std::memcpy(static_cast<float*>(arguments.value) + begin, plain, count * sizeof(float));
  }
  std::memcpy(all_avg, exp_avg, count * sizeof(Moment));
  std::memcpy(all_avg_sq, exp_avg_sq, count * sizeof(Moment));
}

template <class Weight, class Moment>
void update_block(const AdamW& arguments, const Weight& weight, int64_t begin, int64_t end) {
  const Factors f = factors_of(arguments);
  auto* exp_avg = static_cast<Moment*>(arguments.exp_avg);
  auto* exp_avg_sq = static_cast<Moment*>(arguments.exp_avg_sq);
  const float* gradient = arguments.gradient;
  const int64_t whole = begin + (end - begin) / kWidth * kWidth;
  if (gradient) {
    for (int64_t i = begin; i < whole; i += kWidth) update(f, weight, load(gradient + i), exp_avg, exp_avg_sq, i);
  } else {
    for (int64_t i = begin; i < whole; i += kWidth) update(f, weight, splat(0), exp_avg, exp_avg_sq, i);
  }
  if (whole < end) update_tail<Moment>(f, arguments, whole, end - whole);
}

template <class Moment>
void update_task(void* state, int64_t task, int) {
  const auto& arguments = *static_cast<const AdamW*>(state);
  const int64_t begin = task * kBlock, end = block_end(begin, arguments.size);
  if (arguments.value_dtype == DType::kBFloat16) {
    update_block<SplitWeight, Moment>(arguments, {static_cast<uint16_t*>(arguments.value), arguments.low}, begin, end);
  } else {
    update_block<PlainWeight, Moment>(arguments, {static_cast<float*>(arguments.value)}, begin, end);
  }
}

struct StatisticsJob {
  const float* gradient;
  int64_t size, block;
  GradientStatistics* blocks;
};

// Squares of finite fp32 numbers cannot overflow in fp64: only a block whose sum is not finite is counted.
int64_t count_nonfinite(const float* g, int64_t count) {
  int64_t nonfinite = 0;
  for (int64_t i = 0; i < count; ++i) nonfinite += !(g[i] - g[i] == 0);
  return nonfinite;
}

// fp64 sums in sixteen chains (chain j holds elements j, j + 16, ...), added pairwise.
void statistics_block(void* state, int64_t task, int) {
  constexpr int64_t kChains = 16;
  const auto& job = *static_cast<const StatisticsJob*>(state);
  const int64_t begin = task * job.block, rest = job.size - begin, count = rest < job.block ? rest : job.block;
  const float* g = job.gradient + begin;
  const int64_t whole = count / kChains * kChains;
  double chains[kChains] = {};
  for (int64_t i = 0; i < whole; i += kChains)
    for (int64_t j = 0; j < kChains; ++j) chains[j] += static_cast<double>(g[i + j]) * static_cast<double>(g[i + j]);
  for (int64_t i = whole; i < count; ++i) chains[i - whole] += static_cast<double>(g[i]) * static_cast<double>(g[i]);
  for (int64_t stride = kChains / 2; stride > 0; stride /= 2)
    for (int64_t j = 0; j < stride; ++j) chains[j] += chains[j + stride];
  job.blocks[task] = {chains[0], chains[0] - chains[0] == 0 ? 0 : count_nonfinite(g, count)};
}

struct SplitJob {
  int64_t size;
  const float* master_in;
  float* master_out;
  uint16_t* value;
  int16_t* low;
};

void split_task(void* state, int64_t task, int) {
  const auto& job = *static_cast<const SplitJob*>(state);
  const int64_t begin = task * kBlock, end = block_end(begin, job.size);
  const int64_t whole = begin + (end - begin) / kWidth * kWidth;
  for (int64_t i = begin; i < whole; i += kWidth) store_master(job.value + i, job.low + i, load(job.master_in + i));
  for (int64_t i = whole; i < end; ++i) {
    uint16_t value[kWidth];
    int16_t low[kWidth];
    store_master(value, low, splat(job.master_in[i]));
    job.value[i] = value[0];
    job.low[i] = low[0];
  }
}

void join_task(void* state, int64_t task, int) {
  const auto& job = *static_cast<const SplitJob*>(state);
  const int64_t begin = task * kBlock, end = block_end(begin, job.size);
  const int64_t whole = begin + (end - begin) / kWidth * kWidth;
  for (int64_t i = begin; i < whole; i += kWidth) store(job.master_out + i, load_master(job.value + i, job.low + i));
  for (int64_t i = whole; i < end; ++i) {
    const uint32_t bits =
        (static_cast<uint32_t>(job.value[i]) << 16) + static_cast<uint32_t>(static_cast<int32_t>(job.low[i]));
    std::memcpy(job.master_out + i, &bits, sizeof bits);
  }
}

}  // namespace

void adamw(const Context& context, const AdamW& arguments) {
  AdamW copy = arguments;
  const bool bf16 = arguments.moment_dtype == DType::kBFloat16;
  context.parallel_for(num_blocks(arguments.size), bf16 ? update_task<uint16_t> : update_task<float>, &copy);
}

void gradient_blocks(const Context& context, const float* gradient, int64_t size, int64_t block,
                     GradientStatistics* blocks) {
  StatisticsJob job{gradient, size, block, blocks};
  context.parallel_for((size + block - 1) / block, statistics_block, &job);
}

void split_master(const Context& context, int64_t size, const float* master, uint16_t* value, int16_t* low) {
  SplitJob job{size, master, nullptr, value, low};
  context.parallel_for(num_blocks(size), split_task, &job);
}

void join_master(const Context& context, int64_t size, const uint16_t* value, const int16_t* low, float* master) {
  SplitJob job{size, nullptr, master, const_cast<uint16_t*>(value), const_cast<int16_t*>(low)};
  context.parallel_for(num_blocks(size), join_task, &job);
}

}  // namespace dslite::kernels::DSLITE_ISA
