// What the tests of operations share: parameters, fp64 leaves for LibTorch's autograd, and equal bits for any number of
// threads.
#pragma once
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "src/base/parallel_for.h"
#include "src/ops/types.h"
#include "tests/support/tensors.h"

namespace dslite::test {

constexpr at::ScalarType kDtypes[] = {at::kFloat, at::kBFloat16};
struct Tolerance {
  double fp32, bf16;
  double of(at::ScalarType dtype) const { return dtype == at::kFloat ? fp32 : bf16; }
};

// An empty gradient is full of NaN: it must be overwritten, never read.
inline Parameter make_parameter(const at::Tensor& value, bool trained = true) {
  Parameter parameter{.name = "weight", .value = value, .grad = {}};
  if (trained) parameter.grad = at::full(value.sizes(), NAN, at::kFloat);
  return parameter;
}

inline at::Tensor leaf(const at::Tensor& value) { return value.to(at::kDouble).clone().requires_grad_(); }

// The outputs of `run` with two threads; they have the same bits in a second run and with one thread.
inline std::vector<at::Tensor> deterministic(const std::function<std::vector<at::Tensor>()>& run) {
  set_num_threads(2);
  const std::vector<at::Tensor> first = run();
  for (const int threads : {2, 1}) {
    set_num_threads(threads);
    const std::vector<at::Tensor> again = run();
    EXPECT_EQ(again.size(), first.size());
    for (size_t i = 0; i < first.size(); ++i)
      EXPECT_TRUE(same_tensor(again[i], first[i])) << "output " << i << ", threads " << threads;
  }
  set_num_threads(2);
  return first;
}

// A second use adds to a gradient, a step that begins again overwrites it. `add` runs the backward pass once.
inline void expect_gradient_protocol(Parameter& parameter, const std::function<void()>& add) {
  parameter.grad.fill_(NAN);
  parameter.grad_empty = true;
  add();
  EXPECT_FALSE(parameter.grad_empty);
  const at::Tensor once = parameter.grad.clone();
  add();
  EXPECT_TRUE(close(parameter.grad, once.to(at::kDouble) * 2, 1e-6));
  parameter.grad_empty = true;
  add();
  EXPECT_TRUE(same_tensor(parameter.grad, once));
}

}  // namespace dslite::test
