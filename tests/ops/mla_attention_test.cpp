// The attention of MLA over packed segments: forward against the plain reference in double, backward against LibTorch's
// autograd in fp64; the cached forms are held to it in tests/model/cache_test.cpp.
#include "src/ops/mla_attention.h"

#include "kernels/attention/attention_reference.h"
#include "src/ops/linear.h"
#include "tests/ops/op_test.h"

namespace dslite::test {
namespace {

using at::Tensor;

struct Case {
  ops::MlaShape shape;
  std::vector<int64_t> lengths;
};

std::vector<Case> cases() {
  return {{{.num_heads = 1,
            .qk_nope_head_dim = 1,
            .qk_rope_head_dim = 2,
            .v_head_dim = 1,
            .kv_lora_rank = 1,
            .scale = 1.0f},
           {1}},
          {{.num_heads = 3,
            .qk_nope_head_dim = 10,
            .qk_rope_head_dim = 8,
            .v_head_dim = 12,
            .kv_lora_rank = 17,
            .scale = 0.3f},
           {1, 19, 64, 2}},
          {{.num_heads = 2,
            .qk_nope_head_dim = 128,
            .qk_rope_head_dim = 64,
            .v_head_dim = 128,
            .kv_lora_rank = 96,
            .scale = 0.1147f},
           {70, 65}},
          {{.num_heads = 5,
            .qk_nope_head_dim = 7,
            .qk_rope_head_dim = 4,
            .v_head_dim = 9,
            .kv_lora_rank = 30,
            .scale = 0.5f},
           {150}}};
}

Sequence sequence_of(const std::vector<int64_t>& lengths) {
  Sequence sequence{.positions = {}, .q_offsets = {0}, .kv_offsets = {}};
  std::vector<int32_t> positions;
  for (const int64_t length : lengths) {
    const auto offset = static_cast<int32_t>(sequence.q_offsets.size()) * 11;  // positions need not begin at 0
    for (int64_t t = 0; t < length; ++t) positions.push_back(offset + static_cast<int32_t>(t));
    sequence.q_offsets.push_back(static_cast<int64_t>(positions.size()));
  }
  sequence.positions = int_tensor(positions);
  sequence.kv_offsets = sequence.q_offsets;
  return sequence;
}

Tensor rotate64(const Tensor& x, const Tensor& positions, const RopeTable& table) {  // [n, R]
  const Tensor index = positions.to(at::kLong), cos = table.cos.to(at::kDouble).index_select(0, index),
               sin = table.sin.to(at::kDouble).index_select(0, index);
  const Tensor pairs = x.view({x.size(0), -1, 2}), a = pairs.select(2, 0), b = pairs.select(2, 1);
  return at::stack({a * cos - b * sin, a * sin + b * cos}, 2).view(x.sizes());
}

// One segment and head after another, in fp64.
Tensor attention64(const Tensor& q, const Tensor& latent, const Tensor& k_rope, const Tensor& kv_b,
                   const ops::MlaShape& s, const RopeTable& table, const Sequence& sequence) {
  const int64_t qk = s.qk_nope_head_dim + s.qk_rope_head_dim, width = s.qk_nope_head_dim + s.v_head_dim;
  const Tensor kv = latent.matmul(kv_b.t());
  std::vector<Tensor> segments;
  for (int64_t i = 0; i < sequence.num_segments(); ++i) {
    const int64_t begin = sequence.q_offsets[i], end = sequence.q_offsets[i + 1];
    const Tensor positions = sequence.positions.slice(0, begin, end);
    const Tensor future = at::ones({end - begin, end - begin}, at::kBool).triu(1);
    std::vector<Tensor> heads;
    for (int64_t h = 0; h < s.num_heads; ++h) {
      const Tensor q_h = q.slice(0, begin, end).slice(1, h * qk, (h + 1) * qk),
                   kv_h = kv.slice(0, begin, end).slice(1, h * width, (h + 1) * width);
      const Tensor scores = q_h.slice(1, 0, s.qk_nope_head_dim).matmul(kv_h.slice(1, 0, s.qk_nope_head_dim).t()) +
                            rotate64(q_h.slice(1, s.qk_nope_head_dim), positions, table)
                                .matmul(rotate64(k_rope.slice(0, begin, end), positions, table).t());
      heads.push_back(at::softmax((scores * static_cast<double>(s.scale)).masked_fill(future, -INFINITY), -1)
                          .matmul(kv_h.slice(1, s.qk_nope_head_dim)));
    }
    segments.push_back(at::cat(heads, 1));
  }
  return at::cat(segments);
}

TEST(MlaAttention, Table) {
  const Tolerance forward{2e-6, 8e-3}, backward{5e-6, 1.5e-2};
  for (const at::ScalarType dtype : kDtypes) {
    for (const Case& c : cases()) {
      const ops::MlaShape& s = c.shape;
      SCOPED_TRACE(testing::Message() << dtype << ", heads " << s.num_heads);
      const Sequence sequence = sequence_of(c.lengths);
      const int64_t tokens = sequence.num_tokens(), q_width = s.num_heads * (s.qk_nope_head_dim + s.qk_rope_head_dim);
      const Tensor angles = random_tensor({256, s.qk_rope_head_dim / 2}, 9, 3);
      const RopeTable table{.cos = angles.cos(), .sin = angles.sin()};
      const Tensor q = random_tensor({tokens, q_width}, 1, 1, dtype),
                   latent = random_tensor({tokens, s.kv_lora_rank}, 2, 1, dtype);
      const Tensor kv_a = random_tensor({tokens, 3 + s.qk_rope_head_dim}, 3, 1, dtype), k_rope = kv_a.slice(1, 3);
      const Tensor d_out = random_tensor({tokens, s.num_heads * s.v_head_dim}, 4, 1, dtype);
      Parameter kv_b = make_parameter(
          random_tensor({s.num_heads * (s.qk_nope_head_dim + s.v_head_dim), s.kv_lora_rank}, 5, 0.3, dtype));
      const WeightRef weight = ops::weight_ref(kv_b);
      ops::MlaSaved saved;
      const auto results = deterministic([&] {
        kv_b.grad_empty = true;
        const Tensor out = ops::mla_attention({q, latent, k_rope}, weight, s, table, sequence, nullptr, &saved);
        EXPECT_TRUE(
            same_tensor(ops::mla_attention({q, latent, k_rope}, weight, s, table, sequence, nullptr, nullptr), out));
        const Tensor d_kv_a = at::full({tokens, 1 + s.qk_rope_head_dim}, NAN, dtype);
        const ops::MlaGradient gradient =
            ops::mla_attention_backward(saved, weight, s, table, sequence, d_out, d_kv_a.slice(1, 1));
        return std::vector<Tensor>{out, gradient.d_q_TQ, gradient.d_latent_TL, d_kv_a.slice(1, 1).contiguous(),
                                   kv_b.grad.clone()};
      });
      const Tensor q64 = leaf(q), latent64 = leaf(latent), k_rope64 = leaf(k_rope), kv_b64 = leaf(kv_b.value);
      const Tensor out64 = attention64(q64, latent64, k_rope64, kv_b64, s, table, sequence);
      out64.backward(d_out.to(at::kDouble));
      EXPECT_TRUE(close(results[0], out64, forward.of(dtype)));
      const Tensor expected[] = {q64.grad(), latent64.grad(), k_rope64.grad(), kv_b64.grad()};
      for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(close(results[i + 1], expected[i], backward.of(dtype))) << i;
      const Tensor sink = at::empty({tokens, s.qk_rope_head_dim}, dtype);
      expect_gradient_protocol(kv_b,
                               [&] { ops::mla_attention_backward(saved, weight, s, table, sequence, d_out, sink); });
      Parameter frozen = make_parameter(kv_b.value, false);
      const ops::MlaGradient gradient =
          ops::mla_attention_backward(saved, ops::weight_ref(frozen), s, table, sequence, d_out, sink);
      EXPECT_TRUE(same_tensor(gradient.d_q_TQ, results[1]) && same_tensor(gradient.d_latent_TL, results[2]));
    }
  }
}

// The plain loops of the kernel agree with the same fp64 expression: two independent oracles.
TEST(MlaAttention, ReferenceInDoubleAgreesWithAutogradsForward) {
  const Case c = cases()[1];
  const ops::MlaShape& s = c.shape;
  const Sequence sequence = sequence_of(c.lengths);
  const int64_t tokens = sequence.num_tokens();
  const Tensor angles = random_tensor({256, s.qk_rope_head_dim / 2}, 9, 3);
  const RopeTable table{.cos = angles.cos(), .sin = angles.sin()};
  const Tensor cos = table.cos.to(at::kDouble), sin = table.sin.to(at::kDouble);
  const Tensor q = random_tensor({tokens, s.num_heads * (s.qk_nope_head_dim + s.qk_rope_head_dim)}, 1).to(at::kDouble);
  const Tensor latent = random_tensor({tokens, s.kv_lora_rank}, 2).to(at::kDouble),
               k_rope = random_tensor({tokens, s.qk_rope_head_dim}, 3).to(at::kDouble);
  const Tensor kv_b =
      random_tensor({s.num_heads * (s.qk_nope_head_dim + s.v_head_dim), s.kv_lora_rank}, 4).to(at::kDouble);
  const Tensor kv = latent.matmul(kv_b.t()).contiguous(), rotated = rotate64(k_rope, sequence.positions, table),
               out = at::empty({tokens, s.num_heads * s.v_head_dim}, at::kDouble),
               lse = at::empty({tokens, s.num_heads}, at::kDouble);
  const kernels::AttentionShape shape{.num_heads = s.num_heads,
                                      .qk_nope_head_dim = s.qk_nope_head_dim,
                                      .qk_rope_head_dim = s.qk_rope_head_dim,
                                      .v_head_dim = s.v_head_dim,
                                      .num_queries = tokens,
                                      .num_keys = tokens,
                                      .num_segments = sequence.num_segments(),
                                      .q_offsets = sequence.q_offsets.data(),
                                      .kv_offsets = sequence.kv_offsets.data(),
                                      .scale = s.scale};
  kernels::attention_forward_reference<double>(shape,
                                               {.q = q.data_ptr<double>(),
                                                .kv = kv.data_ptr<double>(),
                                                .k_rope = rotated.data_ptr<double>(),
                                                .positions = sequence.positions.const_data_ptr<int32_t>(),
                                                .cos = cos.data_ptr<double>(),
                                                .sin = sin.data_ptr<double>()},
                                               out.data_ptr<double>(), lse.data_ptr<double>());
  EXPECT_TRUE(close(out, attention64(q, latent, k_rope, kv_b, s, table, sequence), 1e-12));
}

}  // namespace
}  // namespace dslite::test
