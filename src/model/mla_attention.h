// Multi-head latent attention, DeepSeek-V2 (arXiv:2405.04434), sec. 2.1, with and without compressed queries.
// T tokens, D hidden, H heads; per head N query-key dims without RoPE, R with, V value dims; L latent rank; Q = H (N +
// R).
#pragma once
#include <optional>
#include <string>

#include "src/model/config.h"
#include "src/model/layers.h"
#include "src/model/parameters.h"
#include "src/ops/mla_attention.h"

namespace dslite {

// q = W x, or q = W_b norm(W_a x) when the config has q_lora_rank.
class QueryProjection {
 public:
  struct Saved {
    RmsNorm::Saved norm;   // compressed only
    at::Tensor normed_TC;  // [T, q_lora_rank], compressed only
  };
  QueryProjection(const ModelConfig& config, const ParameterSet& parameters, const std::string& prefix);
  at::Tensor forward(const at::Tensor& x_TD, Saved* saved) const;
  void backward(const Saved& saved, const at::Tensor& x_TD, const at::Tensor& d_q_TQ, GradientSum& dx_TD) const;

 private:
  struct Compression {
    Linear a_proj;
    RmsNorm a_norm;
  };
  std::optional<Compression> compression_;
  Linear out_proj_;  // q_b_proj or q_proj
};

class MlaAttention {
 public:
  struct Saved {
    at::Tensor x_TD;
    QueryProjection::Saved query;
    RmsNorm::Saved kv_a_norm;
    ops::MlaSaved attention;  // q, latent, k_rope, out, lse
  };
  // `prefix`: "model.layers.3.self_attn.". The rope table must outlive the module.
  MlaAttention(const ModelConfig& config, const ParameterSet& parameters, const std::string& prefix,
               const RopeTable& rope_table);
  at::Tensor forward(const at::Tensor& x_TD, const Sequence& sequence, const LatentCacheView* cache,
                     Saved* saved) const;
  // Adds dx to `dx`, and to the gradients of every trained weight of the module.
  void backward(const Saved& saved, const Sequence& sequence, const at::Tensor& dy_TD, GradientSum& dx_TD) const;

 private:
  ops::MlaShape shape_;
  const RopeTable& rope_table_;
  QueryProjection q_proj_;
  Linear kv_a_proj_;
  RmsNorm kv_a_norm_;
  Linear kv_b_proj_, o_proj_;
};

}  // namespace dslite
