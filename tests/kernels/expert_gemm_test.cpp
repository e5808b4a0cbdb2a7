// Grouped experts, forward and backward, against the double reference; the reference against central differences.
#include "kernels/expert_gemm/expert_gemm.h"

#include <gtest/gtest.h>

#include <deque>
#include <limits>
#include <numeric>

#include "kernels/expert_gemm/expert_gemm_reference.h"
#include "tests/support/compare.h"
#include "tests/support/test_data.h"

namespace dslite::kernels {
namespace {

using test::KernelContext;
using test::same_bits;
using test::TypedMatrix;

struct Case {
  int64_t tokens, hidden, width;
  std::vector<int64_t> rows;  // of each expert
};
const Case kCases[] = {
    {4, 5, 3, {2, 0, 1}},        {1, 8, 16, {1}},
    {3, 17, 9, {0, 0, 0}},       {30, 33, 65, {7, 0, 40, 1}},
    {20, 48, 40, {0, 0, 60, 0}}, {20, 520, 40, {13, 250, 0, 6}},
    {20, 40, 530, {3, 50}},
};

// Inputs and weights of one case, with the buffers that a step needs.
struct Problem {
  Problem(DType dtype, const Case& c)
      : dtype(dtype),
        c(c),
        num_rows(std::accumulate(c.rows.begin(), c.rows.end(), int64_t{0})),
        x(TypedMatrix::random(dtype, c.tokens, c.hidden, 1, 1, 3)),
        d_out(TypedMatrix::random(dtype, c.tokens, c.hidden, 2, 1, 1)),
        row_weights(test::random_floats(num_rows, 3)),
        z(dtype, num_rows, 2 * c.width, 2),
        a(dtype, num_rows, c.width, 1),
        y(dtype, num_rows, c.hidden, 4),
        dz(dtype, num_rows, 2 * c.width, 3),
        scaled_a(dtype, num_rows, c.width, 2),
        dx_rows(dtype, num_rows, c.hidden),
        ds(num_rows) {
    offsets.push_back(0);
    for (const int64_t rows : c.rows) offsets.push_back(offsets.back() + rows);
    for (int64_t r = 0; r < num_rows; ++r) row_token.push_back(static_cast<int32_t>((r * 5 + 1) % c.tokens));
    const float scale = 1 / std::sqrt(static_cast<float>(c.hidden));
    for (size_t e = 0; e < c.rows.size(); ++e) {
      for (int part = 0; part < 3; ++part) {
        matrices.push_back(stored(dtype, part == 2 ? c.hidden : c.width, part == 2 ? c.width : c.hidden,
                                  100 + 3 * e + part, 2 * scale));
      }
      const auto source = [&](const Stored& m) {
        return PanelSource{m.matrix->data(), dtype, m.matrix->view().row_stride, nullptr, false};
      };
      const Stored* m = &matrices[3 * e];
      weights.push_back({source(m[0]), source(m[1]), source(m[2])});
      gradients.push_back({});
    }
  }
  struct Stored {
    std::unique_ptr<TypedMatrix> matrix;
  };
  static Stored stored(DType dtype, int64_t rows, int64_t columns, uint64_t seed, float scale) {
    return {std::make_unique<TypedMatrix>(dtype, rows, columns, test::random_floats(rows * columns, seed, scale), 1)};
  }
  ExpertShape shape() const {
    return {c.tokens,       num_rows,        static_cast<int64_t>(c.rows.size()), c.hidden, c.width,
            offsets.data(), row_token.data()};
  }

  void forward(InstructionSet set, int threads) {
    expert_forward(KernelContext(set, threads, expert_forward_scratch_bytes(shape(), threads)),
                   {shape(), weights.data(), x.view(), z.output(), a.output(), y.output()});
  }
  void input_gradient(InstructionSet set, int threads) {
    expert_input_gradient(KernelContext(set, threads, expert_input_gradient_scratch_bytes(shape(), threads)),
                          {shape(), weights.data(), row_weights.data(), d_out.view(), z.view(), ds.data(), dz.output(),
                           scaled_a.output(), dx_rows.output(), false});
  }
  void weight_gradient(InstructionSet set, int threads) {
    expert_weight_gradient(KernelContext(set, threads, expert_weight_gradient_scratch_bytes(shape(), threads)),
                           {shape(), x.view(), d_out.view(), dz.view(), scaled_a.view(), gradients.data()});
  }

  DType dtype;
  Case c;
  int64_t num_rows;
  std::vector<int64_t> offsets;
  std::vector<int32_t> row_token;
  TypedMatrix x, d_out;
  std::vector<float> row_weights;
  TypedMatrix z, a, y, dz, scaled_a, dx_rows;
  std::vector<float> ds;
  std::vector<Stored> matrices;  // gate, up, down of each expert
  std::vector<ExpertWeights> weights;
  std::vector<ExpertGradients> gradients;
};

double store_bf16(double value) { return test::widen_bf16(test::round_bf16(static_cast<float>(value))); }

// The same case in double, rounded only where the contract stores bf16.
struct Exact {
  explicit Exact(const Problem& p)
      : p(p),
        x(test::to_double(p.x.values())),
        d_out(test::to_double(p.d_out.values())),
        row_weights(test::to_double(p.row_weights)),
        z(p.num_rows * 2 * p.c.width),
        a(p.num_rows * p.c.width),
        y(p.num_rows * p.c.hidden),
        ds(p.num_rows),
        dx_rows(p.num_rows * p.c.hidden) {
    for (const auto& m : p.matrices) {
      matrices.push_back(test::to_double(m.matrix->values()));
      gradients.emplace_back(matrices.back().size());
    }
    for (size_t e = 0; e < p.c.rows.size(); ++e) {
      weights.push_back({matrices[3 * e].data(), matrices[3 * e + 1].data(), matrices[3 * e + 2].data()});
      to.push_back({gradients[3 * e].data(), gradients[3 * e + 1].data(), gradients[3 * e + 2].data()});
    }
  }
  ExpertReference<double> arguments() {
    return {static_cast<int64_t>(p.c.rows.size()),
            p.c.hidden,
            p.c.width,
            p.offsets.data(),
            p.row_token.data(),
            weights.data(),
            x.data(),
            z.data(),
            a.data(),
            y.data(),
            p.dtype == DType::kBFloat16 ? &store_bf16 : nullptr};
  }
  void run() {
    expert_forward_reference(arguments());
    expert_backward_reference<double>(
        {arguments(), row_weights.data(), d_out.data(), ds.data(), dx_rows.data(), to.data()});
  }
  double loss() {
    expert_forward_reference(arguments());
    double sum = 0;
    for (int64_t r = 0; r < p.num_rows; ++r)
      for (int64_t d = 0; d < p.c.hidden; ++d)
        sum += row_weights[r] * y[r * p.c.hidden + d] * d_out[p.row_token[r] * p.c.hidden + d];
    return sum;
  }
  const Problem& p;
  std::vector<double> x, d_out, row_weights, z, a, y, ds, dx_rows;
  std::vector<std::vector<double>> matrices, gradients;
  std::vector<ReferenceExpert<double>> weights, to;
};

TEST(ExpertGemm, ForwardAndBackwardMatchTheReference) {
  for (const InstructionSet set : test::available_instruction_sets()) {
    for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
      for (const Case& c : kCases) {
        SCOPED_TRACE(::testing::Message()
                     << static_cast<int>(set) << " dtype " << static_cast<int>(dtype) << " case " << (&c - kCases));
        const bool exact_path = dtype == DType::kFloat32;
        Problem p(dtype, c);
        Exact exact(p);
        exact.run();
        p.forward(set, 2);
        // bf16: a value on the edge may round to the neighbour, 2^-7 away
        EXPECT_TRUE(test::close(p.z.values(), exact.z, exact_path ? 2e-6 : 8e-3, 2 * c.width));
        EXPECT_TRUE(test::close(p.y.values(), exact.y, exact_path ? 2e-6 : 5e-3, c.hidden));
        p.input_gradient(set, 2);
        EXPECT_TRUE(test::close(p.ds, exact.ds, exact_path ? 2e-6 : 8e-3));
        EXPECT_TRUE(test::close(p.dx_rows.values(), exact.dx_rows, exact_path ? 2e-6 : 8e-3, c.hidden));
        EXPECT_TRUE(p.z.padding_untouched() && p.a.padding_untouched() && p.y.padding_untouched() &&
                    p.dz.padding_untouched() && p.scaled_a.padding_untouched());

        std::deque<std::vector<float>> buffers;  // overwritten by the first micro-batch, doubled by the second
        for (const auto& m : p.matrices)
          buffers.emplace_back(m.matrix->rows() * m.matrix->columns(), std::numeric_limits<float>::quiet_NaN());
        for (const bool accumulate : {false, true}) {
          for (size_t e = 0; e < c.rows.size(); ++e)
            p.gradients[e] = {buffers[3 * e].data(), buffers[3 * e + 1].data(), buffers[3 * e + 2].data(), accumulate};
          p.weight_gradient(set, 2);
          for (size_t i = 0; i < buffers.size(); ++i) {
            if (c.rows[i / 3] == 0) {
              EXPECT_TRUE(std::isnan(buffers[i][0])) << "an empty expert was touched";
              continue;
            }
            std::vector<double> expected = exact.gradients[i];
            for (double& value : expected) value *= accumulate ? 2 : 1;
            EXPECT_TRUE(test::close(buffers[i], expected, exact_path ? 2e-6 : 5e-3, p.matrices[i].matrix->columns()))
                << "matrix " << i;
          }
        }
      }
    }
  }
}

TEST(ExpertGemm, SameBitsWithOneAndTwoThreads) {
  for (const InstructionSet set : test::available_instruction_sets()) {
    Problem one(DType::kBFloat16, kCases[5]), two(DType::kBFloat16, kCases[5]);
    std::vector<std::vector<float>> buffers_one, buffers_two;
    const auto run = [&](Problem& p, int threads, std::vector<std::vector<float>>& buffers) {
      p.forward(set, threads);
      p.input_gradient(set, threads);
      for (const auto& m : p.matrices) buffers.emplace_back(m.matrix->rows() * m.matrix->columns(), 0.0f);
      for (size_t e = 0; e < p.c.rows.size(); ++e)
        p.gradients[e] = {buffers[3 * e].data(), buffers[3 * e + 1].data(), buffers[3 * e + 2].data(), false};
      p.weight_gradient(set, threads);
    };
    run(one, 1, buffers_one);
    run(two, 2, buffers_two);
    EXPECT_TRUE(same_bits(one.y.values(), two.y.values()));
    EXPECT_TRUE(same_bits(one.dx_rows.values(), two.dx_rows.values()));
    EXPECT_TRUE(same_bits(one.ds, two.ds));
    for (size_t i = 0; i < buffers_one.size(); ++i) EXPECT_TRUE(same_bits(buffers_one[i], buffers_two[i]));
  }
}

// What a token gets from an expert does not depend on how many others the expert has, nor on a neighbour that is NaN.
TEST(ExpertGemm, ARowKnowsNothingOfItsNeighbours) {
  for (const InstructionSet set : test::available_instruction_sets()) {
    Problem many(DType::kBFloat16, {40, 70, 50, {100}}), few(DType::kBFloat16, {40, 70, 50, {9}});
    for (int64_t d = 0; d < 70; ++d) many.x.set(many.row_token[50], d, std::numeric_limits<float>::quiet_NaN());
    const int32_t bad = many.row_token[50];
    many.forward(set, 2);
    few.forward(set, 2);
    many.input_gradient(set, 2);
    few.row_weights.assign(many.row_weights.begin(), many.row_weights.begin() + 9);
    few.input_gradient(set, 1);
    for (int64_t r = 0; r < 9; ++r) {
      if (few.row_token[r] == bad) continue;
      EXPECT_TRUE(same_bits(many.y.row(r), few.y.row(r)));
      EXPECT_TRUE(same_bits(many.dx_rows.row(r), few.dx_rows.row(r)));
      EXPECT_EQ(many.ds[r], few.ds[r]);
    }
    EXPECT_TRUE(std::isnan(many.y.at(50, 0)));
  }
}

TEST(ExpertGemm, FrozenMatricesAreSkipped) {
  for (const InstructionSet set : test::available_instruction_sets()) {
    Problem p(DType::kFloat32, kCases[3]);
    p.forward(set, 1);
    p.input_gradient(set, 1);
    std::vector<float> up(p.c.width * p.c.hidden);
    for (auto& g : p.gradients) g = {nullptr, nullptr, nullptr, false};
    p.gradients[2].up = up.data();
    p.weight_gradient(set, 2);
    Exact exact(p);
    exact.run();
    EXPECT_TRUE(test::close(up, exact.gradients[7], 2e-6, p.c.hidden));
  }
}

TEST(ExpertGemm, ReferenceGradientIsTheDerivative) {
  const Problem p(DType::kFloat32, kCases[0]);
  Exact exact(p);
  exact.run();
  const auto derivative = [&](double& value) {
    const double kept = value, step = 1e-5;
    value = kept + step;
    const double above = exact.loss();
    value = kept - step;
    const double below = exact.loss();
    value = kept;
    return (above - below) / (2 * step);
  };
  for (size_t m = 0; m < exact.matrices.size(); ++m)
    for (size_t i = 0; i < exact.matrices[m].size(); ++i)
      EXPECT_NEAR(exact.gradients[m][i], derivative(exact.matrices[m][i]), 1e-8);
  for (int64_t r = 0; r < p.num_rows; ++r) EXPECT_NEAR(exact.ds[r], derivative(exact.row_weights[r]), 1e-8);
  for (int64_t t = 0; t < p.c.tokens; ++t) {
    for (int64_t d = 0; d < p.c.hidden; ++d) {
      double dx = 0;
      for (int64_t r = 0; r < p.num_rows; ++r)
        if (p.row_token[r] == t) dx += exact.dx_rows[r * p.c.hidden + d];
      EXPECT_NEAR(dx, derivative(exact.x[t * p.c.hidden + d]), 1e-8);
    }
  }
}

}  // namespace
}  // namespace dslite::kernels
