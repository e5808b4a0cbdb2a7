// AdamW with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101), one pass a tensor, in fp32:
//   g = gradient * gradient_scale; m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
//   w = w (1 - lr weight_decay) - lr * (m / bias_correction1) / (sqrt(v / bias_correction2) + eps).
// A bf16 weight keeps its fp32 master exactly as {bf16 value, 16 more bits}: master_bits = (value << 16) + int16 low, the value being the master rounded to nearest, half away from zero in magnitude bits.
#pragma once
#include "kernels/common/context.h"

namespace dslite::kernels {

struct AdamW {
  int64_t size;
  void* value;              // fp32, or bf16 with `low`
  DType value_dtype;
  int16_t* low;             // [size] when value is bf16, else null
  const float* gradient;    // null: an empty gradient, read as zeros
  void* exp_avg;            // moments, rounded to nearest even when bf16
  void* exp_avg_sq;
  DType moment_dtype;
  float learning_rate, beta1, beta2, eps, weight_decay;
  float bias_correction1, bias_correction2;  // 1 - beta^step
  float gradient_scale;     // the clip factor
};
void adamw(const Context& context, const AdamW& arguments);

struct GradientStatistics {
  double sum_squares;       // fp64, in blocks of fixed size added in ascending order
  int64_t num_nonfinite;
};
int64_t gradient_statistics_scratch_bytes(int64_t size);
GradientStatistics gradient_statistics(const Context& context, const float* gradient, int64_t size);

// Splits fp32 masters into {bf16, low} and joins them again (exact).
void split_master(const Context& context, int64_t size, const float* master, uint16_t* value, int16_t* low);
void join_master(const Context& context, int64_t size, const uint16_t* value, const int16_t* low, float* master);

}  // namespace dslite::kernels
