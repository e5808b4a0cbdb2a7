// The comparison and the guards themselves: a tool of tests that never fails proves nothing.
#include <gtest/gtest.h>

#include <limits>

#include "tests/support/compare.h"
#include "tests/support/test_data.h"

namespace dslite::test {
namespace {

TEST(Compare, NamesTheWorstElement) {
  const std::vector<float> actual{1, 2, 3, 4, 5, 7};
  const std::vector<double> expected{1, 2, 3, 4, 5, 6};
  const Comparison result = compare(actual, expected, 3);
  EXPECT_EQ(result.worst, 5);
  EXPECT_DOUBLE_EQ(result.max_abs, 1);
  EXPECT_DOUBLE_EQ(result.relative_to_max, 1.0 / 6);
  EXPECT_NE(result.text().find("[1, 2]"), std::string::npos);
  EXPECT_FALSE(close(actual, expected, 0.1));
  EXPECT_TRUE(close(actual, expected, 0.2));
}

TEST(Compare, NonFiniteFails) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(close(std::vector<float>{1, nan}, std::vector<double>{1, 2}, 1e9));
  EXPECT_FALSE(close(std::vector<float>{nan}, std::vector<float>{nan}, 1e9));
  EXPECT_FALSE(close(std::vector<float>{1}, std::vector<float>{std::numeric_limits<float>::infinity()}, 1e9));
}

TEST(Compare, BitsDifferForSignedZero) { EXPECT_FALSE(same_bits(std::vector<float>{0.f}, std::vector<float>{-0.f})); }

TEST(TypedMatrix, KeepsValuesAndEndsAtTheGuard) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  for (const auto dtype : {kernels::DType::kFloat32, kernels::DType::kBFloat16}) {
    TypedMatrix m = TypedMatrix::random(dtype, 3, 5, 1, 2.0f, 4);
    EXPECT_EQ(m.at(2, 4), through(dtype, 2.0f * random_value(1, 14)));
    EXPECT_TRUE(m.padding_untouched());
    EXPECT_DEATH(static_cast<volatile char*>(m.data())[(2 * 9 + 5) * dtype_bytes(dtype)] = 0, "");
  }
}

}  // namespace
}  // namespace dslite::test
