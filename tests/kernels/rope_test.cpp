// Rotary embedding: each instruction set x dtype x odd shapes against the double reference; strides, in place.
#include "kernels/rope/rope.h"

#include <gtest/gtest.h>

#include <limits>

#include "kernels/rope/rope_reference.h"
#include "tests/support/compare.h"
#include "tests/support/kernel_context.h"
#include "tests/support/test_data.h"

namespace dslite {
namespace {

using kernels::DType;
using test::KernelContext;
using test::TypedMatrix;

struct Shape {
  int64_t tokens, heads, rotated, before;  // `before`: elements of a head in front of the rotated ones
};
constexpr Shape kShapes[] = {{0, 2, 4, 0},     {1, 1, 2, 0},   {3, 1, 64, 0},
                             {33, 4, 64, 128}, {70, 3, 10, 5}, {5, 2, 258, 1}};
constexpr int64_t kMaxPosition = 100;

struct Table {
  std::vector<float> cos, sin;
  std::vector<double> cos64, sin64;
  std::vector<int32_t> positions;
  explicit Table(Shape shape) {
    for (int64_t p = 0; p < kMaxPosition; ++p) {
      for (int64_t i = 0; i < shape.rotated / 2; ++i) {
        const double angle = static_cast<double>(p) *
                             std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(shape.rotated));
        cos.push_back(static_cast<float>(std::cos(angle)));
        sin.push_back(static_cast<float>(std::sin(angle)));
      }
    }
    cos64 = test::to_double(cos), sin64 = test::to_double(sin);
    for (int64_t t = 0; t < shape.tokens; ++t) positions.push_back(static_cast<int32_t>((t * 37 + 99) % kMaxPosition));
  }
};

// Rotates the last `rotated` elements of each head of x [tokens, heads * (before + rotated)] into `out`, which may be
// x.
void run(const kernels::Context& context, Shape shape, const Table& table, const TypedMatrix& x,
         const TypedMatrix& out) {
  const int64_t head = shape.before + shape.rotated;
  kernels::rope(context, {.num_tokens = shape.tokens,
                          .num_heads = shape.heads,
                          .rotated = shape.rotated,
                          .angles = {table.positions.data(), table.cos.data(), table.sin.data()},
                          .in = static_cast<const char*>(x.data()) + shape.before * test::dtype_bytes(x.dtype()),
                          .out = static_cast<char*>(out.data()) + shape.before * test::dtype_bytes(out.dtype()),
                          .in_dtype = x.dtype(),
                          .out_dtype = out.dtype(),
                          .in_token_stride = x.view().row_stride,
                          .in_head_stride = head,
                          .out_token_stride = out.view().row_stride,
                          .out_head_stride = head});
}

// The rotated part of each head, [tokens, heads, rotated].
std::vector<float> rotated_part(Shape shape, const TypedMatrix& x) {
  std::vector<float> all;
  for (int64_t t = 0; t < shape.tokens; ++t)
    for (int64_t h = 0; h < shape.heads; ++h)
      for (int64_t i = 0; i < shape.rotated; ++i)
        all.push_back(x.at(t, h * (shape.before + shape.rotated) + shape.before + i));
  return all;
}

class RopeTest : public ::testing::TestWithParam<std::tuple<kernels::InstructionSet, DType>> {
 protected:
  kernels::InstructionSet set() const { return std::get<0>(GetParam()); }
  DType dtype() const { return std::get<1>(GetParam()); }
  double tolerance() const { return dtype() == DType::kFloat32 ? 1e-6 : 4e-3; }
};

TEST_P(RopeTest, IsTheReferenceAndTouchesNothingElse) {
  for (const Shape shape : kShapes) {
    SCOPED_TRACE(::testing::Message() << shape.tokens << " tokens, " << shape.heads << " heads, " << shape.rotated
                                      << " of " << shape.before + shape.rotated);
    const Table table(shape);
    const int64_t columns = shape.heads * (shape.before + shape.rotated);
    const TypedMatrix x = TypedMatrix::random(dtype(), shape.tokens, columns, 1, 1, 3),
                      out(dtype(), shape.tokens, columns, 2);
    const auto in = test::to_double(rotated_part(shape, x));
    run(KernelContext(set()), shape, table, x, out);
    std::vector<double> expected(in.size());
    kernels::rope_reference<double>({.num_tokens = shape.tokens,
                                     .num_heads = shape.heads,
                                     .rotated = shape.rotated,
                                     .positions = table.positions.data(),
                                     .cos = table.cos64.data(),
                                     .sin = table.sin64.data(),
                                     .in = in.data(),
                                     .out = expected.data()});
    EXPECT_TRUE(test::close(rotated_part(shape, out), expected, tolerance(), shape.rotated));
    EXPECT_TRUE(out.padding_untouched());
    for (int64_t t = 0; t < shape.tokens; ++t)
      for (int64_t i = 0; i < shape.before; ++i) EXPECT_TRUE(std::isnan(out.at(t, i)));
  }
}

TEST_P(RopeTest, InPlaceAndTwoThreadsGiveTheSameBits) {
  const Shape shape{70, 3, 64, 5};
  const Table table(shape);
  const int64_t columns = shape.heads * (shape.before + shape.rotated);
  const TypedMatrix x = TypedMatrix::random(dtype(), shape.tokens, columns, 1), out(dtype(), shape.tokens, columns);
  run(KernelContext(set(), 1), shape, table, x, out);
  run(KernelContext(set(), 2), shape, table, x, x);
  EXPECT_TRUE(test::same_bits(rotated_part(shape, x), rotated_part(shape, out)));
}

// Rounding comes last: what is written as fp32 and then rounded has the bits of what is written as bf16.
TEST_P(RopeTest, WritesEitherDtype) {
  const Shape shape{7, 2, 38, 1};
  const Table table(shape);
  const TypedMatrix x = TypedMatrix::random(dtype(), 7, 78, 1), wide(DType::kFloat32, 7, 78),
                    narrow(DType::kBFloat16, 7, 78);
  run(KernelContext(set()), shape, table, x, wide);
  run(KernelContext(set()), shape, table, x, narrow);
  std::vector<float> rounded = rotated_part(shape, wide);
  for (float& value : rounded) value = test::through(DType::kBFloat16, value);
  EXPECT_TRUE(test::same_bits(rotated_part(shape, narrow), rounded));
}

TEST_P(RopeTest, NaNStaysInItsPair) {
  const Shape shape{3, 2, 8, 0};
  const Table table(shape);
  TypedMatrix x = TypedMatrix::random(dtype(), 3, 16, 1);
  const TypedMatrix out(dtype(), 3, 16);
  x.set(1, 5, std::numeric_limits<float>::quiet_NaN());
  run(KernelContext(set()), shape, table, x, out);
  for (int64_t t = 0; t < 3; ++t)
    for (int64_t i = 0; i < 16; ++i) EXPECT_EQ(std::isnan(out.at(t, i)), t == 1 && i / 2 == 2);
}

INSTANTIATE_TEST_SUITE_P(All, RopeTest,
                         ::testing::Combine(::testing::ValuesIn(test::available_instruction_sets()),
                                            ::testing::Values(DType::kFloat32, DType::kBFloat16)));

}  // namespace
}  // namespace dslite
