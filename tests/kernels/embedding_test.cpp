// Embedding: exact copies, and gradients that do not depend on the number of threads.
#include "kernels/embedding/embedding.h"

#include <gtest/gtest.h>

#include <string>

#include "kernels/embedding/embedding_reference.h"
#include "tests/support/compare.h"
#include "tests/support/test_data.h"

namespace dslite::kernels {
namespace {
using namespace dslite::test;

struct Shape {
  int64_t tokens, vocab, width;
};
const Shape kShapes[] = {{0, 3, 5}, {1, 1, 1}, {1, 9, 8}, {70, 11, 7}, {33, 50, 257}, {100, 300, 600}};

std::vector<int32_t> make_ids(Shape shape) {  // many repeats, both ends of the vocabulary
  std::vector<int32_t> ids;
  for (int64_t t = 0; t < shape.tokens; ++t)
    ids.push_back(static_cast<int32_t>(t % 2 ? shape.vocab - 1 : (t * t) % shape.vocab));
  return ids;
}

class Embedding : public ::testing::TestWithParam<std::tuple<InstructionSet, DType, Shape>> {
 protected:
  InstructionSet set() const { return std::get<0>(GetParam()); }
  DType dtype() const { return std::get<1>(GetParam()); }
  Shape shape() const { return std::get<2>(GetParam()); }
};

TEST_P(Embedding, ForwardCopiesExactly) {
  const auto ids = make_ids(shape());
  for (const int64_t padding : {0, 3}) {
    const TypedMatrix table = TypedMatrix::random(dtype(), shape().vocab, shape().width, 1, 1.0f, padding);
    TypedMatrix out(dtype(), shape().tokens, shape().width, padding);
    embedding_forward(KernelContext(set(), 2), shape().tokens, shape().width, ids.data(), table.view(), out.output());
    EXPECT_TRUE(same_bits(out.values(), embedding_reference(table.values(), shape().width, ids)));
    EXPECT_TRUE(out.padding_untouched());
  }
}

TEST_P(Embedding, BackwardAddsInOrder) {
  const auto ids = make_ids(shape());
  for (const bool accumulate : {false, true}) {
    const TypedMatrix dy = TypedMatrix::random(dtype(), shape().tokens, shape().width, 2, 1.0f, 3);
    const TypedMatrix before = TypedMatrix::random(DType::kFloat32, shape().vocab, shape().width, 3);
    const auto run = [&](int threads) {
      TypedMatrix d_table(DType::kFloat32, shape().vocab, shape().width);  // starts as NaN
      for (int64_t i = 0; accumulate && i < shape().vocab * shape().width; ++i)
        d_table.floats()[i] = before.floats()[i];
      embedding_backward(KernelContext(set(), threads), {.num_tokens = shape().tokens,
                                                         .vocab_size = shape().vocab,
                                                         .width = shape().width,
                                                         .ids = ids.data(),
                                                         .dy = dy.view(),
                                                         .d_table = d_table.floats(),
                                                         .accumulate = accumulate});
      return d_table.values();
    };
    const auto one = run(1);
    EXPECT_TRUE(same_bits(one, run(2)));
    std::vector<float> in_order(shape().vocab * shape().width, 0);
    if (accumulate) in_order = before.values();
    embedding_backward_reference(dy.values(), shape().width, ids, &in_order);
    EXPECT_TRUE(same_bits(one, in_order)) << "ascending t";
    auto expected = to_double(accumulate ? before.values() : std::vector<float>(in_order.size(), 0));
    embedding_backward_reference(to_double(dy.values()), shape().width, ids, &expected);
    EXPECT_TRUE(close(one, expected, 1e-6, shape().width));
  }
}

std::string case_name(const ::testing::TestParamInfo<Embedding::ParamType>& info) {
  const auto& [set, dtype, shape] = info.param;
  return std::string(instruction_set_name(set)) + (dtype == DType::kFloat32 ? "_float32_" : "_bfloat16_") +
         std::to_string(shape.tokens) + "x" + std::to_string(shape.vocab) + "x" + std::to_string(shape.width);
}

INSTANTIATE_TEST_SUITE_P(All, Embedding,
                         ::testing::Combine(::testing::ValuesIn(available_instruction_sets()),
                                            ::testing::Values(DType::kFloat32, DType::kBFloat16),
                                            ::testing::ValuesIn(kShapes)),
                         case_name);

}  // namespace
}  // namespace dslite::kernels
