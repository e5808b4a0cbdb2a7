// Greedy, temperature and nucleus: what may be drawn, how often, and from what the draw follows.
#include "src/generate/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <vector>

#include "src/base/error.h"

namespace dslite {
namespace {

// exp(logits) = 0.4, 0.05, 0.3, 0.15, 0.1
const std::vector<float> kLogits{std::log(0.4f), std::log(0.05f), std::log(0.3f), std::log(0.15f), std::log(0.1f)};

std::map<int32_t, double> frequencies(const Sampling& sampling) {
  constexpr int kDraws = 20000;
  std::map<int32_t, double> found;
  for (int i = 0; i < kDraws; ++i) found[next_token(kLogits, sampling, i % 200, i / 200)] += 1.0 / kDraws;
  return found;
}
constexpr double kFiveSigma = 5 * 0.5 / 141;  // of a frequency in 20,000 draws

TEST(Sampling, GreedyTakesTheLargestAndTheLowerOfTwo) {
  EXPECT_EQ(next_token(kLogits, {}, 0, 0), 0);
  EXPECT_EQ(next_token(std::vector<float>{1, 3, 2, 3}, {}, 5, 9), 1);
  EXPECT_EQ(next_token(std::vector<float>{-4}, {}, 5, 9), 0);
}

TEST(Sampling, TemperatureOneDrawsTheSoftmax) {
  const auto found = frequencies({.temperature = 1});
  const double expected[] = {0.4, 0.05, 0.3, 0.15, 0.1};
  for (int32_t i = 0; i < 5; ++i) EXPECT_NEAR(found.at(i), expected[i], kFiveSigma) << i;
}

TEST(Sampling, TemperatureSharpensAndFlattens) {
  const auto found = frequencies({.temperature = 0.5});  // squares: 0.16 : 0.0025 : 0.09 : 0.0225 : 0.01
  EXPECT_NEAR(found.at(0), 0.16 / 0.285, kFiveSigma);
  EXPECT_NEAR(found.at(2), 0.09 / 0.285, kFiveSigma);
  const auto flat = frequencies({.temperature = 1e6});
  for (int32_t i = 0; i < 5; ++i) EXPECT_NEAR(flat.at(i), 0.2, kFiveSigma);
}

TEST(Sampling, TopPKeepsTheSmallestSetThatHoldsIt) {
  const auto found = frequencies({.temperature = 1, .top_p = 0.8});  // 0.4 + 0.3 < 0.8 <= 0.4 + 0.3 + 0.15
  EXPECT_FALSE(found.contains(1));
  EXPECT_FALSE(found.contains(4));
  EXPECT_NEAR(found.at(0), 0.4 / 0.85, kFiveSigma);
  EXPECT_NEAR(found.at(2), 0.3 / 0.85, kFiveSigma);
  EXPECT_NEAR(found.at(3), 0.15 / 0.85, kFiveSigma);
  EXPECT_EQ(frequencies({.temperature = 1, .top_p = 0.05}).size(), 1u);
  EXPECT_EQ(frequencies({.temperature = 1, .top_p = 0.999}).size(), 5u);
}

TEST(Sampling, FollowsFromSeedSampleAndPositionAlone) {
  const Sampling sampling{.temperature = 1, .top_p = 0.95, .seed = 3};
  int differ_by_seed = 0, differ_by_sample = 0, differ_by_position = 0;
  for (int i = 0; i < 200; ++i) {
    const int32_t token = next_token(kLogits, sampling, 7, i);
    EXPECT_EQ(token, next_token(kLogits, sampling, 7, i));
    differ_by_seed += token != next_token(kLogits, {.temperature = 1, .top_p = 0.95, .seed = 4}, 7, i);
    differ_by_sample += token != next_token(kLogits, sampling, 8, i);
    differ_by_position += token != next_token(kLogits, sampling, 7, i + 1);
  }
  EXPECT_GT(differ_by_seed, 80);
  EXPECT_GT(differ_by_sample, 80);
  EXPECT_GT(differ_by_position, 80);
}

TEST(Sampling, NonFiniteLogitsAreAnError) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> logits = kLogits;
    logits[3] = bad;
    EXPECT_THROW(next_token(logits, {}, 0, 0), Error);
    EXPECT_THROW(next_token(logits, {.temperature = 1}, 0, 0), Error);
  }
}

}  // namespace
}  // namespace dslite
