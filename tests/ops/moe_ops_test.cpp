// Router with balance loss, and routed experts: forward and backward against plain loops and LibTorch's autograd in
// fp64.
#include <numeric>

#include "kernels/router/router_reference.h"
#include "src/base/random.h"
#include "src/ops/experts.h"
#include "src/ops/linear.h"
#include "src/ops/router.h"
#include "tests/ops/op_test.h"

namespace dslite::test {
namespace {

using at::Tensor;

Sequence segments(const std::vector<int64_t>& lengths) {
  Sequence sequence{.positions = {}, .q_offsets = {0}, .kv_offsets = {0}};
  for (const int64_t length : lengths) sequence.q_offsets.push_back(sequence.q_offsets.back() + length);
  return sequence;
}

std::vector<kernels::RouterConfig> router_configs() {
  const auto config = [](int64_t experts, int64_t chosen, int64_t groups, int64_t kept, bool norm, float scale) {
    return kernels::RouterConfig{.num_experts = experts,
                                 .num_experts_per_tok = chosen,
                                 .num_groups = groups,
                                 .topk_group = kept,
                                 .norm_topk_prob = norm,
                                 .routed_scaling_factor = scale};
  };
  return {config(1, 1, 1, 1, false, 1), config(7, 3, 1, 1, false, 2.5f), config(64, 6, 1, 1, true, 1),
          config(16, 4, 8, 3, false, 16), config(12, 5, 4, 2, true, 3)};
}

// The weights of the chosen and the balance loss of every segment in fp64, differentiable in the logits.
struct Router64 {
  Tensor weights, balance_sum;
};
Router64 router64(const kernels::RouterConfig& c, const Tensor& logits, const Tensor& indices,
                  const Sequence& sequence) {
  const Tensor p = at::softmax(logits, -1), raw = p.gather(1, indices);
  Router64 out{.weights = c.norm_topk_prob && c.num_experts_per_tok > 1
                              ? raw / (raw.sum(1, true) + 1e-20)
                              : raw * static_cast<double>(c.routed_scaling_factor),
               .balance_sum = at::zeros({}, at::kDouble)};
  for (int64_t s = 0; s < sequence.num_segments(); ++s) {
    const int64_t begin = sequence.q_offsets[s], end = sequence.q_offsets[s + 1];
    const double tokens = static_cast<double>(end - begin);
    const Tensor count = at::bincount(indices.slice(0, begin, end).flatten(), {}, c.num_experts).to(at::kDouble);
    const Tensor f =
        count * (static_cast<double>(c.num_experts) / (static_cast<double>(c.num_experts_per_tok) * tokens));
    out.balance_sum = out.balance_sum + tokens * (f * p.slice(0, begin, end).mean(0)).sum();
  }
  return out;
}

TEST(Router, Table) {
  const Sequence sequence = segments({1, 30, 7, 64});
  const int64_t tokens = sequence.num_tokens();
  for (const kernels::RouterConfig& c : router_configs()) {
    SCOPED_TRACE(testing::Message() << c.num_experts << " experts, " << c.num_groups << " groups");
    const Tensor logits = random_tensor({tokens, c.num_experts}, 1, 3),
                 d_weights = random_tensor({tokens, c.num_experts_per_tok}, 2);
    const double scale = 0.37;
    ops::Routing routing;
    const auto results = deterministic([&] {
      routing = ops::route_tokens(c, logits, sequence, nullptr);
      const ops::Routing replayed = ops::route_tokens(c, logits, sequence, &routing.route);
      EXPECT_TRUE(same_tensor(replayed.weights_TK, routing.weights_TK) &&
                  same_tensor(replayed.counts_SE, routing.counts_SE));
      EXPECT_EQ(replayed.balance_loss_sum, routing.balance_loss_sum);
      return std::vector<Tensor>{
          routing.route.indices, routing.weights_TK,
          ops::route_tokens_backward(c, routing, d_weights, sequence, static_cast<float>(scale)),
          ops::route_tokens_backward(c, routing, at::zeros_like(d_weights), sequence, static_cast<float>(scale))};
    });
    // The choice is that of the plain loops in double where no gap is narrow.
    const Tensor logits64 = logits.to(at::kDouble);
    const std::vector<double> plain(logits64.data_ptr<double>(), logits64.data_ptr<double>() + logits64.numel());
    const auto reference = kernels::router_forward_reference<double>(c, plain);
    const std::vector<int32_t> indices(results[0].data_ptr<int32_t>(),
                                       results[0].data_ptr<int32_t>() + results[0].numel());
    EXPECT_EQ(indices, reference.indices);

    const Tensor leaf64 = leaf(logits), long_indices = results[0].to(at::kLong);
    const Router64 expected = router64(c, leaf64, long_indices, sequence);
    EXPECT_TRUE(close(results[1], expected.weights, 1e-6));
    EXPECT_NEAR(routing.balance_loss_sum / expected.balance_sum.item<double>(), 1, 1e-6);
    ((expected.weights * d_weights.to(at::kDouble)).sum() + scale * expected.balance_sum).backward();
    const double tolerance = c.num_experts > 1 ? 5e-7 : 1;  // of one expert the gradient is 0
    EXPECT_TRUE(close(results[2], leaf64.grad(), tolerance));
    const Tensor alone = leaf(logits);  // the balance loss by itself
    (scale * router64(c, alone, long_indices, sequence).balance_sum).backward();
    EXPECT_TRUE(close(results[3], alone.grad(), tolerance));
  }
}

// 200 random splits and orders of the segments: the balance loss and its gradient with respect to the logits do not
// move.
TEST(Router, BalanceLossIsOfTheSegmentsAlone) {
  const kernels::RouterConfig c = router_configs()[3];
  const std::vector<int64_t> lengths = {5, 1, 17, 30, 2, 9, 12};
  const Sequence whole = segments(lengths);
  const Tensor logits = random_tensor({whole.num_tokens(), c.num_experts}, 3, 2);
  const float scale = 0.01f / static_cast<float>(whole.num_tokens());
  const ops::Routing routing = ops::route_tokens(c, logits, whole, nullptr);
  const Tensor none = at::zeros_like(routing.weights_TK),
               d_logits = ops::route_tokens_backward(c, routing, none, whole, scale);
  for (uint64_t round = 0; round < 200; ++round) {
    const RandomStream random(round, RandomPurpose::kTest);
    std::vector<size_t> order(lengths.size());
    std::iota(order.begin(), order.end(), 0);
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i, i)]);
    double sum = 0;
    for (size_t begin = 0; begin < order.size();) {
      const size_t end = begin + 1 + random.below(100 + begin, order.size() - begin);
      std::vector<int64_t> part;
      std::vector<Tensor> rows, expected;
      for (; begin < end; ++begin) {
        part.push_back(lengths[order[begin]]);
        rows.push_back(logits.slice(0, whole.q_offsets[order[begin]], whole.q_offsets[order[begin] + 1]));
        expected.push_back(d_logits.slice(0, whole.q_offsets[order[begin]], whole.q_offsets[order[begin] + 1]));
      }
      const Sequence sequence = segments(part);
      const ops::Routing some = ops::route_tokens(c, at::cat(rows), sequence, nullptr);
      sum += some.balance_loss_sum;
      EXPECT_TRUE(same_tensor(ops::route_tokens_backward(c, some, at::zeros_like(some.weights_TK), sequence, scale),
                              at::cat(expected)));
    }
    EXPECT_NEAR(sum / routing.balance_loss_sum, 1, 1e-12);
  }
}

struct ExpertCase {
  int64_t tokens, hidden, intermediate, experts, chosen;
  bool shared, residual;
};

TEST(Experts, Table) {
  const Tolerance forward{2e-6, 8e-3}, backward{3e-6, 1.2e-2};
  const ExpertCase table[] = {{1, 3, 2, 1, 1, false, false},
                              {19, 36, 20, 8, 3, true, true},
                              {40, 65, 33, 5, 2, true, false},
                              {50, 24, 17, 16, 6, false, true}};
  for (const at::ScalarType dtype : kDtypes) {
    for (const ExpertCase& c : table) {
      SCOPED_TRACE(testing::Message() << dtype << ", experts " << c.experts);
      const Tensor x = random_tensor({c.tokens, c.hidden}, 1, 1, dtype),
                   d_out = random_tensor({c.tokens, c.hidden}, 2, 1, dtype);
      Tensor shared, residual;
      if (c.shared) shared = random_tensor({c.tokens, c.hidden}, 3, 1, dtype);
      if (c.residual) residual = random_tensor({c.tokens, c.hidden}, 4, 1, dtype);
      const Tensor weights = random_tensor({c.tokens, c.chosen}, 5).abs();
      // Expert 0 of several stays without tokens.
      std::vector<int32_t> indices;
      const int64_t used = c.experts > c.chosen ? c.experts - 1 : c.experts;
      for (int64_t t = 0; t < c.tokens; ++t) {
        for (int64_t k = 0; k < c.chosen; ++k)
          indices.push_back(static_cast<int32_t>(c.experts - 1 - (t * t + k) % used));
      }
      const Tensor indices_TK = int_tensor(indices).view({c.tokens, c.chosen});
      std::vector<Parameter> parameters;
      for (int64_t e = 0; e < c.experts; ++e) {
        parameters.push_back(make_parameter(random_tensor({c.intermediate, c.hidden}, 10 + e, 0.5, dtype),
                                            e % 3 != 1));  // every third is frozen
        parameters.push_back(make_parameter(random_tensor({c.intermediate, c.hidden}, 40 + e, 0.5, dtype), e % 3 != 1));
        parameters.push_back(make_parameter(random_tensor({c.hidden, c.intermediate}, 70 + e, 0.5, dtype),
                                            e % 3 == 0));  // of some only gate and up are trained
      }
      std::vector<ops::MlpWeights> experts;
      for (size_t e = 0; e < parameters.size(); e += 3)
        experts.push_back(
            {ops::weight_ref(parameters[e]), ops::weight_ref(parameters[e + 1]), ops::weight_ref(parameters[e + 2])});
      const ops::ExpertsInput input{
          .x_TD = x, .indices_TK = indices_TK, .weights_TK = weights, .shared_TD = shared, .residual_TD = residual};
      ops::ExpertsSaved saved;
      const auto results = deterministic([&] {
        for (Parameter& p : parameters) p.grad_empty = true;
        const Tensor out = ops::experts(input, experts, &saved);
        EXPECT_TRUE(same_tensor(ops::experts(input, experts, nullptr), out));
        GradientSum dx;
        const Tensor d_weights = ops::experts_backward(saved, experts, d_out, dx);
        std::vector<Tensor> all{out, dx.sum, d_weights};
        for (const Parameter& p : parameters) {
          if (p.trained()) all.push_back(p.grad_empty ? Tensor() : p.grad.clone());
        }
        return all;
      });
      // fp64: every token and slot by itself.
      const Tensor x64 = leaf(x), weights64 = leaf(weights);
      std::vector<Tensor> leaves;
      for (const Parameter& p : parameters) leaves.push_back(leaf(p.value));
      std::vector<Tensor> rows;
      for (int64_t t = 0; t < c.tokens; ++t) {
        Tensor row = at::zeros({c.hidden}, at::kDouble);
        if (c.shared) row = row + shared[t].to(at::kDouble);
        if (c.residual) row = row + residual[t].to(at::kDouble);
        for (int64_t k = 0; k < c.chosen; ++k) {
          const size_t e = static_cast<size_t>(indices[t * c.chosen + k]) * 3;
          row = row + weights64[t][k] *
                          leaves[e + 2].matmul(at::silu(leaves[e].matmul(x64[t])) * leaves[e + 1].matmul(x64[t]));
        }
        rows.push_back(row);
      }
      const Tensor out64 = at::stack(rows);
      out64.backward(d_out.to(at::kDouble));
      EXPECT_TRUE(close(results[0], out64, forward.of(dtype)));
      EXPECT_TRUE(close(results[1], x64.grad(), backward.of(dtype)));
      EXPECT_TRUE(close(results[2], weights64.grad(), backward.of(dtype)));
      size_t next = 3;
      for (size_t i = 0; i < parameters.size(); ++i) {
        if (!parameters[i].trained()) continue;
        const Tensor& gradient = results[next++];
        EXPECT_EQ(gradient.defined(), leaves[i].grad().defined()) << i;  // empty exactly where no token came
        if (!gradient.defined()) continue;
        EXPECT_TRUE(close(gradient, leaves[i].grad(), backward.of(dtype))) << i;
      }
      // A sum that already holds something is added to.
      GradientSum dx{.sum = random_tensor({c.tokens, c.hidden}, 6), .empty = false};
      const Tensor before = dx.sum.to(at::kDouble);
      ops::experts_backward(saved, experts, d_out, dx);
      EXPECT_TRUE(close(dx.sum, before + x64.grad(), backward.of(dtype)));
      Parameter& last = parameters[parameters.size() - 3];
      if (last.trained()) {
        expect_gradient_protocol(last, [&] {
          if (last.grad_empty) {
            for (Parameter& p : parameters) p.grad_empty = true;
          }
          GradientSum sink;
          ops::experts_backward(saved, experts, d_out, sink);
        });
      }
    }
  }
}

}  // namespace
}  // namespace dslite::test
