// The one comparison of tests.
#include "tests/support/compare.h"

#include <cmath>
#include <cstring>
#include <sstream>

namespace dslite::test {
namespace {

template <class A, class E>
Comparison compare_any(std::span<const A> actual, std::span<const E> expected, int64_t columns) {
  Comparison result{.columns = columns};
  if (actual.size() != expected.size()) {
    ADD_FAILURE() << "compare: " << actual.size() << " elements, expected " << expected.size();
    result.num_non_finite = 1;
    return result;
  }
  result.count = static_cast<int64_t>(actual.size());
  double largest = 0, error2 = 0, actual2 = 0, expected2 = 0, dot = 0;
  for (int64_t i = 0; i < result.count; ++i) {
    const double a = actual[i], e = expected[i];
    if (!std::isfinite(a) || !std::isfinite(e)) {
      if (result.num_non_finite++ == 0) result.first_non_finite = i;
      continue;
    }
    const double error = std::abs(a - e);
    if (error > result.max_abs || result.worst < 0)
      result.max_abs = error, result.worst = i, result.worst_actual = a, result.worst_expected = e;
    largest = std::max(largest, std::abs(e));
    error2 += error * error, actual2 += a * a, expected2 += e * e, dot += a * e;
  }
  result.relative_to_max = largest > 0 ? result.max_abs / largest : result.max_abs;
  result.relative_norm = expected2 > 0 ? std::sqrt(error2 / expected2) : std::sqrt(error2);
  if (actual2 > 0 && expected2 > 0) result.cosine = dot / std::sqrt(actual2 * expected2);
  return result;
}

void print_place(std::ostream& out, int64_t index, int64_t columns) {
  if (columns > 0) {
    out << "[" << index / columns << ", " << index % columns << "]";
  } else {
    out << "[" << index << "]";
  }
}

}  // namespace

std::string Comparison::text() const {
  std::ostringstream out;
  out.precision(9);
  if (num_non_finite > 0) {
    out << num_non_finite << " non-finite of " << count << ", first at ";
    print_place(out, first_non_finite, columns);
    out << "; ";
  }
  out << "max abs " << max_abs << ", relative to the largest " << relative_to_max << ", relative norm " << relative_norm
      << ", 1 - cosine " << 1 - cosine;
  if (worst >= 0) {
    out << "; worst at ";
    print_place(out, worst, columns);
    out << ": " << worst_actual << ", expected " << worst_expected;
  }
  return out.str();
}

Comparison compare(std::span<const float> actual, std::span<const float> expected, int64_t columns) {
  return compare_any(actual, expected, columns);
}
Comparison compare(std::span<const float> actual, std::span<const double> expected, int64_t columns) {
  return compare_any(actual, expected, columns);
}
Comparison compare(std::span<const double> actual, std::span<const double> expected, int64_t columns) {
  return compare_any(actual, expected, columns);
}

::testing::AssertionResult within(const Comparison& comparison, double tolerance) {
  const bool good = comparison.num_non_finite == 0 && comparison.relative_to_max <= tolerance &&
                    comparison.relative_norm <= tolerance;
  if (good) return ::testing::AssertionSuccess() << comparison.text();
  return ::testing::AssertionFailure() << comparison.text() << "; tolerance " << tolerance;
}

::testing::AssertionResult same_bytes(std::span<const std::byte> actual, std::span<const std::byte> expected,
                                      int64_t element_bytes) {
  if (actual.size() != expected.size())
    return ::testing::AssertionFailure() << actual.size() << " bytes, expected " << expected.size();
  if (actual.empty() || std::memcmp(actual.data(), expected.data(), actual.size()) == 0)
    return ::testing::AssertionSuccess();
  size_t first = 0;
  while (actual[first] == expected[first]) ++first;
  return ::testing::AssertionFailure() << "bits differ, first in element "
                                       << static_cast<int64_t>(first) / element_bytes << " of "
                                       << static_cast<int64_t>(actual.size()) / element_bytes;
}

}  // namespace dslite::test
