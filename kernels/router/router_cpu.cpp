// The router for one instruction set: one row at a time, blocks of rows per task; a row's bits depend on nothing else.
#include "kernels/router/router.h"

#include "kernels/common/simd.h"

namespace dslite::kernels::DSLITE_ISA {
namespace {

constexpr int64_t kRowsPerTask = 32;

template <class Arguments>
struct Job {
  const RouterConfig* config;
  const Arguments* arguments;
};

// The last, partial vector of a row; the missing lanes hold `fill`.
DSLITE_INLINE Float load_tail(const float* p, int64_t count, float fill) {
  float lanes[kWidth];
  for (int64_t i = 0; i < kWidth; ++i) lanes[i] = i < count ? p[i] : fill;
  return load(lanes);
}
DSLITE_INLINE void store_tail(float* p, int64_t count, Float a) {
  float lanes[kWidth];
  store(lanes, a);
  for (int64_t i = 0; i < count; ++i) p[i] = lanes[i];
}

void softmax_row(int64_t num_experts, const float* logits, float* probabilities) {
  const int64_t whole = num_experts / kWidth * kWidth, rest = num_experts - whole;
  const float lowest = -__builtin_inff();
  Float largest = splat(lowest);
  for (int64_t e = 0; e < whole; e += kWidth) largest = max(largest, load(logits + e));
  if (rest) largest = max(largest, load_tail(logits + whole, rest, lowest));
  const Float shift = splat(max_lane(largest));
  Float total = splat(0);
  for (int64_t e = 0; e < whole; e += kWidth) {
    const Float value = exp(load(logits + e) - shift);
    store(probabilities + e, value);
    total = total + value;
  }
  if (rest) {
    const Float value = exp(load_tail(logits + whole, rest, lowest) - shift);
    store_tail(probabilities + whole, rest, value);
    total = total + value;
  }
  const Float divisor = splat(sum(total));
  for (int64_t e = 0; e < whole; e += kWidth) store(probabilities + e, load(probabilities + e) / divisor);
  if (rest) store_tail(probabilities + whole, rest, load_tail(probabilities + whole, rest, 0) / divisor);
}

float group_score(const float* probabilities, int64_t group_size, int64_t group) {
  const float* p = probabilities + group * group_size;
  float best = p[0];
  for (int64_t i = 1; i < group_size; ++i) best = p[i] > best ? p[i] : best;
  return best;
}

// Fewer than topk_group groups come before this one. (A row of NaN keeps every group.)
bool group_is_kept(const RouterConfig& config, const float* probabilities, int64_t group) {
  const int64_t group_size = config.num_experts / config.num_groups;
  const float own = group_score(probabilities, group_size, group);
  int64_t before = 0;
  for (int64_t g = 0; g < config.num_groups; ++g) {
    const float other = group_score(probabilities, group_size, g);
    before += other > own || (other == own && g < group);
  }
  return before < config.topk_group;
}

// Inserts experts in ascending order into a list sorted by falling probability: equal ones stay in ascending order.
// `best` [K] is room for the probabilities of the list.
void choose_row(const RouterConfig& config, const float* probabilities, int32_t* indices, float* best) {
  const int64_t K = config.num_experts_per_tok, group_size = config.num_experts / config.num_groups;
  int64_t found = 0;
  for (int64_t group = 0; group < config.num_groups; ++group) {
    if (config.topk_group < config.num_groups && !group_is_kept(config, probabilities, group)) continue;
    for (int64_t e = group * group_size; e < (group + 1) * group_size; ++e) {
      const float p = probabilities[e];
      if (found == K && !(p > best[K - 1])) continue;
      int64_t place = found < K ? found++ : K - 1;
      for (; place > 0 && p > best[place - 1]; --place) {
        best[place] = best[place - 1];
        indices[place] = indices[place - 1];
      }
      best[place] = p;
      indices[place] = static_cast<int32_t>(e);
    }
  }
}

// In place: chosen probabilities become weights.
void weigh_row(const RouterConfig& config, float* weights) {
  const int64_t K = config.num_experts_per_tok;
  if (config.norm_topk_prob && K > 1) {
    float total = 0;
    for (int64_t k = 0; k < K; ++k) total += weights[k];
    for (int64_t k = 0; k < K; ++k) weights[k] /= total + 1e-20f;
  } else {
    for (int64_t k = 0; k < K; ++k) weights[k] *= config.routed_scaling_factor;
  }
}

void forward_rows(void* state, int64_t task, int) {
  const auto& [config, arguments] = *static_cast<const Job<RouterForward>*>(state);
  const int64_t E = config->num_experts, K = config->num_experts_per_tok;
  const int64_t begin = task * kRowsPerTask, limit = begin + kRowsPerTask;
  for (int64_t t = begin; t < limit && t < arguments->num_tokens; ++t) {
    float* probabilities = arguments->probabilities + t * E;
    float* weights = arguments->weights + t * K;
    int32_t* indices = arguments->indices + t * K;
    softmax_row(E, arguments->logits + t * E, probabilities);
    if (!arguments->replay) choose_row(*config, probabilities, indices, weights);
    for (int64_t k = 0; k < K; ++k) weights[k] = probabilities[indices[k]];
    weigh_row(*config, weights);
  }
}

// The gradient of chosen probability k, given the row's sums.
struct ChosenGradient {
  float scale, shift;
};
DSLITE_INLINE float apply(ChosenGradient g, float d_weight) { return (d_weight - g.shift) * g.scale; }

ChosenGradient chosen_gradient(const RouterConfig& config, const float* probabilities, const int32_t* indices,
                               const float* d_weights) {
  const int64_t K = config.num_experts_per_tok;
  if (!config.norm_topk_prob || K == 1) return {config.routed_scaling_factor, 0};
  float total = 0, product = 0;  // w_k = p_k / (total + 1e-20): dp_k = (dw_k - sum_j dw_j w_j) / (total + 1e-20)
  for (int64_t k = 0; k < K; ++k) {
    total += probabilities[indices[k]];
    product += d_weights[k] * probabilities[indices[k]];
  }
  const float inverse = 1 / (total + 1e-20f);
  return {inverse, product * inverse};
}

// The gradient of a softmax sums to 0 over a row: what rounding left of the sum is taken back. Balanced loads make g
// nearly constant, so that g - sum_e g_e p_e has lost digits.
void take_rest_back(int64_t num_experts, const float* p, float* d_logits) {
  const int64_t whole = num_experts / kWidth * kWidth;
  Float lanes = splat(0);
  for (int64_t e = 0; e < whole; e += kWidth) lanes = lanes + load(d_logits + e);
  float rest = sum(lanes);
  for (int64_t e = whole; e < num_experts; ++e) rest += d_logits[e];
  const Float share = splat(-rest);
  for (int64_t e = 0; e < whole; e += kWidth) store(d_logits + e, fma(load(p + e), share, load(d_logits + e)));
  for (int64_t e = whole; e < num_experts; ++e) d_logits[e] -= p[e] * rest;
}

void backward_rows(void* state, int64_t task, int) {
  const auto& [config, arguments] = *static_cast<const Job<RouterBackward>*>(state);
  const int64_t E = config->num_experts, K = config->num_experts_per_tok;
  const int64_t begin = task * kRowsPerTask, limit = begin + kRowsPerTask;
  for (int64_t t = begin; t < limit && t < arguments->num_tokens; ++t) {
    const float* p = arguments->probabilities + t * E;
    const float* extra = arguments->d_probabilities ? arguments->d_probabilities + t * E : nullptr;
    const float* d_weights = arguments->d_weights + t * K;
    const int32_t* indices = arguments->indices + t * K;
    float* d_logits = arguments->d_logits + t * E;
    const ChosenGradient chosen = chosen_gradient(*config, p, indices, d_weights);
    float dot = 0;
    for (int64_t k = 0; k < K; ++k) dot += apply(chosen, d_weights[k]) * p[indices[k]];
    const int64_t whole = E / kWidth * kWidth;
    if (extra) {
      Float lanes = splat(0);
      for (int64_t e = 0; e < whole; e += kWidth) lanes = fma(load(extra + e), load(p + e), lanes);
      dot += sum(lanes);
      for (int64_t e = whole; e < E; ++e) dot += extra[e] * p[e];
    }
    const Float shift = splat(dot);
    for (int64_t e = 0; e < whole; e += kWidth) {
      const Float g = extra ? load(extra + e) : splat(0);
      store(d_logits + e, load(p + e) * (g - shift));
    }
    for (int64_t e = whole; e < E; ++e) d_logits[e] = p[e] * ((extra ? extra[e] : 0) - dot);
    for (int64_t k = 0; k < K; ++k) {
      const int32_t e = indices[k];
      d_logits[e] = p[e] * ((extra ? extra[e] : 0) + apply(chosen, d_weights[k]) - dot);
    }
    take_rest_back(E, p, d_logits);
  }
}

struct BalanceJob {
  const RouterConfig* config;
  const int64_t* offsets;
  const int32_t* counts;
  float scale;
  float* d_probabilities;
};

void balance_segment(void* state, int64_t segment, int) {
  const auto& job = *static_cast<const BalanceJob*>(state);
  const int64_t E = job.config->num_experts, begin = job.offsets[segment], end = job.offsets[segment + 1];
  if (begin == end) return;
  const double factor =
      static_cast<double>(job.scale) * E / static_cast<double>(job.config->num_experts_per_tok * (end - begin));
  float* first = job.d_probabilities + begin * E;
  for (int64_t e = 0; e < E; ++e) first[e] = static_cast<float>(factor * job.counts[segment * E + e]);
  for (int64_t t = begin + 1; t < end; ++t) std::memcpy(job.d_probabilities + t * E, first, E * sizeof(float));
}

}  // namespace

void router_forward(const Context& context, const RouterConfig& config, const RouterForward& arguments) {
  Job<RouterForward> job{&config, &arguments};
  context.parallel_for((arguments.num_tokens + kRowsPerTask - 1) / kRowsPerTask, forward_rows, &job);
}

void router_backward(const Context& context, const RouterConfig& config, const RouterBackward& arguments) {
  Job<RouterBackward> job{&config, &arguments};
  context.parallel_for((arguments.num_tokens + kRowsPerTask - 1) / kRowsPerTask, backward_rows, &job);
}

void balance_loss_backward(const Context& context, const RouterConfig& config, int64_t num_segments,
                           const int64_t* offsets, const int32_t* counts, float scale, float* d_probabilities) {
  BalanceJob job{&config, offsets, counts, scale, d_probabilities};
  context.parallel_for(num_segments, balance_segment, &job);
}

}  // namespace dslite::kernels::DSLITE_ISA
