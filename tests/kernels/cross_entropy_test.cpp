// Cross-entropy against the fp64 reference: loss, gradient, prediction; rows without a target; damage in the logits.
#include "kernels/cross_entropy/cross_entropy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "kernels/cross_entropy/cross_entropy_reference.h"
#include "tests/support/compare.h"
#include "tests/support/test_data.h"

namespace dslite::kernels {
namespace {
using namespace dslite::test;

struct Shape {
  int64_t rows, vocab;
};
// 2048 columns make a block; 65,536 a task.
const Shape kShapes[] = {{0, 7}, {1, 1}, {1, 2}, {3, 7}, {33, 19}, {5, 2048}, {4, 2049}, {3, 6151}, {2, 102400}};

struct Result {
  std::vector<float> logits, loss;
  std::vector<int32_t> prediction;
};

struct Inputs {
  Shape shape;
  std::vector<float> logits;  // [rows, vocab]
  std::vector<int32_t> labels;
  std::vector<float> weight;
};

// Every third row has no target, every fourth weight 0, a label at each end of the vocabulary.
Inputs make_inputs(Shape shape, float scale) {
  Inputs in{shape, random_floats(shape.rows * shape.vocab, 5, scale), {}, {}};
  for (int64_t r = 0; r < shape.rows; ++r) {
    const int64_t label = r == 0 ? shape.vocab - 1 : (r * 7919) % shape.vocab;
    in.labels.push_back(r % 3 == 2 ? -1 : static_cast<int32_t>(label));
    in.weight.push_back(r % 4 == 3 ? 0.0f : 0.25f + 0.5f * static_cast<float>(r % 2));
  }
  return in;
}

Result run(const Context& context, const Inputs& in, bool gradient, bool predict = true,
           DType dtype = DType::kFloat32) {
  TypedMatrix work(DType::kFloat32, in.shape.rows, in.shape.vocab, in.logits);
  Result result{{}, std::vector<float>(in.shape.rows, -7), std::vector<int32_t>(in.shape.rows, -7)};
  cross_entropy(context, {.num_rows = in.shape.rows,
                          .vocab_size = in.shape.vocab,
                          .logits = work.floats(),
                          .labels = in.labels.data(),
                          .loss_weight = in.weight.data(),
                          .scale = 0.125f,
                          .gradient = gradient,
                          .gradient_dtype = dtype,
                          .loss = result.loss.data(),
                          .prediction = predict ? result.prediction.data() : nullptr});
  result.logits = work.values();
  return result;
}

// The bf16 rows that a run with that gradient dtype leaves in the memory of the logits.
std::vector<float> narrow_rows(const Result& result, Shape shape) {
  std::vector<float> rows(shape.rows * shape.vocab);
  const auto* bits = reinterpret_cast<const uint16_t*>(result.logits.data());
  for (int64_t r = 0; r < shape.rows; ++r)
    for (int64_t v = 0; v < shape.vocab; ++v)
      rows[r * shape.vocab + v] = test::widen_bf16(bits[r * 2 * shape.vocab + v]);
  return rows;
}

class CrossEntropyTest : public ::testing::TestWithParam<std::tuple<InstructionSet, Shape, float>> {
 protected:
  InstructionSet set() const { return std::get<0>(GetParam()); }
  Inputs inputs() const { return make_inputs(std::get<1>(GetParam()), std::get<2>(GetParam())); }
};

TEST_P(CrossEntropyTest, IsTheReference) {
  const Inputs in = inputs();
  const Result result = run(KernelContext(set(), 2), in, true);
  auto expected = cross_entropy_reference(to_double(in.logits), in.labels, to_double(in.weight), 0.125);
  for (double& g : expected.gradient)
    if (std::fabs(g) < 1e-36) g = 0;  // below e^-87 an exponential is 0
  EXPECT_TRUE(close(result.loss, expected.loss, 1e-6));
  EXPECT_TRUE(close(result.logits, expected.gradient, 1e-6, in.shape.vocab));
  EXPECT_EQ(result.prediction, expected.prediction);
  for (int64_t r = 0; r < in.shape.rows; ++r) {
    if (in.labels[r] >= 0 && in.weight[r] != 0) continue;
    for (int64_t v = 0; v < in.shape.vocab; ++v) ASSERT_EQ(result.logits[r * in.shape.vocab + v], 0.0f) << r;
  }
}

// In bf16 the same numbers, rounded once.
TEST_P(CrossEntropyTest, RoundsItsGradientInPlace) {
  const Inputs in = inputs();
  std::vector<float> expected = run(KernelContext(set(), 2), in, true).logits;
  for (float& g : expected) g = test::through(DType::kBFloat16, g);
  const Result result = run(KernelContext(set(), 2), in, true, true, DType::kBFloat16);
  EXPECT_TRUE(test::same_bits(narrow_rows(result, in.shape), expected));
}

TEST_P(CrossEntropyTest, LossAloneHasTheSameBitsAndLeavesLogits) {
  const Inputs in = inputs();
  const Result with = run(KernelContext(set(), 2), in, true), without = run(KernelContext(set(), 2), in, false, false);
  EXPECT_TRUE(same_bits(with.loss, without.loss));
  EXPECT_TRUE(same_bits(without.logits, in.logits));
  EXPECT_EQ(without.prediction, std::vector<int32_t>(in.shape.rows, -7));
}

TEST_P(CrossEntropyTest, SameBitsForAnyThreadsAndAnyRows) {
  const Inputs in = inputs();
  const Result one = run(KernelContext(set(), 1), in, true), two = run(KernelContext(set(), 2), in, true);
  EXPECT_TRUE(same_bits(one.loss, two.loss));
  EXPECT_TRUE(same_bits(one.logits, two.logits));
  if (in.shape.rows == 0) return;
  const int64_t last = in.shape.rows - 1;
  const Inputs alone{{1, in.shape.vocab},
                     std::vector<float>(in.logits.end() - in.shape.vocab, in.logits.end()),
                     {in.labels[last]},
                     {in.weight[last]}};
  const Result single = run(KernelContext(set(), 1), alone, true);
  EXPECT_EQ(single.loss[0], one.loss[last]);
  EXPECT_TRUE(same_bits(single.logits, std::vector<float>(one.logits.end() - in.shape.vocab, one.logits.end())));
}

std::string case_name(const ::testing::TestParamInfo<CrossEntropyTest::ParamType>& info) {
  const auto& [set, shape, scale] = info.param;
  return std::string(instruction_set_name(set)) + "_" + std::to_string(shape.rows) + "x" + std::to_string(shape.vocab) +
         "_" + std::to_string(static_cast<int>(scale));
}

// Logits of up to 1, 30 (a confident model) and 300 (exponentials that underflow).
INSTANTIATE_TEST_SUITE_P(All, CrossEntropyTest,
                         ::testing::Combine(::testing::ValuesIn(available_instruction_sets()),
                                            ::testing::ValuesIn(kShapes), ::testing::Values(1.0f, 30.0f, 300.0f)),
                         case_name);

class CrossEntropyDamage : public ::testing::TestWithParam<InstructionSet> {};
INSTANTIATE_TEST_SUITE_P(All, CrossEntropyDamage, ::testing::ValuesIn(available_instruction_sets()),
                         [](const auto& info) { return instruction_set_name(info.param); });

TEST_P(CrossEntropyDamage, NonFiniteLogitsGiveANonFiniteLossInTheirRowOnly) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  Inputs in = make_inputs({6, 5000}, 3);
  in.labels = {4, 5, -1, 7, 8, 9};
  in.weight = {1, 1, 1, 0, 1, 1};
  in.logits[0 * in.shape.vocab + 4999] = nan;
  in.logits[1 * in.shape.vocab + 17] = inf;
  in.logits[2 * in.shape.vocab + 0] = nan;
  in.logits[3 * in.shape.vocab + 2048] = nan;
  for (int64_t v = 0; v < 5000; ++v) in.logits[4 * in.shape.vocab + v] = -inf;
  const Result result = run(KernelContext(GetParam(), 2), in, true);
  EXPECT_FALSE(std::isfinite(result.loss[0]));
  EXPECT_FALSE(std::isfinite(result.loss[1]));
  EXPECT_EQ(result.loss[2], 0.0f);              // no target
  EXPECT_FALSE(std::isfinite(result.loss[3]));  // the unweighted loss tells the truth; the gradient is zero
  EXPECT_FALSE(std::isfinite(result.loss[4]));
  EXPECT_TRUE(std::isfinite(result.loss[5]));
  for (const int64_t r : {2, 3})
    for (int64_t v = 0; v < 5000; ++v) ASSERT_EQ(result.logits[r * 5000 + v], 0.0f);
  for (const int32_t p : result.prediction) {
    EXPECT_GE(p, 0);
    EXPECT_LT(p, 5000);
  }
}

TEST_P(CrossEntropyDamage, TheLowestOfEqualLogitsIsPredicted) {
  Inputs in = make_inputs({2, 9001}, 0);
  in.logits[1 * in.shape.vocab + 2047] = 1;
  in.logits[1 * in.shape.vocab + 2048] = 1;
  in.logits[1 * in.shape.vocab + 8000] = 1;
  EXPECT_EQ(run(KernelContext(GetParam(), 1), in, false).prediction, (std::vector<int32_t>{0, 2047}));
}

TEST(CrossEntropyReferenceTest, GradientIsTheDerivative) {
  const std::vector<int32_t> labels{2, -1, 0, 6};
  const std::vector<double> weight{1, 1, 0, 0.5};
  std::vector<double> logits = to_double(random_floats(4 * 7, 3, 4.0f));
  const auto objective = [&] {
    const auto now = cross_entropy_reference(logits, labels, weight, 0.3);
    double sum = 0;
    for (size_t r = 0; r < 4; ++r) sum += 0.3 * weight[r] * now.loss[r];
    return sum;
  };
  const auto gradient = cross_entropy_reference(logits, labels, weight, 0.3).gradient;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double keep = logits[i], h = 1e-5;
    logits[i] = keep + h;
    const double above = objective();
    logits[i] = keep - h;
    EXPECT_NEAR(gradient[i], (above - objective()) / (2 * h), 1e-9);
    logits[i] = keep;
  }
}

}  // namespace
}  // namespace dslite::kernels
