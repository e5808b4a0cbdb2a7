// AdamW over the model's trained parameters (arXiv:1711.05101): owns low bits and moments by Hugging Face name; weight decay on matrices only.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "src/ops/types.h"

namespace dslite {

struct AdamWConfig {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1;
  bool bf16_moments = false;       // needs beta2 <= 0.99
};

// Gradient norm over all trained parameters, summed in fp64 in a fixed order.
struct GradientNorm {
  double value = 0;
  struct NonFinite {
    std::string name;
    int64_t count;
  };
  std::vector<NonFinite> non_finite;                 // tensors with NaN or infinity
  double clip_factor(double max_norm) const;         // 1 when max_norm <= 0 or value <= max_norm
};
GradientNorm gradient_norm(const std::vector<Parameter*>& parameters);

class AdamW {
 public:
  AdamW(const AdamWConfig& config, std::vector<Parameter*> parameters);  // takes the trained ones; state starts at zero, low bits at zero
  // step counts from 1 (bias correction).
  void step(int64_t step, double learning_rate, double gradient_scale);

  struct State {                                      // of one parameter; tensors shaped like it
    Parameter* parameter;
    at::Tensor low;                                   // int16, bf16 weights only
    at::Tensor exp_avg, exp_avg_sq;                   // fp32 or bf16
  };
  std::vector<State>& states() { return states_; }   // saved as NAME.low, NAME.exp_avg, NAME.exp_avg_sq

 private:
  AdamWConfig config_;
  std::vector<State> states_;
};

}  // namespace dslite
