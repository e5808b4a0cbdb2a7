// Causal MLA attention over packed segments in plain loops, one query and head at a time.
#include "kernels/attention/attention_reference.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace dslite::kernels {
namespace {

// Rotates pairs in place by the angles of `position`; sign -1: back.
template <class T>
void rotate(const AttentionInputsReference<T>& in, int64_t rope, int32_t position, T sign, T* x) {
  for (int64_t i = 0; i < rope / 2; ++i) {
    const T cos = in.cos[position * (rope / 2) + i], sin = sign * in.sin[position * (rope / 2) + i];
    const T x0 = x[2 * i], x1 = x[2 * i + 1];
    x[2 * i] = x0 * cos - x1 * sin;
    x[2 * i + 1] = x0 * sin + x1 * cos;
  }
}

// One query of one head, rotated, and the keys that it sees.
template <class T>
struct Row {
  const AttentionShape& s;
  const AttentionInputsReference<T>& in;
  int64_t head, query, first_key, num_keys;
  std::vector<T> q;

  int64_t kv_at(int64_t j) const {
    return ((first_key + j) * s.num_heads + head) * (s.qk_nope_head_dim + s.v_head_dim);
  }
  int64_t v_at(int64_t j) const { return kv_at(j) + s.qk_nope_head_dim; }
  int64_t rope_at(int64_t j) const { return (first_key + j) * s.qk_rope_head_dim; }

  // Softmax probabilities; returns log sum exp.
  T probabilities(std::vector<T>& p) const {
    p.assign(num_keys, T(0));
    T highest = -std::numeric_limits<T>::infinity();
    for (int64_t j = 0; j < num_keys; ++j) {
      for (int64_t d = 0; d < s.qk_nope_head_dim; ++d) p[j] += q[d] * in.kv[kv_at(j) + d];
      for (int64_t d = 0; d < s.qk_rope_head_dim; ++d) p[j] += q[s.qk_nope_head_dim + d] * in.k_rope[rope_at(j) + d];
      p[j] *= static_cast<T>(s.scale);
      highest = std::max(highest, p[j]);
    }
    T total = 0;
    for (T& value : p) total += value = std::exp(value - highest);
    for (T& value : p) value /= total;
    return highest + std::log(total);
  }
};

template <class T, class Body>
void for_each_row(const AttentionShape& s, const AttentionInputsReference<T>& in, const Body& body) {
  for (int64_t segment = 0; segment < s.num_segments; ++segment) {
    const int64_t n = s.q_offsets[segment + 1] - s.q_offsets[segment],
                  m = s.kv_offsets[segment + 1] - s.kv_offsets[segment];
    for (int64_t head = 0; head < s.num_heads; ++head)
      for (int64_t i = 0; i < n; ++i) {
        const int64_t query = s.q_offsets[segment] + i, depth = s.qk_nope_head_dim + s.qk_rope_head_dim;
        const T* q = in.q + (query * s.num_heads + head) * depth;
        Row<T> row{s, in, head, query, s.kv_offsets[segment], m - n + i + 1, {q, q + depth}};
        if (s.qk_rope_head_dim > 0)
          rotate(in, s.qk_rope_head_dim, in.positions[query], T(1), row.q.data() + s.qk_nope_head_dim);
        body(row);
      }
  }
}

}  // namespace

template <class T>
void attention_forward_reference(const AttentionShape& s, const AttentionInputsReference<T>& inputs, T* out, T* lse) {
  std::vector<T> p;
  for_each_row(s, inputs, [&](const Row<T>& row) {
    const T row_lse = row.probabilities(p);
    const int64_t at = row.query * s.num_heads + row.head;
    if (lse) lse[at] = row_lse;
    for (int64_t v = 0; v < s.v_head_dim; ++v) {
      T total = 0;
      for (int64_t j = 0; j < row.num_keys; ++j) total += p[j] * inputs.kv[row.v_at(j) + v];
      out[at * s.v_head_dim + v] = total;
    }
  });
}

template <class T>
void attention_backward_reference(const AttentionShape& s, const AttentionInputsReference<T>& inputs,
                                  const AttentionBackwardReference<T>& b) {
  const int64_t nope = s.qk_nope_head_dim, rope = s.qk_rope_head_dim;
  std::fill_n(b.d_q, s.num_queries * s.num_heads * (nope + rope), T(0));
  std::fill_n(b.d_kv, s.num_keys * s.num_heads * (nope + s.v_head_dim), T(0));
  std::fill_n(b.d_k_rope, s.num_keys * rope, T(0));
  std::vector<T> p, d_p;
  for_each_row(s, inputs, [&](const Row<T>& row) {
    row.probabilities(p);
    d_p.assign(row.num_keys, T(0));
    const T* d_out = b.d_out + (row.query * s.num_heads + row.head) * s.v_head_dim;
    T* d_q = b.d_q + (row.query * s.num_heads + row.head) * (nope + rope);
    T mean = 0;  // sum_j p_j dP_j = rowsum(dO o)
    for (int64_t j = 0; j < row.num_keys; ++j) {
      for (int64_t v = 0; v < s.v_head_dim; ++v) {
        d_p[j] += d_out[v] * inputs.kv[row.v_at(j) + v];
        b.d_kv[row.v_at(j) + v] += p[j] * d_out[v];
      }
      mean += p[j] * d_p[j];
    }
    for (int64_t j = 0; j < row.num_keys; ++j) {
      const T d_s = static_cast<T>(s.scale) * p[j] * (d_p[j] - mean);
      for (int64_t d = 0; d < nope; ++d) {
        d_q[d] += d_s * inputs.kv[row.kv_at(j) + d];
        b.d_kv[row.kv_at(j) + d] += d_s * row.q[d];
      }
      for (int64_t d = 0; d < rope; ++d) {
        d_q[nope + d] += d_s * inputs.k_rope[row.rope_at(j) + d];
        b.d_k_rope[row.rope_at(j) + d] += d_s * row.q[nope + d];
      }
    }
    if (rope > 0) rotate(inputs, rope, inputs.positions[row.query], T(-1), d_q + nope);
  });
  for (int64_t j = 0; rope > 0 && j < s.num_keys; ++j)
    rotate(inputs, rope, b.key_positions[j], T(-1), b.d_k_rope + j * rope);
}

template void attention_forward_reference(const AttentionShape&, const AttentionInputsReference<float>&, float*,
                                          float*);
template void attention_forward_reference(const AttentionShape&, const AttentionInputsReference<double>&, double*,
                                          double*);
template void attention_backward_reference(const AttentionShape&, const AttentionInputsReference<float>&,
                                           const AttentionBackwardReference<float>&);
template void attention_backward_reference(const AttentionShape&, const AttentionInputsReference<double>&,
                                           const AttentionBackwardReference<double>&);

}  // namespace dslite::kernels
