// AdamW of tensors against LibTorch's fused kernel and against fp64 loops; norm and clip.
#include "src/optim/adamw.h"

#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "src/base/error.h"
#include "src/base/parallel_for.h"
#include "tests/support/compare.h"
#include "tests/support/test_data.h"

namespace dslite {
namespace {
using namespace dslite::test;

std::vector<float> floats_of(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.to(at::kFloat).contiguous();
  return {flat.const_data_ptr<float>(), flat.const_data_ptr<float>() + flat.numel()};
}

at::Tensor random_tensor(at::IntArrayRef sizes, uint64_t seed, float scale, at::ScalarType dtype = at::kFloat) {
  const at::Tensor tensor = at::empty(sizes, at::kFloat);
  const auto values = random_floats(tensor.numel(), seed, scale);
  std::copy(values.begin(), values.end(), tensor.data_ptr<float>());
  return tensor.to(dtype);
}

// A matrix, a vector, a stack of matrices, a frozen matrix.
struct Parameters {
  explicit Parameters(at::ScalarType dtype) {
    add("matrix.weight", {33, 17}, dtype, true);
    add("norm.weight", {41}, dtype, true);
    add("frozen.weight", {5, 5}, dtype, false);
    add("stack.weight", {3, 7, 9}, dtype, true);
    for (Parameter& parameter : owned) all.push_back(&parameter);
  }
  void add(const char* name, at::IntArrayRef sizes, at::ScalarType dtype, bool trained) {
    Parameter parameter;
    parameter.name = name;
    parameter.value = random_tensor(sizes, owned.size() + 1, 0.1f, dtype);
    if (trained) parameter.grad = at::empty(sizes, at::kFloat).fill_(std::numeric_limits<float>::quiet_NaN());
    owned.push_back(parameter);
  }
  void set_gradients(uint64_t seed) {
    for (size_t i = 0; i < owned.size(); ++i) {
      if (!owned[i].trained()) continue;
      owned[i].grad.copy_(random_tensor(owned[i].grad.sizes(), 1000 * seed + i, 0.01f));
      owned[i].grad_empty = false;
    }
  }
  std::vector<Parameter> owned;
  std::vector<Parameter*> all;
};

constexpr double kRate = 1e-2, kScale = 0.5;

TEST(AdamWOptimizer, FollowsTheFusedKernelOfLibTorch) {
  Parameters ours(at::kFloat);
  const AdamWConfig config;
  AdamW optimizer(config, ours.all);
  ASSERT_EQ(optimizer.states().size(), 3u);
  std::vector<at::Tensor> values, averages, squares;
  for (const AdamW::State& state : optimizer.states()) {
    values.push_back(state.parameter->value.clone());
    averages.push_back(at::zeros_like(values.back()));
    squares.push_back(at::zeros_like(values.back()));
  }
  for (int64_t step = 1; step <= 20; ++step) {
    ours.set_gradients(step);
    for (size_t i = 0; i < values.size(); ++i) {
      const Parameter& parameter = *optimizer.states()[i].parameter;
      const double decay = parameter.value.dim() >= 2 ? config.weight_decay : 0;
      at::_fused_adamw_({values[i]}, {parameter.grad * kScale}, {averages[i]}, {squares[i]}, {},
                        {at::full({}, static_cast<double>(step), at::kFloat)}, kRate, config.beta1, config.beta2, decay,
                        config.eps, false, false);
    }
    optimizer.step(step, kRate, kScale);
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const AdamW::State& state = optimizer.states()[i];
    EXPECT_TRUE(close(floats_of(state.parameter->value), floats_of(values[i]), 2e-6)) << state.parameter->name;
    EXPECT_TRUE(close(floats_of(state.exp_avg), floats_of(averages[i]), 2e-6));
    EXPECT_TRUE(close(floats_of(state.exp_avg_sq), floats_of(squares[i]), 2e-6));
    EXPECT_FALSE(state.low.defined());
  }
  EXPECT_TRUE(same_bits(floats_of(ours.owned[2].value), floats_of(Parameters(at::kFloat).owned[2].value))) << "frozen";
}

// fp64 loops over the same gradients; the master weights of a bf16 model start at its bf16 values.
TEST(AdamWOptimizer, SplitMasterFollowsDoubleLoops) {
  for (const bool bf16_moments : {false, true}) {
    Parameters ours(at::kBFloat16);
    const AdamWConfig config{.bf16_moments = bf16_moments};
    AdamW optimizer(config, ours.all);
    struct Loop {
      std::vector<double> w, m, v;
    };
    std::vector<Loop> loops;
    for (const AdamW::State& state : optimizer.states()) {
      const auto w = to_double(floats_of(state.parameter->value));
      loops.push_back({w, std::vector<double>(w.size(), 0), std::vector<double>(w.size(), 0)});
    }
    for (int64_t step = 1; step <= 50; ++step) {
      ours.set_gradients(step);
      for (size_t i = 0; i < loops.size(); ++i) {
        const Parameter& parameter = *optimizer.states()[i].parameter;
        const auto gradient = floats_of(parameter.grad);
        const double decay = parameter.value.dim() >= 2 ? config.weight_decay : 0;
        auto& [w, m, v] = loops[i];
        for (size_t j = 0; j < w.size(); ++j) {
          const double g = gradient[j] * kScale;
          m[j] = config.beta1 * m[j] + (1 - config.beta1) * g;
          v[j] = config.beta2 * v[j] + (1 - config.beta2) * g * g;
          const double m_hat = m[j] / (1 - std::pow(config.beta1, step));
          const double v_hat = v[j] / (1 - std::pow(config.beta2, step));
          w[j] -= kRate * (decay * w[j] + m_hat / (std::sqrt(v_hat) + config.eps));
        }
      }
      optimizer.step(step, kRate, kScale);
    }
    for (size_t i = 0; i < loops.size(); ++i) {
      const AdamW::State& state = optimizer.states()[i];
      ASSERT_EQ(state.low.scalar_type(), at::kShort);
      const auto values = floats_of(state.parameter->value), lows = floats_of(state.low.to(at::kInt));
      std::vector<float> masters(values.size());
      for (size_t j = 0; j < masters.size(); ++j) {
        const uint32_t bits = std::bit_cast<uint32_t>(values[j]) + static_cast<uint32_t>(static_cast<int>(lows[j]));
        masters[j] = std::bit_cast<float>(bits);
      }
      // bf16 moments carry 2^-9 of rounding a step; the weights move by about 0.5 over the 50 steps.
      EXPECT_TRUE(close(masters, loops[i].w, bf16_moments ? 5e-3 : 2e-6)) << state.parameter->name;
      EXPECT_EQ(state.exp_avg.scalar_type(), bf16_moments ? at::kBFloat16 : at::kFloat);
    }
  }
}

TEST(AdamWOptimizer, AnEmptyGradientIsZero) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    Parameters empty(dtype), zero(dtype);
    AdamW first(AdamWConfig{}, empty.all), second(AdamWConfig{}, zero.all);
    for (int64_t step = 1; step <= 3; ++step) {
      empty.set_gradients(step);
      zero.set_gradients(step);
      if (step > 1) {  // moments are no longer zero: they decay and still move the weights
        empty.owned[0].grad.fill_(std::numeric_limits<float>::quiet_NaN());
        empty.owned[0].grad_empty = true;
        zero.owned[0].grad.zero_();
      }
      first.step(step, kRate, 1);
      second.step(step, kRate, 1);
    }
    EXPECT_TRUE(same_bits(floats_of(empty.owned[0].value), floats_of(zero.owned[0].value)));
    EXPECT_TRUE(same_bits(floats_of(first.states()[0].exp_avg), floats_of(second.states()[0].exp_avg)));
  }
}

TEST(AdamWOptimizer, SameBitsForAnyThreads) {
  const auto run = [](int threads) {
    set_num_threads(threads);
    Parameters parameters(at::kBFloat16);
    parameters.add("large.weight", {300, 301}, at::kBFloat16, true);
    parameters.all.clear();
    for (Parameter& parameter : parameters.owned) parameters.all.push_back(&parameter);
    AdamW optimizer(AdamWConfig{.bf16_moments = true}, parameters.all);
    parameters.set_gradients(1);
    const double norm = gradient_norm(parameters.all).value;
    optimizer.step(1, kRate, 1 / norm);
    return std::pair(norm, floats_of(parameters.owned.back().value));
  };
  const auto one = run(1), two = run(2);
  EXPECT_EQ(one.first, two.first);
  EXPECT_TRUE(same_bits(one.second, two.second));
}

TEST(AdamWOptimizer, RefusesBf16MomentsThatNeverDecay) {
  Parameters parameters(at::kFloat);
  EXPECT_NO_THROW(AdamW({.beta2 = 0.99, .bf16_moments = true}, parameters.all));
  EXPECT_NO_THROW(AdamW({.beta2 = 0.999}, parameters.all));
  EXPECT_THROW(AdamW({.beta2 = 0.999, .bf16_moments = true}, parameters.all), UserError);
}

TEST(GradientNormTest, LeavesOutEmptyAndFrozen) {
  Parameters parameters(at::kFloat);
  EXPECT_EQ(gradient_norm(parameters.all).value, 0);  // all empty: the NaN in the memory is not read
  parameters.set_gradients(1);
  double sum = 0;
  for (const Parameter& parameter : parameters.owned) {
    if (!parameter.trained()) continue;
    for (const float g : floats_of(parameter.grad)) sum += static_cast<double>(g) * g;
  }
  EXPECT_NEAR(gradient_norm(parameters.all).value, std::sqrt(sum), 1e-12);
  parameters.owned[0].grad_empty = true;
  for (const float g : floats_of(parameters.owned[0].grad)) sum -= static_cast<double>(g) * g;
  EXPECT_NEAR(gradient_norm(parameters.all).value, std::sqrt(sum), 1e-12);
}

TEST(GradientNormTest, NamesTensorsThatAreNotFinite) {
  Parameters parameters(at::kFloat);
  parameters.set_gradients(1);
  EXPECT_TRUE(gradient_norm(parameters.all).non_finite.empty());
  float* stack = parameters.owned[3].grad.data_ptr<float>();
  stack[0] = std::numeric_limits<float>::infinity();
  stack[188] = std::numeric_limits<float>::quiet_NaN();
  const GradientNorm norm = gradient_norm(parameters.all);
  ASSERT_EQ(norm.non_finite.size(), 1u);
  EXPECT_EQ(norm.non_finite[0].name, "stack.weight");
  EXPECT_EQ(norm.non_finite[0].count, 2);
  EXPECT_FALSE(std::isfinite(norm.value));
}

TEST(GradientNormTest, ClipFactorBringsTheNormToItsBound) {
  const GradientNorm norm{.value = 4, .non_finite = {}};
  EXPECT_DOUBLE_EQ(norm.clip_factor(1), 0.25);
  EXPECT_EQ(norm.clip_factor(4), 1);
  EXPECT_EQ(norm.clip_factor(5), 1);
  EXPECT_EQ(norm.clip_factor(0), 1);  // no clipping
  EXPECT_EQ(GradientNorm{}.clip_factor(1), 1);
}

}  // namespace
}  // namespace dslite
