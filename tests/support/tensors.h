// Tensors in tests: deterministic random values, comparison against fp64, bitwise equality.
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <string>
#include <vector>

#include "tests/support/compare.h"
#include "tests/support/test_data.h"

namespace dslite::test {

// Uniform in [-scale, scale), rounded to `dtype`; a function of (seed, index) alone.
inline at::Tensor random_tensor(at::IntArrayRef shape, uint64_t seed, double scale = 1,
                                at::ScalarType dtype = at::kFloat) {
  at::Tensor out = at::empty(shape, at::kFloat);
  for (int64_t i = 0; i < out.numel(); ++i) {
    out.data_ptr<float>()[i] = static_cast<float>(scale) * random_value(seed, static_cast<uint64_t>(i));
  }
  return out.to(dtype);
}

inline at::Tensor int_tensor(const std::vector<int32_t>& values) {
  at::Tensor out = at::empty({static_cast<int64_t>(values.size())}, at::kInt);
  std::copy(values.begin(), values.end(), out.data_ptr<int32_t>());
  return out;
}

// Error against an fp64 reference, kernels.md tolerance (b).
inline ::testing::AssertionResult close(const at::Tensor& actual, const at::Tensor& expected, double tolerance) {
  if (actual.sizes() != expected.sizes()) return ::testing::AssertionFailure() << "shapes differ";
  const at::Tensor a = actual.detach().to(at::kDouble).contiguous(), b = expected.detach().to(at::kDouble).contiguous();
  const auto span = [](const at::Tensor& t) {
    return std::span<const double>(t.const_data_ptr<double>(), static_cast<size_t>(t.numel()));
  };
  return within(compare(span(a), span(b), a.dim() > 1 ? a.size(-1) : 0), tolerance);
}

inline ::testing::AssertionResult same_tensor(const at::Tensor& actual, const at::Tensor& expected) {
  if (actual.defined() != expected.defined()) return ::testing::AssertionFailure() << "only one is defined";
  if (!actual.defined()) return ::testing::AssertionSuccess();
  if (actual.sizes() != expected.sizes() || actual.scalar_type() != expected.scalar_type()) {
    return ::testing::AssertionFailure() << "shapes or dtypes differ";
  }
  const at::Tensor a = actual.contiguous(), b = expected.contiguous();
  const auto bytes = [](const at::Tensor& t) {
    return std::span(static_cast<const std::byte*>(t.const_data_ptr()), static_cast<size_t>(t.nbytes()));
  };
  return same_bytes(bytes(a), bytes(b), a.element_size());
}

// |actual - expected| / |expected|, in fp64.
inline double relative_norm(const at::Tensor& actual, const at::Tensor& expected) {
  const at::Tensor a = actual.detach().to(at::kDouble), b = expected.detach().to(at::kDouble);
  const double size = b.norm().item<double>();
  return size == 0 ? a.norm().item<double>() : (a - b).norm().item<double>() / size;
}

}  // namespace dslite::test
