// Counter-based random numbers: a pure function of their coordinates, with the moments and independence they promise.
#include "src/base/random.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>
#include <vector>

namespace dslite {
namespace {

// The known answers of Random123 (kat_vectors, philox4x32 10): counter, key, result.
TEST(Random, PhiloxKnownAnswers) {
  using Block = std::array<uint32_t, 4>;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, IsAFunctionOfItsCoordinates) {
  const RandomStream a(1, RandomPurpose::kTest, 2, 3), b(1, RandomPurpose::kTest, 2, 3);
  std::vector<uint64_t> forward, backward(1000);
  for (uint64_t i = 0; i < 1000; ++i) forward.push_back(a.bits(i));
  for (uint64_t i = 1000; i-- > 0;) backward[i] = b.bits(i);
  EXPECT_EQ(forward, backward);
}

TEST(Random, EveryCoordinateMatters) {
  std::set<uint64_t> seen;
  size_t streams = 0;
  for (const uint64_t seed : {0ull, 1ull, 2ull, 1ull << 32, ~0ull}) {
    for (const RandomPurpose purpose :
         {RandomPurpose::kInitialWeights, RandomPurpose::kShuffle, RandomPurpose::kSampling}) {
      for (const uint64_t step : {0ull, 1ull, 1ull << 32}) {
        for (const uint64_t sample : {0ull, 1ull, 1ull << 32}) {
          for (const uint64_t index : {0ull, 1ull, 1ull << 32, ~0ull})
            seen.insert(RandomStream(seed, purpose, step, sample).bits(index)), ++streams;
        }
      }
    }
  }
  EXPECT_EQ(seen.size(), streams);
}

TEST(Random, Moments) {
  const RandomStream random(42, RandomPurpose::kTest);
  constexpr int kCount = 200000;
  double sum = 0, squares = 0, cubes = 0, fourths = 0, uniform = 0, product = 0;
  for (int i = 0; i < kCount; ++i) {
    const double x = random.normal(static_cast<uint64_t>(i)), u = random.uniform(static_cast<uint64_t>(i));
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    ASSERT_TRUE(std::isfinite(x));
    sum += x, squares += x * x, cubes += x * x * x, fourths += x * x * x * x, uniform += u;
    product += x * random.normal(static_cast<uint64_t>(i) + 1);
  }
  const double root = std::sqrt(static_cast<double>(kCount));
  EXPECT_NEAR(sum / kCount, 0, 5 / root);
  EXPECT_NEAR(squares / kCount, 1, 5 * std::sqrt(2) / root);
  EXPECT_NEAR(cubes / kCount, 0, 5 * std::sqrt(15) / root);
  EXPECT_NEAR(fourths / kCount, 3, 5 * std::sqrt(96) / root);
  EXPECT_NEAR(uniform / kCount, 0.5, 5 * std::sqrt(1 / 12.0) / root);
  EXPECT_NEAR(product / kCount, 0, 5 / root);  // neighbours are uncorrelated
}

TEST(Random, BelowIsUniform) {
  const RandomStream random(3, RandomPurpose::kTest);
  std::array<int, 7> counts{};
  for (uint64_t i = 0; i < 70000; ++i) ++counts[random.below(i, 7)];
  double chi2 = 0;
  for (const int count : counts) chi2 += (count - 10000.0) * (count - 10000.0) / 10000.0;
  EXPECT_LT(chi2, 33);  // 6 degrees of freedom: 1 in 100,000
  for (uint64_t i = 0; i < 100; ++i) EXPECT_EQ(random.below(i, 1), 0u);
  EXPECT_LT(random.below(0, ~0ull), ~0ull);
}

}  // namespace
}  // namespace dslite
