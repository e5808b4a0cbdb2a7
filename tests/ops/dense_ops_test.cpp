// Linear, RMSNorm, rotary embedding, SwiGLU MLP and embedding: forward and backward against LibTorch's autograd in
// fp64.
#include "src/ops/embedding.h"
#include "src/ops/linear.h"
#include "src/ops/rms_norm.h"
#include "src/ops/rope.h"
#include "src/ops/swiglu_mlp.h"
#include "tests/ops/op_test.h"

namespace dslite::test {
namespace {

using at::Tensor;

TEST(Linear, Table) {
  const Tolerance forward{2e-6, 4e-3}, weight_gradient{2e-6, 5e-3};
  const int64_t shapes[][3] = {{1, 1, 1}, {7, 5, 3}, {65, 513, 70}, {3, 1030, 2}, {530, 33, 129}};  // T, I, O
  for (const at::ScalarType dtype : kDtypes) {
    for (const auto& shape : shapes) {
      const int64_t tokens = shape[0], inputs = shape[1], outputs = shape[2];
      SCOPED_TRACE(testing::Message() << dtype << " " << tokens << " " << inputs << " " << outputs);
      // x, y and dy are ranges of columns of wider matrices.
      const Tensor x = random_tensor({tokens, inputs + 3}, 1, 1, dtype).slice(1, 2, 2 + inputs);
      const Tensor dy = random_tensor({tokens, outputs + 1}, 2, 1, dtype).slice(1, 1);
      Parameter parameter = make_parameter(random_tensor({outputs, inputs}, 3, 1, dtype));
      const WeightRef weight = ops::weight_ref(parameter);
      const Tensor x64 = leaf(x), w64 = leaf(parameter.value);
      const Tensor y64 = x64.matmul(w64.t());
      y64.backward(dy.to(at::kDouble));

      const auto results = deterministic([&] {
        parameter.grad_empty = true;
        const Tensor wide = at::full({tokens, outputs + 2}, NAN, dtype);
        ops::linear(x, weight, wide.slice(1, 1, 1 + outputs));
        EXPECT_TRUE(wide.select(1, 0).isnan().all().item<bool>() &&
                    wide.select(1, outputs + 1).isnan().all().item<bool>());
        GradientSum dx;
        ops::add_linear_input_gradient(dy, weight, dx);
        ops::add_linear_weight_gradient(x, dy, weight);
        return std::vector<Tensor>{wide.slice(1, 1, 1 + outputs).contiguous(), ops::linear(x, weight, at::kFloat),
                                   ops::linear_input_gradient(dy, weight), dx.sum, parameter.grad.clone()};
      });
      EXPECT_TRUE(close(results[0], y64, forward.of(dtype)));
      EXPECT_TRUE(close(results[1], y64, forward.fp32));
      EXPECT_TRUE(close(results[2], x64.grad(), forward.of(dtype)));
      EXPECT_TRUE(close(results[3], x64.grad(), forward.fp32));
      EXPECT_TRUE(close(results[4], w64.grad(), weight_gradient.fp32));
      expect_gradient_protocol(parameter, [&] { ops::add_linear_weight_gradient(x, dy, weight); });
      GradientSum twice;
      ops::add_linear_input_gradient(dy, weight, twice);
      ops::add_linear_input_gradient(dy, weight, twice);
      EXPECT_TRUE(close(twice.sum, x64.grad() * 2, forward.fp32));
      // A row's bits do not depend on its neighbours.
      const int64_t row = tokens / 2;
      EXPECT_TRUE(same_tensor(ops::linear(x.slice(0, row, row + 1), weight, dtype), results[0].slice(0, row, row + 1)));
      // Frozen: nothing to add to.
      Parameter frozen = make_parameter(parameter.value, false);
      ops::add_linear_weight_gradient(x, dy, ops::weight_ref(frozen));
      EXPECT_TRUE(frozen.grad_empty);
    }
  }
}

TEST(RmsNorm, Table) {
  const Tolerance forward{1e-6, 4e-3}, backward{2e-6, 8e-3};
  const int64_t shapes[][2] = {{1, 5}, {3, 7}, {130, 36}, {65, 513}};
  for (const at::ScalarType dtype : kDtypes) {
    for (const auto& shape : shapes) {
      const int64_t rows = shape[0], width = shape[1];
      for (const bool summed : {false, true}) {
        SCOPED_TRACE(testing::Message() << dtype << " " << rows << " " << width << " " << summed);
        const Tensor x = random_tensor({rows, width + 2}, 1, 1, dtype).slice(1, 1, 1 + width);
        const Tensor residual = random_tensor({rows, width}, 2, 1, dtype), dy = random_tensor({rows, width}, 3),
                     past = random_tensor({rows, width}, 4, 1, dtype);
        Parameter weight = make_parameter((random_tensor({width}, 5) + 1.5).to(dtype));
        const float eps = 1e-3f;
        ops::RmsNormSaved saved;
        const auto run_forward = [&](ops::RmsNormSaved* s) {
          if (!summed) return ops::NormedSum{x.contiguous(), ops::rms_norm(x, weight, eps, s)};
          return ops::rms_norm_of_sum(x, residual, weight, eps, s);
        };
        const auto results = deterministic([&] {
          weight.grad_empty = true;
          const ops::NormedSum out = run_forward(&saved);
          EXPECT_TRUE(same_tensor(run_forward(nullptr).y_TD, out.y_TD));
          const Tensor wide = at::full({rows, width + 1}, NAN, dtype);
          ops::rms_norm_backward(saved, weight, dy, past, wide.slice(1, 1));
          return std::vector<Tensor>{out.h_TD, out.y_TD, wide.slice(1, 1).contiguous(), weight.grad.clone()};
        });
        const Tensor h64 = leaf(results[0]), w64 = leaf(weight.value);  // of the rounded sum
        const Tensor normed64 = h64 * (h64.pow(2).mean(-1, true) + eps).rsqrt();
        (normed64 * w64).backward(dy.to(at::kDouble));
        if (summed) {
          EXPECT_TRUE(close(results[0], x.to(at::kDouble) + residual.to(at::kDouble), forward.of(dtype)));
        }
        const Tensor rounded =
            dtype == at::kFloat ? normed64 : normed64.to(dtype).to(at::kDouble);  // before the weight
        EXPECT_TRUE(close(results[1], rounded * w64, forward.of(dtype)));
        EXPECT_TRUE(close(results[2], h64.grad() + past.to(at::kDouble), backward.of(dtype)));
        EXPECT_TRUE(close(results[3], w64.grad(), backward.of(dtype)));
        expect_gradient_protocol(weight, [&] { ops::rms_norm_backward(saved, weight, dy, {}); });
        Parameter frozen = make_parameter(weight.value, false);
        weight.grad_empty = true;
        EXPECT_TRUE(same_tensor(ops::rms_norm_backward(saved, frozen, dy, past), results[2]));
      }
    }
  }
}

TEST(Rope, RotatesPairs) {
  const int64_t tokens = 21, heads = 3, rotated = 10, positions_count = 50;
  const Tensor angles = random_tensor({positions_count, rotated / 2}, 1, 3, at::kFloat);
  const RopeTable table{.cos = angles.cos() * 1.25, .sin = angles.sin() * 1.25};
  std::vector<int32_t> positions;
  for (int64_t t = 0; t < tokens; ++t) positions.push_back(static_cast<int32_t>(t * 13 % positions_count));
  for (const at::ScalarType dtype : kDtypes) {
    const Tensor wide = random_tensor({tokens, heads, rotated + 4}, 2, 1, dtype), x = wide.slice(2, 4);
    const Tensor x64 = x.to(at::kDouble).contiguous(), index = int_tensor(positions).to(at::kLong);
    const Tensor cos = table.cos.to(at::kDouble).index_select(0, index).unsqueeze(1),
                 sin = table.sin.to(at::kDouble).index_select(0, index).unsqueeze(1);
    const Tensor pairs = x64.view({tokens, heads, rotated / 2, 2}), a = pairs.select(3, 0), b = pairs.select(3, 1);
    const Tensor y64 = at::stack({a * cos - b * sin, a * sin + b * cos}, 3).view({tokens, heads, rotated});
    const auto results = deterministic([&] {
      const Tensor in_place = wide.clone(), out = at::empty({tokens, heads, rotated}, dtype);
      ops::rope(in_place.slice(2, 4), in_place.slice(2, 4), int_tensor(positions), table);
      EXPECT_TRUE(same_tensor(in_place.slice(2, 0, 4), wide.slice(2, 0, 4)));
      ops::rope(x, out, int_tensor(positions), table);
      EXPECT_TRUE(same_tensor(in_place.slice(2, 4), out));
      return std::vector<Tensor>{out};
    });
    const Tolerance tolerance{1e-6, 4e-3};
    EXPECT_TRUE(close(results[0], y64, tolerance.of(dtype)));
  }
}

TEST(SwigluMlp, Table) {
  const Tolerance forward{2e-6, 8e-3}, backward{3e-6, 1.2e-2};
  const int64_t shapes[][3] = {{1, 3, 2}, {17, 36, 20}, {130, 65, 77}};  // T, D, I
  for (const at::ScalarType dtype : kDtypes) {
    for (const auto& [tokens, hidden, intermediate] : shapes) {
      SCOPED_TRACE(testing::Message() << dtype << " " << tokens << " " << hidden << " " << intermediate);
      const Tensor x = random_tensor({tokens, hidden}, 1, 1, dtype), dy = random_tensor({tokens, hidden}, 2, 1, dtype);
      Parameter gate = make_parameter(random_tensor({intermediate, hidden}, 3, 0.5, dtype)),
                up = make_parameter(random_tensor({intermediate, hidden}, 4, 0.5, dtype)),
                down = make_parameter(random_tensor({hidden, intermediate}, 5, 0.5, dtype));
      const ops::MlpWeights weights{ops::weight_ref(gate), ops::weight_ref(up), ops::weight_ref(down)};
      ops::MlpSaved saved;
      const auto backward_pass = [&] {
        GradientSum dx;
        ops::add_swiglu_mlp_gradient(saved, weights, dy, dx);
        return dx.sum;
      };
      const auto results = deterministic([&] {
        gate.grad_empty = up.grad_empty = down.grad_empty = true;
        const Tensor y = ops::swiglu_mlp(x, weights, &saved);
        EXPECT_TRUE(same_tensor(ops::swiglu_mlp(x, weights, nullptr), y));
        return std::vector<Tensor>{y, backward_pass(), gate.grad.clone(), up.grad.clone(), down.grad.clone()};
      });
      const Tensor x64 = leaf(x), gate64 = leaf(gate.value), up64 = leaf(up.value), down64 = leaf(down.value);
      const Tensor y64 = (at::silu(x64.matmul(gate64.t())) * x64.matmul(up64.t())).matmul(down64.t());
      y64.backward(dy.to(at::kDouble));
      EXPECT_TRUE(close(results[0], y64, forward.of(dtype)));
      const Tensor expected[] = {x64.grad(), gate64.grad(), up64.grad(), down64.grad()};
      for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(close(results[i + 1], expected[i], backward.of(dtype))) << i;
      for (Parameter* parameter : {&gate, &up, &down}) expect_gradient_protocol(*parameter, backward_pass);
      // Any subset frozen: the others keep their bits.
      gate.grad_empty = down.grad_empty = true;
      Parameter frozen = make_parameter(up.value, false);
      GradientSum dx;
      ops::add_swiglu_mlp_gradient(saved, {weights.gate, ops::weight_ref(frozen), weights.down}, dy, dx);
      EXPECT_TRUE(same_tensor(dx.sum, results[1]) && same_tensor(gate.grad, results[2]) &&
                  same_tensor(down.grad, results[4]));
      Parameter frozen_down = make_parameter(down.value, false);
      gate.grad_empty = true;
      ops::add_swiglu_mlp_gradient(saved, {weights.gate, weights.up, ops::weight_ref(frozen_down)}, dy, dx);
      EXPECT_TRUE(same_tensor(gate.grad, results[2]));
    }
  }
}

TEST(Embedding, CopiesRowsAndAddsGradientsInOrder) {
  const int64_t vocabulary = 23, width = 13;
  for (const at::ScalarType dtype : kDtypes) {
    Parameter table = make_parameter(random_tensor({vocabulary, width}, 1, 1, dtype));
    std::vector<int32_t> ids;
    for (int i = 0; i < 200; ++i) ids.push_back(i % 3 == 0 ? 5 : (i * 7) % 20);  // 20, 21, 22 do not occur
    const Tensor dy = random_tensor({200, width}, 2, 1, dtype), index = int_tensor(ids).to(at::kLong);
    const auto results = deterministic([&] {
      table.grad_empty = true;
      ops::add_embedding_gradient(int_tensor(ids), dy, table);
      return std::vector<Tensor>{ops::embedding(int_tensor(ids), table), table.grad.clone()};
    });
    EXPECT_TRUE(same_tensor(results[0], table.value.index_select(0, index)));
    const Tensor expected = at::zeros({vocabulary, width}, at::kDouble).index_add(0, index, dy.to(at::kDouble));
    EXPECT_TRUE(close(results[1], expected, 1e-6));
    EXPECT_EQ(results[1].slice(0, 20).abs().max().item<float>(), 0);
    expect_gradient_protocol(table, [&] { ops::add_embedding_gradient(int_tensor(ids), dy, table); });
    Parameter frozen = make_parameter(table.value, false);
    ops::add_embedding_gradient(int_tensor(ids), dy, frozen);
    EXPECT_TRUE(frozen.grad_empty);
  }
}

}  // namespace
}  // namespace dslite::test
