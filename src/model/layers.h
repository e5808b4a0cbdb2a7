// The two plain layers that the modules are made of: thin names over operations and their parameters.
#pragma once
#include "src/ops/linear.h"
#include "src/ops/rms_norm.h"

namespace dslite {

// y = x W^T of x's dtype.
struct Linear {
  WeightRef weight;
  explicit Linear(Parameter& parameter) : weight(ops::weight_ref(parameter)) {}
  at::Tensor forward(const at::Tensor& x) const { return ops::linear(x, weight, x.scalar_type()); }
  // Adds to the weight's gradient; returns dx, or adds it to `dx`.
  at::Tensor backward(const at::Tensor& x, const at::Tensor& dy) const {
    ops::add_linear_weight_gradient(x, dy, weight);
    return ops::linear_input_gradient(dy, weight);
  }
  void backward(const at::Tensor& x, const at::Tensor& dy, GradientSum& dx) const {
    ops::add_linear_weight_gradient(x, dy, weight);
    ops::add_linear_input_gradient(dy, weight, dx);
  }
};

struct RmsNorm {
  using Saved = ops::RmsNormSaved;
  Parameter& weight;
  float eps;
  at::Tensor forward(const at::Tensor& x, Saved* saved) const { return ops::rms_norm(x, weight, eps, saved); }
  ops::NormedSum forward_sum(const at::Tensor& x, const at::Tensor& residual, Saved* saved) const {
    return ops::rms_norm_of_sum(x, residual, weight, eps, saved);
  }
  // Adds to the weight's gradient; returns dh plus d_residual, or writes it.
  at::Tensor backward(const Saved& saved, const at::Tensor& dy, const at::Tensor& d_residual = {}) const {
    return ops::rms_norm_backward(saved, weight, dy, d_residual);
  }
  void backward_into(const at::Tensor& dh, const Saved& saved, const at::Tensor& dy) const {
    ops::rms_norm_backward(saved, weight, dy, {}, dh);
  }
};

}  // namespace dslite
