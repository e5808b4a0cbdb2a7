// The routed experts of DeepSeekMoE (arXiv:2405.04434, sec. 2.2): grouped SwiGLU MLPs over rows sorted by expert. Gathered x is never materialised; experts without
// rows cost nothing. Memory-saving backward after SonicMoE (arXiv:2512.14080): ds comes from da and a, so expert outputs are never kept.
// D hidden, I intermediate, E experts, rows = T * K.
#pragma once
#include "kernels/common/context.h"
#include "kernels/gemm/gemm.h"

namespace dslite::kernels {

struct ExpertShape {
  int64_t num_tokens, num_rows, num_experts, hidden, intermediate;
  const int64_t* offsets;    // [E + 1], host memory (see permute.h)
  const int32_t* row_token;  // [rows]; null: row r is token r (a dense MLP is one expert with all rows)
};

// Sources of one expert's weights as they lie on disk: gate and up [I, D], down [D, I]; row-major, not transposed, no row_index.
struct ExpertWeights {
  PanelSource gate, up, down;
};

// z = [x gate^T | x up^T] rounded to z's dtype [rows, 2I]; a = swiglu(z) [rows, I]; y = a down^T [rows, D]. Without y (data null), z alone.
struct ExpertForward {
  ExpertShape shape;
  const ExpertWeights* weights;  // [E]
  ConstMatrix x;                 // [T, D]
  Matrix z, a, y;
};
int64_t expert_forward_scratch_bytes(const ExpertShape& shape, int num_threads);
void expert_forward(const Context& context, const ExpertForward& arguments);

// da = d_out[row_token] down, kept in fp32 and never stored; ds = rowsum(da * a); dz = swiglu backward of (s * da, z); scaled_a = s * a; dx_rows = dz [gate; up].
// The sum of dx_rows over a token's slots is combine() with weights null.
struct ExpertInputGradient {
  ExpertShape shape;
  const ExpertWeights* weights;  // [E]
  const float* row_weights;      // [rows] routing weights s in row order; null: 1
  ConstMatrix d_out;             // [T, D] gradient of the combined output
  ConstMatrix z;                 // [rows, 2I]
  float* ds;                     // [rows]; null: not wanted
  Matrix dz;                     // [rows, 2I]
  Matrix scaled_a;               // [rows, I]; data null: not wanted
  Matrix dx_rows;                // [rows, D]
  bool accumulate;               // adds to dx_rows (fp32)
};
int64_t expert_input_gradient_scratch_bytes(const ExpertShape& shape, int num_threads);
void expert_input_gradient(const Context& context, const ExpertInputGradient& arguments);

// Gradients of one expert, fp32, shaped like its weights; each may be null (frozen). `accumulate` false: overwritten (the step's first use).
struct ExpertGradients {
  float* gate;  // [I, D]
  float* up;    // [I, D]
  float* down;  // [D, I]
  bool accumulate;
};
// d_gate/up = dz^T x[row_token], d_down = d_out[row_token]^T scaled_a. An expert without rows is not touched.
struct ExpertWeightGradient {
  ExpertShape shape;
  ConstMatrix x, d_out;          // [T, D]
  ConstMatrix dz, scaled_a;      // [rows, 2I], [rows, I]
  const ExpertGradients* gradients;  // [E]
};
int64_t expert_weight_gradient_scratch_bytes(const ExpertShape& shape, int num_threads);
void expert_weight_gradient(const Context& context, const ExpertWeightGradient& arguments);

}  // namespace dslite::kernels
