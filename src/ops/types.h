// Plain structs that operations share. T tokens, S segments.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/gemm/gemm.h"

namespace dslite {

enum class ReduceGroup : uint8_t { kDense, kExpert };

// One tensor of the model by its Hugging Face name. The optimizer owns everything else (low bits, moments).
struct Parameter {
  std::string name;
  at::Tensor value;        // fp32 or bf16, contiguous
  at::Tensor grad;         // fp32, same shape; undefined when frozen
  bool grad_empty = true;  // nothing was added in this step: everyone reads grad as zeros, the first use overwrites it
  ReduceGroup reduce_group = ReduceGroup::kDense;
  bool trained() const { return grad.defined(); }
};

// A weight [out, in] as products read it, and where its gradient goes.
struct WeightRef {
  kernels::PanelSource source{};  // row-major as it lies on disk
  int64_t out_features = 0, in_features = 0;
  Parameter* trained = nullptr;  // takes the weight gradient; null when frozen: its product is skipped
};

// The gradient of an activation that several branches read: an fp32 sum whose first part overwrites.
struct GradientSum {
  at::Tensor sum;  // fp32
  bool empty = true;
};

// The tokens of one forward: segments of a flat row. In training q_offsets == kv_offsets; in cached inference a
// segment's keys begin before its queries.
struct Sequence {
  at::Tensor positions;             // [T] int32
  std::vector<int64_t> q_offsets;   // [S + 1]
  std::vector<int64_t> kv_offsets;  // [S + 1]
  int64_t num_tokens() const { return q_offsets.back(); }
  int64_t num_segments() const { return static_cast<int64_t>(q_offsets.size()) - 1; }
};

// The experts that a MoE layer chose: what recomputation, the routing tape and tests replay.
struct Route {
  at::Tensor indices;  // [T, K] int32
};

// One layer's latent cache: pages [num_pages, page_tokens, kv_lora_rank + qk_rope_head_dim] (normed latent, rotated
// k_rope); sequence s keeps token j in page block_table[s, j / page_tokens].
struct LatentCacheView {
  at::Tensor pages;
  at::Tensor block_table;           // [S, max_pages] int32
  std::vector<int64_t> kv_lengths;  // [S] with the tokens of this forward
};

// Angles of rotary embedding: [max_position, qk_rope_head_dim / 2] fp32, times YaRN's multiplier.
struct RopeTable {
  at::Tensor cos, sin;
};

}  // namespace dslite
