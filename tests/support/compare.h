// The one comparison of tests (kernels.md, tolerance b): non-finite positions, absolute and relative error, cosine, the
// worst element with its coordinates.
#pragma once
#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <string>

namespace dslite::test {

struct Comparison {
  int64_t count = 0;
  int64_t num_non_finite = 0;  // positions where either side is NaN or infinite
  int64_t first_non_finite = -1;
  double max_abs = 0;          // max |y - ref|
  double relative_to_max = 0;  // max |y - ref| / max |ref| (absolute where ref is all zeros)
  double relative_norm = 0;    // |y - ref| / |ref| (absolute where ref is all zeros)
  double cosine = 1;           // of y and ref; 1 when both are zero
  int64_t worst = -1;          // index of max_abs
  double worst_actual = 0, worst_expected = 0;
  int64_t columns = 0;  // > 0: indices are printed as [row, column]
  std::string text() const;
};

Comparison compare(std::span<const float> actual, std::span<const float> expected, int64_t columns = 0);
Comparison compare(std::span<const float> actual, std::span<const double> expected, int64_t columns = 0);
Comparison compare(std::span<const double> actual, std::span<const double> expected, int64_t columns = 0);

// Success when all is finite and both relative_to_max and relative_norm are <= tolerance.
::testing::AssertionResult within(const Comparison& comparison, double tolerance);
template <class Actual, class Expected>
::testing::AssertionResult close(const Actual& actual, const Expected& expected, double tolerance,
                                 int64_t columns = 0) {
  return within(compare(std::span(actual), std::span(expected), columns), tolerance);
}

// Bitwise equality of two buffers of one element type; names the first difference.
::testing::AssertionResult same_bytes(std::span<const std::byte> actual, std::span<const std::byte> expected,
                                      int64_t element_bytes);
template <class T>
::testing::AssertionResult same_bits(const T& actual, const T& expected) {
  return same_bytes(std::as_bytes(std::span(actual)), std::as_bytes(std::span(expected)), sizeof(actual[0]));
}

}  // namespace dslite::test
