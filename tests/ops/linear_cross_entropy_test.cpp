// Head and weighted cross-entropy in chunks of 512 tokens: losses and gradients against LibTorch's autograd in fp64.
#include "src/ops/linear_cross_entropy.h"

#include "src/ops/linear.h"
#include "tests/ops/op_test.h"

namespace dslite::test {
namespace {

using at::Tensor;

struct Inputs {
  Tensor hidden;
  Parameter head;
  ops::Targets targets;
};

Inputs make_inputs(int64_t tokens, int64_t width, int64_t vocabulary, at::ScalarType dtype) {
  Inputs inputs{.hidden = random_tensor({tokens, width}, 1, 1, dtype),
                .head = make_parameter(random_tensor({vocabulary, width}, 2, 1, dtype)),
                .targets = {}};
  std::vector<int32_t> labels;
  inputs.targets.weight_T = random_tensor({tokens}, 3).abs();
  for (int64_t t = 0; t < tokens; ++t) {
    labels.push_back(t % 7 == 3 ? -1 : static_cast<int32_t>((t * 31) % vocabulary));
    if (t % 5 == 1 || labels.back() < 0) inputs.targets.weight_T[t] = 0;
  }
  inputs.targets.labels_T = int_tensor(labels);
  return inputs;
}

TEST(LinearCrossEntropy, Table) {
  const Tolerance loss{1e-6, 1e-4}, backward{1e-5, 1e-2}, head_gradient{1e-5, 4e-3};
  const int64_t shapes[][3] = {{1, 3, 2}, {20, 33, 67}, {512, 20, 131}, {1100, 17, 300}};  // T, D, V
  for (const at::ScalarType dtype : kDtypes) {
    for (const auto& shape : shapes) {
      const int64_t tokens = shape[0], width = shape[1], vocabulary = shape[2];
      SCOPED_TRACE(testing::Message() << dtype << " " << tokens << " " << width << " " << vocabulary);
      Inputs in = make_inputs(tokens, width, vocabulary, dtype);
      const WeightRef head = ops::weight_ref(in.head);
      const float scale = 0.02f;
      const auto results = deterministic([&] {
        in.head.grad_empty = true;
        const Tensor d_hidden = at::full({tokens, width}, NAN, dtype);
        const ops::TokenLosses losses =
            ops::linear_cross_entropy_gradient(in.hidden, head, in.targets, scale, d_hidden);
        const ops::TokenLosses alone = ops::linear_cross_entropy(in.hidden, head, in.targets);
        EXPECT_TRUE(same_tensor(alone.loss_T, losses.loss_T) && same_tensor(alone.prediction_T, losses.prediction_T));
        return std::vector<Tensor>{losses.loss_T, losses.prediction_T, d_hidden, in.head.grad.clone()};
      });
      const Tensor hidden64 = leaf(in.hidden), head64 = leaf(in.head.value), logits = hidden64.matmul(head64.t());
      const Tensor labels = in.targets.labels_T.to(at::kLong), counts = in.targets.weight_T != 0;
      const Tensor picked = at::log_softmax(logits, -1).gather(1, labels.clamp_min(0).unsqueeze(1)).squeeze(1);
      const Tensor loss64 = at::where(counts, -picked, at::zeros_like(picked));
      (loss64 * in.targets.weight_T.to(at::kDouble)).sum().mul(static_cast<double>(scale)).backward();
      EXPECT_TRUE(close(results[0], loss64, loss.of(dtype)));
      EXPECT_TRUE(same_tensor(results[1].to(at::kLong), at::where(counts, logits.argmax(-1), -1)));
      EXPECT_TRUE(close(results[2], hidden64.grad(), backward.of(dtype)));
      EXPECT_TRUE(close(results[3], head64.grad(), head_gradient.of(dtype)));
      // Rows of weight 0 have a gradient of exact zeros.
      const Tensor unweighted = results[2].index({in.targets.weight_T == 0});
      EXPECT_EQ(unweighted.count_nonzero().item<int64_t>(), 0);
      expect_gradient_protocol(in.head,
                               [&] { ops::linear_cross_entropy_gradient(in.hidden, head, in.targets, scale, {}); });
      Parameter frozen = make_parameter(in.head.value, false);
      const Tensor d_hidden = at::empty({tokens, width}, dtype);
      ops::linear_cross_entropy_gradient(in.hidden, ops::weight_ref(frozen), in.targets, scale, d_hidden);
      EXPECT_TRUE(same_tensor(d_hidden, results[2]));
    }
  }
}

// A token that counts has the bits that it has among others, wherever it lies; one that does not is not even read.
TEST(LinearCrossEntropy, TokensThatDoNotCountAreNotRead) {
  for (const at::ScalarType dtype : kDtypes) {
    const int64_t tokens = 700, width = 36, vocabulary = 90;
    Inputs in = make_inputs(tokens, width, vocabulary, dtype);
    const WeightRef head = ops::weight_ref(in.head);
    const auto run = [&](const Tensor& hidden, const ops::Targets& targets) {
      in.head.grad_empty = true;
      const Tensor d_hidden = at::empty_like(hidden);
      const ops::TokenLosses losses = ops::linear_cross_entropy_gradient(hidden, head, targets, 0.01f, d_hidden);
      return std::vector<Tensor>{losses.loss_T, losses.prediction_T, d_hidden, in.head.grad.clone()};
    };
    const Tensor rows = (in.targets.weight_T != 0).nonzero().squeeze(1);
    const auto alone = run(in.hidden.index_select(0, rows), {.labels_T = in.targets.labels_T.index_select(0, rows),
                                                             .weight_T = in.targets.weight_T.index_select(0, rows)});
    const Tensor damaged = at::where((in.targets.weight_T != 0).unsqueeze(1), in.hidden, NAN).to(dtype);
    const auto among = run(damaged, in.targets);
    for (const int i : {0, 1, 2}) EXPECT_TRUE(same_tensor(among[i].index_select(0, rows), alone[i])) << i;
    EXPECT_TRUE(same_tensor(among[3], alone[3]));
  }
}

// A row of a batch in which nothing is trained.
TEST(LinearCrossEntropy, NothingCounts) {
  Inputs in = make_inputs(5, 8, 11, at::kFloat);
  in.targets.weight_T.zero_();
  const Tensor d_hidden = at::full({5, 8}, NAN);
  const ops::TokenLosses losses =
      ops::linear_cross_entropy_gradient(in.hidden, ops::weight_ref(in.head), in.targets, 1, d_hidden);
  EXPECT_TRUE(same_tensor(losses.loss_T, at::zeros({5})));
  EXPECT_TRUE(same_tensor(d_hidden, at::zeros({5, 8})));
  EXPECT_TRUE(in.head.grad_empty);
}

}  // namespace
}  // namespace dslite::test
