// Router and balance loss against the fp64 reference; the choice exactly against the reference's rule.
#include "kernels/router/router.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <string>

#include "kernels/router/router_reference.h"
#include "tests/support/compare.h"
#include "tests/support/test_data.h"

namespace dslite::kernels {
namespace {
using namespace dslite::test;

struct Case {
  const char* name;
  int64_t num_tokens;
  RouterConfig config;
};

// Odd numbers of experts and tokens, no token, one token, one expert, K = 1, V2-Lite's and V2's routers.
const Case kCases[] = {
    {"v2_lite", 67, {64, 6, 1, 1, false, 1.0f}},     {"v2", 33, {160, 6, 8, 3, false, 16.0f}},
    {"normalised", 35, {13, 4, 1, 1, true, 2.5f}},   {"normalised_k1", 9, {8, 1, 1, 1, true, 2.5f}},
    {"groups_of_one", 21, {7, 2, 7, 3, true, 1.0f}}, {"all_chosen", 5, {3, 3, 1, 1, false, 0.5f}},
    {"one_expert", 1, {1, 1, 1, 1, true, 3.0f}},     {"odd_groups", 40, {27, 5, 9, 2, false, 1.0f}},
    {"no_tokens", 0, {64, 6, 1, 1, false, 1.0f}},
};

// One forward; `replay`: the indices to use.
struct Forward {
  Forward(const Context& context, const RouterConfig& config, const TypedMatrix& logits,
          const std::vector<int32_t>* replay = nullptr)
      : probabilities(DType::kFloat32, logits.rows(), config.num_experts),
        weights(DType::kFloat32, logits.rows(), config.num_experts_per_tok),
        indices(replay ? *replay : std::vector<int32_t>(logits.rows() * config.num_experts_per_tok, -1)) {
    router_forward(context, config,
                   {.num_tokens = logits.rows(),
                    .logits = logits.floats(),
                    .probabilities = probabilities.floats(),
                    .indices = indices.data(),
                    .weights = weights.floats(),
                    .replay = replay != nullptr});
  }
  TypedMatrix probabilities, weights;
  std::vector<int32_t> indices;
};

class Router : public ::testing::TestWithParam<std::tuple<InstructionSet, Case>> {
 protected:
  InstructionSet set() const { return std::get<0>(GetParam()); }
  const Case& test_case() const { return std::get<1>(GetParam()); }
  const RouterConfig& config() const { return test_case().config; }
  TypedMatrix logits(uint64_t seed = 1) const {
    return TypedMatrix::random(DType::kFloat32, test_case().num_tokens, config().num_experts, seed, 3.0f);
  }
};

TEST_P(Router, ForwardIsTheReference) {
  const TypedMatrix x = logits();
  const Forward out(KernelContext(set(), 2), config(), x);
  const auto expected = router_forward_reference(config(), to_double(x.values()));
  EXPECT_TRUE(close(out.probabilities.values(), expected.probabilities, 1e-6, config().num_experts));
  EXPECT_EQ(out.indices, router_choose_reference(config(), out.probabilities.values()));
  EXPECT_EQ(out.indices, expected.indices) << "no gap of these inputs is within fp32 rounding";
  EXPECT_TRUE(close(out.weights.values(), expected.weights, 1e-6, config().num_experts_per_tok));
}

TEST_P(Router, BackwardIsTheReference) {
  const int64_t T = test_case().num_tokens, E = config().num_experts, K = config().num_experts_per_tok;
  const KernelContext context(set(), 2);
  const TypedMatrix x = logits();
  const Forward out(context, config(), x);
  const TypedMatrix d_weights = TypedMatrix::random(DType::kFloat32, T, K, 2);
  const TypedMatrix d_probabilities = TypedMatrix::random(DType::kFloat32, T, E, 3, 0.1f);
  for (const bool with_balance : {false, true}) {
    TypedMatrix d_logits(DType::kFloat32, T, E);
    router_backward(context, config(),
                    {.num_tokens = T,
                     .probabilities = out.probabilities.floats(),
                     .indices = out.indices.data(),
                     .d_weights = d_weights.floats(),
                     .d_probabilities = with_balance ? d_probabilities.floats() : nullptr,
                     .d_logits = d_logits.floats()});
    const auto p = router_forward_reference(config(), to_double(x.values()), &out.indices).probabilities;
    const auto expected =
        router_backward_reference(config(), p, out.indices, to_double(d_weights.values()),
                                  with_balance ? to_double(d_probabilities.values()) : std::vector<double>{});
    // Normalised K = 1 or a single expert: the gradient is zero, ours a rounding of it.
    EXPECT_TRUE(close(d_logits.values(), expected, 2e-6, E));
  }
}

TEST_P(Router, SameBitsForAnyThreadsAndAnyRows) {
  const TypedMatrix x = logits();
  const Forward one(KernelContext(set(), 1), config(), x), two(KernelContext(set(), 2), config(), x);
  EXPECT_TRUE(same_bits(one.probabilities.values(), two.probabilities.values()));
  EXPECT_TRUE(same_bits(one.weights.values(), two.weights.values()));
  EXPECT_EQ(one.indices, two.indices);
  if (x.rows() == 0) return;
  const int64_t last = x.rows() - 1;
  const Forward alone(KernelContext(set(), 1), config(),
                      TypedMatrix(DType::kFloat32, 1, config().num_experts, x.row(last)));
  EXPECT_TRUE(same_bits(alone.probabilities.row(0), one.probabilities.row(last)));
}

TEST_P(Router, ReplayUsesTheGivenIndices) {
  const int64_t E = config().num_experts, K = config().num_experts_per_tok;
  std::vector<int32_t> given;
  for (int64_t t = 0; t < test_case().num_tokens; ++t)
    for (int64_t k = 0; k < K; ++k) given.push_back(static_cast<int32_t>((t + 2 * K - k) % E));
  const TypedMatrix x = logits();
  const Forward out(KernelContext(set(), 2), config(), x, &given);
  EXPECT_EQ(out.indices, given);
  const auto expected = router_forward_reference(config(), to_double(x.values()), &given);
  EXPECT_TRUE(close(out.weights.values(), expected.weights, 1e-6, K));
  const Forward free(KernelContext(set(), 2), config(), x);
  const Forward again(KernelContext(set(), 2), config(), x, &free.indices);
  EXPECT_TRUE(same_bits(free.weights.values(), again.weights.values()));
}

TEST_P(Router, TiesGoToTheLowerIndex) {
  const int64_t E = config().num_experts;
  TypedMatrix x = logits();
  for (int64_t t = 0; t < x.rows(); ++t)
    for (int64_t e = 0; e < E; ++e) x.set(t, e, t % 2 ? 0.0f : static_cast<float>((e * 7 + t) % 3));
  const Forward out(KernelContext(set(), 2), config(), x);
  EXPECT_EQ(out.indices, router_choose_reference(config(), to_double(out.probabilities.values())));
}

TEST_P(Router, NonFiniteRowsComeOutAlone) {
  if (test_case().num_tokens < 5) return;
  const int64_t E = config().num_experts, K = config().num_experts_per_tok;
  const TypedMatrix clean = logits();
  TypedMatrix x = logits();
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  x.set(0, E / 2, nan);
  x.set(1, 0, inf);
  for (int64_t e = 0; e < E; ++e) x.set(2, e, -inf);
  x.set(3, E - 1, nan);
  const Forward out(KernelContext(set(), 2), config(), x);
  for (int64_t t = 0; t < 4; ++t) {
    const auto first = out.indices.begin() + t * K;
    const std::set<int32_t> chosen(first, first + K);
    EXPECT_EQ(chosen.size(), static_cast<size_t>(K)) << "row " << t;
    EXPECT_GE(*chosen.begin(), 0);
    EXPECT_LT(*chosen.rbegin(), E);
    for (const float w : out.weights.row(t)) EXPECT_TRUE(std::isnan(w)) << "row " << t << ": the damage was hidden";
  }
  const Forward expected(KernelContext(set(), 2), config(), clean);
  EXPECT_TRUE(same_bits(out.probabilities.row(4), expected.probabilities.row(4)));
}

TEST_P(Router, BalanceLossIsTheReference) {
  const int64_t T = test_case().num_tokens, E = config().num_experts;
  std::vector<std::vector<int64_t>> splits{{0, T}};
  if (T > 3) splits.push_back({0, 1, 1, T / 2, T});
  const KernelContext context(set(), 2);
  const TypedMatrix x = logits();
  const Forward out(context, config(), x);
  const auto p = to_double(out.probabilities.values());
  for (const auto& offsets : splits) {
    const int64_t S = static_cast<int64_t>(offsets.size()) - 1;
    std::vector<int32_t> counts(S * E, -1);
    const double loss = balance_loss(context, config(), S, offsets.data(), out.probabilities.floats(),
                                     out.indices.data(), counts.data());
    EXPECT_NEAR(loss, balance_loss_reference(config(), offsets, p, out.indices), 1e-9 * (1 + loss));
    EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), int64_t{0}), T * config().num_experts_per_tok);
    TypedMatrix gradient(DType::kFloat32, T, E);
    balance_loss_backward(context, config(), S, offsets.data(), counts.data(), 0.25f, gradient.floats());
    EXPECT_TRUE(
        close(gradient.values(), balance_loss_backward_reference(config(), offsets, out.indices, 0.25), 1e-6, E));
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, Router, ::testing::Combine(::testing::ValuesIn(available_instruction_sets()), ::testing::ValuesIn(kCases)),
    [](const auto& info) {
      return std::string(instruction_set_name(std::get<0>(info.param))) + "_" + std::get<1>(info.param).name;
    });

// Central differences of the reference in double: through weights and balance loss, the choice held fixed.
TEST(RouterReference, GradientIsTheDerivative) {
  for (const Case& c : kCases) {
    const int64_t T = std::min<int64_t>(c.num_tokens, 5), E = c.config.num_experts, K = c.config.num_experts_per_tok;
    if (T == 0) continue;
    std::vector<double> logits = to_double(random_floats(T * E, 11, 2.0f));
    const std::vector<double> upstream = to_double(random_floats(T * K, 12));
    const std::vector<int64_t> offsets = T > 2 ? std::vector<int64_t>{0, 2, T} : std::vector<int64_t>{0, T};
    const auto at = router_forward_reference(c.config, logits);
    const double scale = 0.3;
    const auto objective = [&] {
      const auto now = router_forward_reference(c.config, logits, &at.indices);
      double sum = scale * balance_loss_reference(c.config, offsets, now.probabilities, at.indices);
      for (int64_t i = 0; i < T * K; ++i) sum += upstream[i] * now.weights[i];
      return sum;
    };
    const auto balance = balance_loss_backward_reference(c.config, offsets, at.indices, scale);
    const auto gradient = router_backward_reference(c.config, at.probabilities, at.indices, upstream, balance);
    std::vector<double> numeric(T * E);
    const double h = 1e-5;
    for (int64_t i = 0; i < T * E; ++i) {
      const double keep = logits[i];
      logits[i] = keep + h;
      const double above = objective();
      logits[i] = keep - h;
      numeric[i] = (above - objective()) / (2 * h);
      logits[i] = keep;
    }
    for (int64_t i = 0; i < T * E; ++i)
      EXPECT_NEAR(gradient[i], numeric[i], 1e-6 * c.config.routed_scaling_factor + 1e-9) << c.name << " " << i;
  }
}

TEST(RouterConfigCheck, RefusesWhatCannotBeChosen) {
  const KernelContext context(InstructionSet::kScalar);
  for (const RouterConfig& bad :
       {RouterConfig{8, 9, 1, 1, false, 1}, RouterConfig{8, 3, 4, 1, false, 1}, RouterConfig{8, 0, 1, 1, false, 1},
        RouterConfig{9, 2, 4, 2, false, 1}, RouterConfig{8, 2, 4, 5, false, 1}})
    EXPECT_THROW(router_forward(context, bad, {}), std::invalid_argument);
}

}  // namespace
}  // namespace dslite::kernels
