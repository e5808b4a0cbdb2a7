// SwiGLU forward and backward, the epilogues of gemm, against the double reference, whose own gradient is held to
// central differences. The products are with ones on the diagonal, so that their sums are given exactly.
#include <gtest/gtest.h>

#include <limits>

#include "kernels/gemm/gemm_many.h"
#include "kernels/swiglu/swiglu_reference.h"
#include "tests/support/compare.h"
#include "tests/support/test_data.h"

namespace dslite::kernels {
namespace {

using test::close;
using test::KernelContext;
using test::same_bits;
using test::TypedMatrix;

PanelSource rows_of(const TypedMatrix& x) { return {x.data(), x.dtype(), x.view().row_stride, nullptr, false}; }
// B [rows, columns] with ones from (first, 0) on downwards to the right.
TypedMatrix diagonal(DType dtype, int64_t rows, int64_t columns, int64_t first) {
  std::vector<float> ones(rows * columns);
  for (int64_t i = 0; i < columns; ++i) ones[(first + i) * columns + i] = 1;
  return TypedMatrix(dtype, rows, columns, ones);
}
void run(InstructionSet set, int threads, const GemmProduct& product) {
  gemm_many(KernelContext(set, threads, gemm_many_scratch_bytes(threads)), &product, 1);
}

// z through the forward epilogue: stores it again, and a.
void forward(InstructionSet set, const TypedMatrix& z, TypedMatrix& a) {
  const int64_t width = a.columns();
  const TypedMatrix first = diagonal(z.dtype(), 2 * width, width, 0),
                    second = diagonal(z.dtype(), 2 * width, width, width);
  TypedMatrix stored(z.dtype(), z.rows(), 2 * width, 3);
  run(set, 2,
      {.m = z.rows(),
       .n = width,
       .num_parts = 2,
       .accumulate = false,
       .stream = false,
       .parts = {{rows_of(z), rows_of(first), 2 * width}, {rows_of(z), rows_of(second), 2 * width}},
       .c = stored.output(),
       .epilogue = {.kind = EpilogueKind::kSwiglu, .a = a.output()}});
  EXPECT_TRUE(same_bits(stored.values(), z.values()) || std::isnan(z.at(z.rows() / 2, 0)));
  EXPECT_TRUE(stored.padding_untouched());
}

struct Shape {
  int64_t rows, width;
};
const Shape kShapes[] = {{0, 4}, {1, 1}, {3, 7}, {5, 8}, {2, 511}, {2, 513}, {19, 1408}, {33, 1031}};

TEST(Swiglu, ForwardMatchesTheReference) {
  for (const InstructionSet set : test::available_instruction_sets()) {
    for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
      for (const Shape& s : kShapes) {
        SCOPED_TRACE(::testing::Message() << static_cast<int>(set) << " dtype " << static_cast<int>(dtype) << " "
                                          << s.rows << " x " << s.width);
        const TypedMatrix z = TypedMatrix::random(dtype, s.rows, 2 * s.width, 1, 6, 3);
        TypedMatrix a(dtype, s.rows, s.width, 2);
        forward(set, z, a);
        std::vector<double> expected(s.rows * s.width);
        swiglu_forward_reference(s.rows, s.width, test::to_double(z.values()).data(), expected.data());
        EXPECT_TRUE(close(a.values(), expected, dtype == DType::kFloat32 ? 1e-6 : 4e-3, s.width));
        EXPECT_TRUE(a.padding_untouched());
      }
    }
  }
}

struct Gradients {
  std::vector<float> dz, scaled_a, ds;
};
Gradients backward(InstructionSet set, int threads, const TypedMatrix& z, const TypedMatrix& da,
                   const std::vector<float>& scale) {
  TypedMatrix dz(z.dtype(), z.rows(), z.columns(), 1), scaled_a(z.dtype(), da.rows(), da.columns(), 5);
  const int64_t width = da.columns(), panels = (width + kEpiloguePanel - 1) / kEpiloguePanel;
  std::vector<float> parts(z.rows() * panels), ds(z.rows());
  const TypedMatrix ones = diagonal(da.dtype(), width, width, 0);
  run(set, threads,
      {.m = z.rows(),
       .n = width,
       .num_parts = 1,
       .accumulate = false,
       .stream = false,
       .parts = {{rows_of(da), rows_of(ones), width}, {}},
       .c = dz.output(),
       .epilogue = {.kind = EpilogueKind::kSwigluBackward,
                    .a = scaled_a.output(),
                    .z = z.view(),
                    .row_scale = scale.empty() ? nullptr : scale.data(),
                    .ds_parts = scale.empty() ? nullptr : parts.data()}});
  for (int64_t i = 0; i < z.rows() * panels; ++i) ds[i / panels] += parts[i];
  EXPECT_TRUE(dz.padding_untouched() && scaled_a.padding_untouched());
  return {dz.values(), scaled_a.values(), ds};
}

TEST(Swiglu, BackwardMatchesTheReference) {
  for (const InstructionSet set : test::available_instruction_sets()) {
    for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
      for (const Shape& s : kShapes) {
        for (const bool scaled : {false, true}) {
          SCOPED_TRACE(::testing::Message() << static_cast<int>(set) << " dtype " << static_cast<int>(dtype) << " "
                                            << s.rows << " x " << s.width << " scaled " << scaled);
          const TypedMatrix z = TypedMatrix::random(dtype, s.rows, 2 * s.width, 1, 4, 3),
                            da = TypedMatrix::random(dtype, s.rows, s.width, 2);
          const std::vector<float> scale = scaled ? test::random_floats(s.rows, 3) : std::vector<float>{};
          const Gradients got = backward(set, 2, z, da, scale);
          const std::vector<double> z64 = test::to_double(z.values()), da64 = test::to_double(da.values()),
                                    scale64 = test::to_double(scale);
          std::vector<double> dz(z64.size()), scaled_a(da64.size()), ds(s.rows);
          swiglu_backward_reference<double>({s.rows, s.width, z64.data(), da64.data(),
                                             scaled ? scale64.data() : nullptr, dz.data(), scaled_a.data(), ds.data()});
          const double tolerance = dtype == DType::kFloat32 ? 1e-6 : 4e-3;
          EXPECT_TRUE(close(got.dz, dz, tolerance, 2 * s.width));
          EXPECT_TRUE(
              close(got.scaled_a, scaled_a, dtype == DType::kFloat32 ? 1e-6 : 6e-3, s.width));  // bf16: rounded twice
          for (int64_t r = 0; scaled && r < s.rows; ++r) {  // a sum that cancels is judged by its terms
            double terms = 0;
            for (int64_t i = 0; i < s.width; ++i)
              terms += std::abs(da64[r * s.width + i] * scaled_a[r * s.width + i] / scale64[r]);
            EXPECT_NEAR(got.ds[r], ds[r], (dtype == DType::kFloat32 ? 1e-6 : 4e-3) * terms);
          }
          EXPECT_TRUE(same_bits(got.dz, backward(set, 1, z, da, scale).dz));
        }
      }
    }
  }
}

// ds is made of the very a that forward stored.
TEST(Swiglu, GradientOfTheScaleUsesTheStoredActivation) {
  const int64_t width = 700;
  for (const InstructionSet set : test::available_instruction_sets()) {
    const TypedMatrix z = TypedMatrix::random(DType::kBFloat16, 1, 2 * width, 1, 4),
                      da = TypedMatrix::random(DType::kBFloat16, 1, width, 2);
    TypedMatrix a(DType::kBFloat16, 1, width);
    forward(set, z, a);
    double expected = 0;
    for (int64_t i = 0; i < width; ++i) expected += double(da.at(0, i)) * a.at(0, i);
    EXPECT_NEAR(backward(set, 1, z, da, {1.0f}).ds[0], expected, 2e-6 * std::abs(expected) + 1e-5);
  }
}

TEST(Swiglu, ExtremeGatesAndNaN) {
  for (const InstructionSet set : test::available_instruction_sets()) {
    const float big = 1e30f, nan = std::numeric_limits<float>::quiet_NaN();
    const TypedMatrix z(DType::kFloat32, 5, 4,
                        std::vector<float>{big, -big, 1, 1, 0, 0, 1, 1, nan, 0, 1, 1, 80, -80, 1, 1, 0, 0, 1, 1});
    TypedMatrix a(DType::kFloat32, 5, 2), da(DType::kFloat32, 5, 2, std::vector<float>(10, 1.0f));
    forward(set, z, a);
    EXPECT_EQ(a.at(0, 0), big);
    EXPECT_NEAR(a.at(0, 1), 0, 1e-5);
    EXPECT_TRUE(std::isnan(a.at(2, 0)));
    EXPECT_EQ(a.at(1, 1), 0);
    EXPECT_EQ(a.at(4, 0), 0);
    const Gradients g = backward(set, 1, z, da, {});
    EXPECT_TRUE(std::isnan(g.dz[8]) && g.dz[9] == 0.5f && g.dz[16] == 0.5f);
    EXPECT_TRUE(std::isfinite(g.dz[0]) && std::isfinite(g.dz[12]) && std::isfinite(g.dz[13]));
  }
}

// A row's gradient is the same alone and among others, in any tile.
TEST(Swiglu, RowBitsDoNotDependOnTheRowCount) {
  const int64_t width = 150, rows = 300, few = 7;
  for (const InstructionSet set : test::available_instruction_sets()) {
    const TypedMatrix z = TypedMatrix::random(DType::kBFloat16, rows, 2 * width, 1, 4),
                      da = TypedMatrix::random(DType::kBFloat16, rows, width, 2);
    const std::vector<float> scale = test::random_floats(rows, 3);
    const Gradients all = backward(set, 2, z, da, scale);
    const auto first_rows = [&](const TypedMatrix& x) {
      const std::vector<float> values = x.values();
      return TypedMatrix(x.dtype(), few, x.columns(), std::span(values).first(few * x.columns()));
    };
    const Gradients some = backward(set, 2, first_rows(z), first_rows(da), {scale.begin(), scale.begin() + few});
    EXPECT_TRUE(same_bits(some.dz, {all.dz.begin(), all.dz.begin() + few * 2 * width}));
    EXPECT_TRUE(same_bits(some.ds, {all.ds.begin(), all.ds.begin() + few}));
  }
}

TEST(Swiglu, ReferenceGradientIsTheDerivative) {
  const int64_t rows = 2, width = 3;
  std::vector<double> z = test::to_double(test::random_floats(rows * 2 * width, 1, 2)),
                      da = test::to_double(test::random_floats(rows * width, 2)), scale = {0.7, -1.3};
  std::vector<double> dz(z.size()), scaled_a(da.size()), ds(rows);
  swiglu_backward_reference<double>(
      {rows, width, z.data(), da.data(), scale.data(), dz.data(), scaled_a.data(), ds.data()});
  const auto loss = [&] {
    std::vector<double> a(rows * width);
    swiglu_forward_reference(rows, width, z.data(), a.data());
    double sum = 0;
    for (int64_t i = 0; i < rows * width; ++i) sum += scale[i / width] * da[i] * a[i];
    return sum;
  };
  const auto derivative = [&](double& value) {
    const double kept = value, step = 1e-5;
    value = kept + step;
    const double above = loss();
    value = kept - step;
    const double below = loss();
    value = kept;
    return (above - below) / (2 * step);
  };
  for (size_t i = 0; i < z.size(); ++i) EXPECT_NEAR(dz[i], derivative(z[i]), 1e-8);
  for (int64_t r = 0; r < rows; ++r) EXPECT_NEAR(ds[r], derivative(scale[r]), 1e-8);
}

}  // namespace
}  // namespace dslite::kernels
