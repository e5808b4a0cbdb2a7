// RMSNorm: each instruction set x dtype x odd shapes against the double reference; the reference against finite
// differences.
#include "kernels/rms_norm/rms_norm.h"

#include <gtest/gtest.h>

#include <limits>

#include "kernels/rms_norm/rms_norm_reference.h"
#include "tests/support/compare.h"
#include "tests/support/kernel_context.h"
#include "tests/support/test_data.h"

namespace dslite {
namespace {

using kernels::DType;
using test::KernelContext;
using test::TypedMatrix;

struct Shape {
  int64_t rows, width;
};
constexpr Shape kShapes[] = {{0, 8}, {1, 1}, {3, 7}, {5, 64}, {64, 33}, {65, 96}, {200, 2048}, {2, 5121}};
constexpr float kEps = 0.25f;  // large enough that a row of one element has a gradient

struct Case {
  TypedMatrix x, residual, weight, dy, d_residual;
  Case(DType dtype, Shape shape)
      : x(TypedMatrix::random(dtype, shape.rows, shape.width, 1, 1, 3)),
        residual(TypedMatrix::random(dtype, shape.rows, shape.width, 2, 1, 1)),
        weight(TypedMatrix::random(dtype, 1, shape.width, 3)),
        dy(TypedMatrix::random(dtype, shape.rows, shape.width, 4, 1, 2)),
        d_residual(TypedMatrix::random(dtype, shape.rows, shape.width, 5, 1, 5)) {}
};

struct Forward {
  TypedMatrix h, y;
  std::vector<float> rstd;
  Forward(const KernelContext& context, const Case& c, bool with_residual, bool with_rstd)
      : h(c.x.dtype(), c.x.rows(), c.x.columns(), 4), y(c.x.dtype(), c.x.rows(), c.x.columns(), 2), rstd(c.x.rows()) {
    kernels::rms_norm_forward(context, {.num_rows = c.x.rows(),
                                        .width = c.x.columns(),
                                        .eps = kEps,
                                        .x = c.x.view(),
                                        .residual = with_residual ? c.residual.view() : kernels::ConstMatrix{},
                                        .weight = c.weight.data(),
                                        .weight_dtype = c.weight.dtype(),
                                        .h = h.output(),
                                        .y = y.output(),
                                        .rstd = with_rstd ? rstd.data() : nullptr});
  }
};

struct Backward {
  TypedMatrix dh;
  std::vector<float> dw;
  // `more`: with a gradient past the norm, and dw accumulates.
  Backward(kernels::InstructionSet set, int threads, const Case& c, const std::vector<float>& rstd, bool more)
      : dh(c.x.dtype(), c.x.rows(), c.x.columns(), 4), dw(c.x.columns(), more ? 0.5f : NAN) {
    const int64_t rows = c.x.rows(), width = c.x.columns();
    const KernelContext context(set, threads, kernels::rms_norm_backward_scratch_bytes(rows, width, threads));
    kernels::rms_norm_backward(context, {.num_rows = rows,
                                         .width = width,
                                         .h = c.x.view(),
                                         .rstd = rstd.data(),
                                         .weight = c.weight.data(),
                                         .weight_dtype = c.weight.dtype(),
                                         .dy = c.dy.view(),
                                         .d_residual = more ? c.d_residual.view() : kernels::ConstMatrix{},
                                         .dh = dh.output(),
                                         .dw = dw.data(),
                                         .accumulate_dw = more});
  }
};

struct Reference {
  std::vector<double> h, y, rstd;
};
Reference reference_forward(const std::vector<double>& x, const std::vector<double>* residual,
                            const std::vector<double>& weight) {
  const int64_t width = static_cast<int64_t>(weight.size()), rows = static_cast<int64_t>(x.size()) / width;
  Reference out{std::vector<double>(x.size()), std::vector<double>(x.size()), std::vector<double>(rows)};
  kernels::rms_norm_forward_reference<double>({.num_rows = rows,
                                               .width = width,
                                               .eps = kEps,
                                               .x = x.data(),
                                               .residual = residual ? residual->data() : nullptr,
                                               .weight = weight.data(),
                                               .h = out.h.data(),
                                               .y = out.y.data(),
                                               .rstd = out.rstd.data()});
  return out;
}

class RmsNorm : public ::testing::TestWithParam<std::tuple<kernels::InstructionSet, DType>> {
 protected:
  kernels::InstructionSet set() const { return std::get<0>(GetParam()); }
  DType dtype() const { return std::get<1>(GetParam()); }
  double tolerance() const { return dtype() == DType::kFloat32 ? 1e-6 : 4e-3; }
  // y is rounded twice in bf16, 2^-8 each at worst.
  ::testing::AssertionResult output_close(const TypedMatrix& y, const std::vector<double>& expected) const {
    const test::Comparison found = test::compare(y.values(), expected, y.columns());
    if (found.relative_norm > tolerance()) return ::testing::AssertionFailure() << found.text();
    return test::within(found, dtype() == DType::kFloat32 ? 1e-6 : 8e-3);
  }
};

TEST_P(RmsNorm, ForwardIsTheReference) {
  for (const Shape shape : kShapes) {
    const Case c(dtype(), shape);
    const auto x = test::to_double(c.x.values()), residual = test::to_double(c.residual.values());
    const auto weight = test::to_double(c.weight.values());
    SCOPED_TRACE(::testing::Message() << shape.rows << " x " << shape.width);
    const Forward plain(KernelContext(set()), c, false, true);
    const Reference expected = reference_forward(x, nullptr, weight);
    EXPECT_TRUE(output_close(plain.y, expected.y));
    EXPECT_TRUE(test::close(plain.rstd, expected.rstd, 1e-6));
    EXPECT_TRUE(plain.y.padding_untouched());

    const Forward added(KernelContext(set()), c, true, true);
    EXPECT_TRUE(test::close(added.h.values(), reference_forward(x, &residual, weight).h, tolerance(), shape.width));
    // The norm sees the sum as it was rounded.
    EXPECT_TRUE(output_close(added.y, reference_forward(test::to_double(added.h.values()), nullptr, weight).y));
    EXPECT_TRUE(added.h.padding_untouched());
  }
}

TEST_P(RmsNorm, BackwardIsTheReference) {
  for (const Shape shape : kShapes) {
    const Case c(dtype(), shape);
    SCOPED_TRACE(::testing::Message() << shape.rows << " x " << shape.width);
    const auto h = test::to_double(c.x.values()), weight = test::to_double(c.weight.values()),
               dy = test::to_double(c.dy.values()), d_residual = test::to_double(c.d_residual.values());
    const Reference saved = reference_forward(h, nullptr, weight);
    const std::vector<float> rstd(saved.rstd.begin(), saved.rstd.end());
    for (const bool more : {false, true}) {
      std::vector<double> dh(h.size()), dw(weight.size());
      kernels::rms_norm_backward_reference<double>({.num_rows = shape.rows,
                                                    .width = shape.width,
                                                    .h = h.data(),
                                                    .rstd = saved.rstd.data(),
                                                    .weight = weight.data(),
                                                    .dy = dy.data(),
                                                    .d_residual = more ? d_residual.data() : nullptr,
                                                    .dh = dh.data(),
                                                    .dw = dw.data()});
      for (double& value : dw) value += more ? 0.5 : 0;
      const Backward actual(set(), 1, c, rstd, more);
      EXPECT_TRUE(test::close(actual.dh.values(), dh, dtype() == DType::kFloat32 ? 2e-6 : 4e-3, shape.width));
      EXPECT_TRUE(test::close(actual.dw, dw, 2e-6));
      EXPECT_TRUE(actual.dh.padding_untouched());
    }
  }
}

TEST_P(RmsNorm, BitsDoNotDependOnThreadsSavingOrOtherRows) {
  const Case c(dtype(), {200, 130});
  const Forward one(KernelContext(set(), 1), c, true, true), two(KernelContext(set(), 2), c, true, false);
  EXPECT_TRUE(test::same_bits(one.y.values(), two.y.values()));
  const Backward back_one(set(), 1, c, one.rstd, true), back_two(set(), 2, c, one.rstd, true);
  EXPECT_TRUE(test::same_bits(back_one.dh.values(), back_two.dh.values()));
  EXPECT_TRUE(test::same_bits(back_one.dw, back_two.dw));

  Case damaged(dtype(), {200, 130});
  damaged.x.set(70, 3, std::numeric_limits<float>::quiet_NaN());
  const Forward after(KernelContext(set(), 2), damaged, true, true);
  for (int64_t row = 0; row < 200; ++row) {
    if (row == 70) continue;
    EXPECT_TRUE(test::same_bits(after.y.row(row), one.y.row(row)));
  }
  EXPECT_TRUE(std::isnan(after.y.at(70, 100)));
}

// Results of more than 32 MiB in whole lines are written past the caches; a row that does not end a line never is.
TEST_P(RmsNorm, LargeResultsHaveTheBitsOfSmallOnes) {
  const kernels::InstructionSet set = std::get<0>(GetParam());
  const DType dtype = std::get<1>(GetParam());
  const int64_t width = 2048, rows = (int64_t{33} << 20) / (width * (dtype == DType::kFloat32 ? 4 : 2));
  const TypedMatrix x = TypedMatrix::random(dtype, rows, width, 1), weight = TypedMatrix::random(dtype, 1, width, 2);
  std::vector<float> rstd(rows);
  const auto forward = [&](TypedMatrix y) {
    kernels::rms_norm_forward(KernelContext(set, 2), {.num_rows = rows,
                                                      .width = width,
                                                      .eps = kEps,
                                                      .x = x.view(),
                                                      .residual = {},
                                                      .weight = weight.data(),
                                                      .weight_dtype = dtype,
                                                      .h = {},
                                                      .y = y.output(),
                                                      .rstd = rstd.data()});
    return y.values();
  };
  EXPECT_TRUE(test::same_bits(forward(TypedMatrix(dtype, rows, width)), forward(TypedMatrix(dtype, rows, width, 1))));
  const auto backward = [&](TypedMatrix dh) {
    kernels::rms_norm_backward(KernelContext(set, 2), {.num_rows = rows,
                                                       .width = width,
                                                       .h = x.view(),
                                                       .rstd = rstd.data(),
                                                       .weight = weight.data(),
                                                       .weight_dtype = dtype,
                                                       .dy = x.view(),
                                                       .d_residual = {},
                                                       .dh = dh.output(),
                                                       .dw = nullptr,
                                                       .accumulate_dw = false});
    return dh.values();
  };
  EXPECT_TRUE(test::same_bits(backward(TypedMatrix(dtype, rows, width)), backward(TypedMatrix(dtype, rows, width, 1))));
}

INSTANTIATE_TEST_SUITE_P(All, RmsNorm,
                         ::testing::Combine(::testing::ValuesIn(test::available_instruction_sets()),
                                            ::testing::Values(DType::kFloat32, DType::kBFloat16)));

TEST(RmsNormReference, GradientIsTheFiniteDifference) {
  const int64_t rows = 3, width = 5;
  std::vector<double> x = test::to_double(test::random_floats(rows * width, 1)),
                      weight = test::to_double(test::random_floats(width, 2));
  const std::vector<double> dy = test::to_double(test::random_floats(rows * width, 3));
  const auto value = [&] {
    const Reference out = reference_forward(x, nullptr, weight);
    double total = 0;
    for (size_t i = 0; i < dy.size(); ++i) total += out.y[i] * dy[i];
    return total;
  };
  const Reference saved = reference_forward(x, nullptr, weight);
  std::vector<double> dh(x.size()), dw(weight.size());
  kernels::rms_norm_backward_reference<double>({.num_rows = rows,
                                                .width = width,
                                                .h = x.data(),
                                                .rstd = saved.rstd.data(),
                                                .weight = weight.data(),
                                                .dy = dy.data(),
                                                .d_residual = nullptr,
                                                .dh = dh.data(),
                                                .dw = dw.data()});
  const auto difference = [&](double& place) {
    const double before = place, step = 1e-5;
    place = before + step;
    const double above = value();
    place = before - step;
    const double below = value();
    place = before;
    return (above - below) / (2 * step);
  };
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(dh[i], difference(x[i]), 1e-6) << i;
  for (size_t i = 0; i < weight.size(); ++i) EXPECT_NEAR(dw[i], difference(weight[i]), 1e-6) << i;
}

}  // namespace
}  // namespace dslite
