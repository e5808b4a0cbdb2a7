#include "tests/model/reference_model.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

namespace dslite::test {
namespace {

using at::Tensor;

Tensor norm(const Tensor& x, const Tensor& weight, double eps) {
  return x * (x.pow(2).mean(-1, true) + eps).rsqrt() * weight;
}
Tensor project(const Tensor& x, const Tensor& weight) { return x.matmul(weight.t()); }
Tensor mlp(const Tensor& x, const Tensor& gate, const Tensor& up, const Tensor& down) {
  return project(at::silu(project(x, gate)) * project(x, up), down);
}

class Run {
 public:
  Run(const ModelConfig& config, const std::map<std::string, Tensor>& weights) : c_(config) {
    for (const auto& [name, value] : weights) leaves_[name] = value.clone().requires_grad_();
  }

  ReferenceResult operator()(const std::vector<Document>& documents, double alpha) {
    ReferenceResult result;
    for (int64_t l = 0; l < c_.num_hidden_layers; ++l) {
      if (c_.is_moe_layer(l)) layer_index_[l] = static_cast<int64_t>(layer_index_.size());
    }
    result.moe.resize(layer_index_.size());
    int64_t tokens = 0;
    double target_weight = 0;
    for (const Document& d : documents) {
      tokens += static_cast<int64_t>(d.ids.size());
      for (size_t t = 1; t < d.ids.size(); ++t) target_weight += d.loss_weight[t];
    }
    Tensor total = at::zeros({}, at::kDouble), loss = at::zeros({}, at::kDouble);
    std::vector<Tensor> logits;
    for (const Document& document : documents) {
      balance_ = at::zeros({}, at::kDouble);
      logits.push_back(forward(document, result));
      total = total + alpha / static_cast<double>(tokens) * balance_;
      const Tensor log_p = at::log_softmax(logits.back(), -1);
      for (size_t t = 0; t + 1 < document.ids.size(); ++t) {
        if (target_weight > 0)
          loss = loss - document.loss_weight[t + 1] / target_weight * log_p[t][document.ids[t + 1]];
      }
    }
    for (ReferenceLayer& layer : result.moe) layer.balance_loss /= static_cast<double>(tokens);
    total = total + loss;
    if (total.requires_grad()) total.backward();
    result.logits = at::cat(logits).detach();
    result.loss = loss.item<double>();
    for (const auto& [name, leaf] : leaves_)
      result.gradients[name] = leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf).detach();
    return result;
  }

 private:
  const Tensor& w(const std::string& name) const { return leaves_.at(name); }

  Tensor forward(const Document& document, ReferenceResult& result) {
    std::vector<Tensor> rows;
    for (const int32_t id : document.ids) rows.push_back(w("model.embed_tokens.weight")[id]);
    Tensor x = at::stack(rows);
    for (int64_t l = 0; l < c_.num_hidden_layers; ++l) {
      const std::string prefix = "model.layers." + std::to_string(l) + ".";
      x = x + attention(norm(x, w(prefix + "input_layernorm.weight"), c_.rms_norm_eps), prefix + "self_attn.");
      const Tensor normed = norm(x, w(prefix + "post_attention_layernorm.weight"), c_.rms_norm_eps);
      if (c_.is_moe_layer(l)) {
        x = x + moe(normed, prefix + "mlp.", result.moe[layer_index_[l]]);
      } else {
        x = x + named_mlp(normed, prefix + "mlp.");
      }
    }
    const Tensor hidden = norm(x, w("model.norm.weight"), c_.rms_norm_eps);
    return project(hidden, w(c_.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight"));
  }

  Tensor named_mlp(const Tensor& x, const std::string& p) {
    return mlp(x, w(p + "gate_proj.weight"), w(p + "up_proj.weight"), w(p + "down_proj.weight"));
  }

  // Pair i of position p turns by p * frequency(i) (model.md, section 3).
  double frequency(int64_t i) const {
    const double dim = static_cast<double>(c_.qk_rope_head_dim),
                 plain = std::pow(c_.rope_theta, -2.0 * static_cast<double>(i) / dim);
    if (!c_.rope_scaling) return plain;
    const YarnScaling& y = *c_.rope_scaling;
    const auto place = [&](double r) {
      return dim * std::log(static_cast<double>(y.original_max_position_embeddings) / (r * 2 * std::numbers::pi)) /
             (2 * std::log(c_.rope_theta));
    };
    const double low = std::max(std::floor(place(y.beta_fast)), 0.0);
    double high = std::min(std::ceil(place(y.beta_slow)), dim - 1);
    if (high == low) high += 0.001;
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    return plain / y.factor * ramp + plain * (1 - ramp);
  }
  static double mscale(double s, double m) { return s <= 1 ? 1 : 0.1 * m * std::log(s) + 1; }

  Tensor rotate(const Tensor& x) const {  // [n, R]
    const double multiplier = c_.rope_scaling ? mscale(c_.rope_scaling->factor, c_.rope_scaling->mscale) /
                                                    mscale(c_.rope_scaling->factor, c_.rope_scaling->mscale_all_dim)
                                              : 1;
    std::vector<Tensor> columns;
    const Tensor position = at::arange(x.size(0), at::kDouble);
    for (int64_t i = 0; i < x.size(1) / 2; ++i) {
      const Tensor angle = position * frequency(i), cos = angle.cos() * multiplier, sin = angle.sin() * multiplier;
      const Tensor a = x.select(1, 2 * i), b = x.select(1, 2 * i + 1);
      columns.push_back(a * cos - b * sin);
      columns.push_back(a * sin + b * cos);
    }
    return at::stack(columns, 1);
  }

  Tensor attention(const Tensor& x, const std::string& p) const {
    const int64_t n = x.size(0), nope = c_.qk_nope_head_dim, qk = c_.qk_head_dim(), value = c_.v_head_dim;
    const Tensor q = c_.q_lora_rank
                         ? project(norm(project(x, w(p + "q_a_proj.weight")), w(p + "q_a_layernorm.weight"), 1e-6),
                                   w(p + "q_b_proj.weight"))
                         : project(x, w(p + "q_proj.weight"));
    const Tensor kv_a = project(x, w(p + "kv_a_proj_with_mqa.weight"));
    const Tensor kv = project(norm(kv_a.slice(1, 0, c_.kv_lora_rank), w(p + "kv_a_layernorm.weight"), 1e-6),
                              w(p + "kv_b_proj.weight"));
    const Tensor k_rope = rotate(kv_a.slice(1, c_.kv_lora_rank));
    double scale = 1 / std::sqrt(static_cast<double>(qk));
    if (c_.rope_scaling) scale *= std::pow(mscale(c_.rope_scaling->factor, c_.rope_scaling->mscale_all_dim), 2);
    const Tensor future = at::ones({n, n}, at::kBool).triu(1);
    std::vector<Tensor> heads;
    for (int64_t h = 0; h < c_.num_attention_heads; ++h) {
      const Tensor q_h = q.slice(1, h * qk, (h + 1) * qk),
                   kv_h = kv.slice(1, h * (nope + value), (h + 1) * (nope + value));
      const Tensor scores =
          q_h.slice(1, 0, nope).matmul(kv_h.slice(1, 0, nope).t()) + rotate(q_h.slice(1, nope)).matmul(k_rope.t());
      const Tensor p_h = at::softmax((scores * scale).masked_fill(future, -INFINITY), -1);
      heads.push_back(p_h.matmul(kv_h.slice(1, nope)));
    }
    return project(at::cat(heads, 1), w(p + "o_proj.weight"));
  }

  // Experts by falling probability among the kept groups; ties to the lower index.
  std::vector<int64_t> choose(const std::vector<double>& p, double& gap) const {
    const auto experts = static_cast<int64_t>(p.size()), groups = c_.group_limited ? c_.n_group : 1,
               size = experts / groups;
    const auto best = [&](std::vector<int64_t> items, const auto& score, int64_t count) {
      std::stable_sort(items.begin(), items.end(), [&](int64_t a, int64_t b) { return score(a) > score(b); });
      if (count < static_cast<int64_t>(items.size()))
        gap = std::min(gap, score(items[count - 1]) - score(items[count]));
      items.resize(count);
      return items;
    };
    std::vector<int64_t> all_groups(groups), candidates;
    std::iota(all_groups.begin(), all_groups.end(), 0);
    const auto group_score = [&](int64_t g) {
      return *std::max_element(p.begin() + g * size, p.begin() + (g + 1) * size);
    };
    std::vector<int64_t> kept = best(all_groups, group_score, c_.group_limited ? c_.topk_group : 1);
    std::sort(kept.begin(), kept.end());
    for (const int64_t g : kept) {
      for (int64_t e = g * size; e < (g + 1) * size; ++e) candidates.push_back(e);
    }
    return best(
        candidates, [&](int64_t e) { return p[e]; }, c_.num_experts_per_tok);
  }

  Tensor moe(const Tensor& x, const std::string& p, ReferenceLayer& layer) {
    const int64_t n = x.size(0), experts = *c_.n_routed_experts, chosen_count = c_.num_experts_per_tok;
    const Tensor probabilities = at::softmax(project(x, w(p + "gate.weight")), -1);
    std::vector<double> load(experts);
    std::vector<Tensor> rows;
    for (int64_t t = 0; t < n; ++t) {
      const Tensor row = probabilities[t].detach().contiguous();
      const std::vector<int64_t> chosen =
          choose({row.data_ptr<double>(), row.data_ptr<double>() + experts}, layer.smallest_gap);
      Tensor sum = at::zeros({}, at::kDouble), out = at::zeros({c_.hidden_size}, at::kDouble);
      for (const int64_t e : chosen) sum = sum + probabilities[t][e];
      std::vector<double> weights;
      for (const int64_t e : chosen) {
        ++load[e];
        const Tensor raw = probabilities[t][e];
        const Tensor weight =
            c_.norm_topk_prob && chosen_count > 1 ? raw / (sum + 1e-20) : raw * c_.routed_scaling_factor;
        out = out + weight * named_mlp(x[t].unsqueeze(0), p + "experts." + std::to_string(e) + ".")[0];
        weights.push_back(weight.item<double>());
      }
      rows.push_back(out);
      layer.chosen.push_back(chosen);
      layer.weights.push_back(weights);
    }
    Tensor document_balance = at::zeros({}, at::kDouble);  // sum_i f_i P_i, report eq. 23-25
    for (int64_t e = 0; e < experts; ++e) {
      const double f = static_cast<double>(experts) / static_cast<double>(chosen_count * n) * load[e];
      document_balance = document_balance + f * probabilities.select(1, e).mean();
    }
    balance_ = balance_ + static_cast<double>(n) * document_balance;
    layer.balance_loss += static_cast<double>(n) * document_balance.item<double>();
    Tensor out = at::stack(rows);
    if (c_.n_shared_experts > 0) out = out + named_mlp(x, p + "shared_experts.");
    return out;
  }

  const ModelConfig& c_;
  std::map<std::string, Tensor> leaves_;
  std::map<int64_t, int64_t> layer_index_;
  Tensor balance_;
};

}  // namespace

ReferenceResult run_reference(const ModelConfig& config, const std::map<std::string, at::Tensor>& weights,
                              const std::vector<Document>& documents, double balance_alpha) {
  return Run(config, weights)(documents, balance_alpha);
}

}  // namespace dslite::test
