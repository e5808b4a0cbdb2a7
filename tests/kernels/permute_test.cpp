// The dispatch plan against a search per expert; combine against the double reference.
#include "kernels/permute/permute.h"

#include <gtest/gtest.h>

#include <limits>

#include "kernels/permute/permute_reference.h"
#include "tests/support/compare.h"
#include "tests/support/test_data.h"

namespace dslite::kernels {
namespace {

using test::close;
using test::KernelContext;
using test::same_bits;
using test::TypedMatrix;

struct Plan {
  Plan(int64_t experts, int64_t slots) : offsets(experts + 1, -1), row_token(slots, -1), row_of_slot(slots, -1) {}
  DispatchPlan view() { return {offsets.data(), row_token.data(), row_of_slot.data()}; }
  bool operator==(const Plan&) const = default;
  std::vector<int64_t> offsets;
  std::vector<int32_t> row_token, row_of_slot;
};

std::vector<int32_t> random_choice(int64_t tokens, int64_t chosen, int64_t experts, uint64_t seed) {
  std::vector<int32_t> indices(tokens * chosen);
  for (int64_t i = 0; i < tokens * chosen; ++i)
    indices[i] = static_cast<int32_t>(std::abs(test::random_value(seed, i)) * static_cast<float>(experts) * 0.999f);
  return indices;
}

TEST(DispatchPlan, MatchesTheReference) {
  const KernelContext context(InstructionSet::kScalar);
  for (const auto& [tokens, chosen, experts] :
       std::vector<std::array<int64_t, 3>>{{0, 2, 4}, {1, 1, 1}, {5, 2, 3}, {100, 6, 64}, {3, 2, 160}}) {
    const std::vector<int32_t> indices = random_choice(tokens, chosen, experts, 7);
    Plan plan(experts, tokens * chosen), expected(experts, tokens * chosen);
    make_dispatch_plan(context, tokens, chosen, experts, indices.data(), plan.view());
    dispatch_plan_reference(tokens, chosen, experts, indices.data(), expected.view());
    EXPECT_EQ(plan, expected) << tokens << " " << chosen << " " << experts;
  }
}

TEST(DispatchPlan, AllTokensToTheLastExpert) {
  const std::vector<int32_t> indices(12, 4);
  Plan plan(5, 12);
  make_dispatch_plan(KernelContext(InstructionSet::kScalar), 12, 1, 5, indices.data(), plan.view());
  EXPECT_EQ(plan.offsets, (std::vector<int64_t>{0, 0, 0, 0, 0, 12}));
  for (int32_t t = 0; t < 12; ++t) EXPECT_TRUE(plan.row_token[t] == t && plan.row_of_slot[t] == t);
}

TEST(Permute, SlotsToRowsAndBack) {
  const KernelContext context(InstructionSet::kScalar);
  const std::vector<int32_t> indices = random_choice(50, 3, 8, 1);
  Plan plan(8, 150);
  make_dispatch_plan(context, 50, 3, 8, indices.data(), plan.view());
  const std::vector<float> slots = test::random_floats(150, 2);
  std::vector<float> rows(150), back(150);
  slots_to_rows(context, 150, plan.row_of_slot.data(), slots.data(), rows.data());
  rows_to_slots(context, 150, plan.row_of_slot.data(), rows.data(), back.data());
  EXPECT_EQ(back, slots);
  for (int64_t s = 0; s < 150; ++s) EXPECT_EQ(plan.row_token[plan.row_of_slot[s]], s / 3);
}

std::vector<float> run_combine(InstructionSet set, int threads, int64_t tokens, int64_t chosen, const Plan& plan,
                               const std::vector<float>& weights, const TypedMatrix& y, const TypedMatrix* shared,
                               const TypedMatrix* residual, DType out_dtype) {
  TypedMatrix out(out_dtype, tokens, y.columns(), 3);
  const ConstMatrix none{nullptr, DType::kFloat32, 0};
  combine(KernelContext(set, threads), {.num_tokens = tokens,
                                        .num_experts_per_tok = chosen,
                                        .hidden = y.columns(),
                                        .row_of_slot = plan.row_of_slot.data(),
                                        .weights = weights.empty() ? nullptr : weights.data(),
                                        .y = y.view(),
                                        .shared = shared ? shared->view() : none,
                                        .residual = residual ? residual->view() : none,
                                        .out = out.output()});
  EXPECT_TRUE(out.padding_untouched());
  return out.values();
}

TEST(Combine, MatchesTheReference) {
  for (const InstructionSet set : test::available_instruction_sets()) {
    for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
      for (const auto& [tokens, chosen, hidden] :
           std::vector<std::array<int64_t, 3>>{{0, 2, 5}, {1, 1, 1}, {17, 6, 513}, {40, 3, 1031}, {5, 0, 9}}) {
        for (int variant = 0; variant < 8; ++variant) {
          SCOPED_TRACE(::testing::Message() << static_cast<int>(set) << " dtype " << static_cast<int>(dtype) << " "
                                            << tokens << " " << chosen << " " << hidden << " variant " << variant);
          Plan plan(8, tokens * chosen);
          const std::vector<int32_t> indices = random_choice(tokens, chosen, 8, 3);
          make_dispatch_plan(KernelContext(set), tokens, chosen, 8, indices.data(), plan.view());
          const TypedMatrix y = TypedMatrix::random(dtype, tokens * chosen, hidden, 1, 1, 2),
                            shared = TypedMatrix::random(dtype, tokens, hidden, 2),
                            residual = TypedMatrix::random(DType::kFloat32, tokens, hidden, 3);
          const std::vector<float> weights =
              variant & 1 ? test::random_floats(tokens * chosen, 4) : std::vector<float>{};
          const TypedMatrix *s = variant & 2 ? &shared : nullptr, *r = variant & 4 ? &residual : nullptr;
          const std::vector<float> got = run_combine(set, 2, tokens, chosen, plan, weights, y, s, r, dtype);
          const std::vector<double> y64 = test::to_double(y.values()), s64 = test::to_double(shared.values()),
                                    r64 = test::to_double(residual.values()), w64 = test::to_double(weights);
          std::vector<double> expected(tokens * hidden);
          combine_reference<double>({tokens, chosen, hidden, plan.row_of_slot.data(),
                                     variant & 1 ? w64.data() : nullptr, y64.data(), s ? s64.data() : nullptr,
                                     r ? r64.data() : nullptr, expected.data()});
          EXPECT_TRUE(close(got, expected, dtype == DType::kFloat32 ? 1e-6 : 4e-3, hidden));
          EXPECT_TRUE(same_bits(got, run_combine(set, 1, tokens, chosen, plan, weights, y, s, r, dtype)));
        }
      }
    }
  }
}

TEST(Combine, NaNStaysInItsToken) {
  for (const InstructionSet set : test::available_instruction_sets()) {
    const std::vector<int32_t> indices = random_choice(20, 2, 4, 1);
    Plan plan(4, 40);
    make_dispatch_plan(KernelContext(set), 20, 2, 4, indices.data(), plan.view());
    TypedMatrix y = TypedMatrix::random(DType::kFloat32, 40, 30, 1);
    for (int64_t d = 0; d < 30; ++d) y.set(plan.row_of_slot[2 * 11 + 1], d, std::numeric_limits<float>::quiet_NaN());
    const std::vector<float> got = run_combine(set, 2, 20, 2, plan, {}, y, nullptr, nullptr, DType::kFloat32);
    for (int64_t i = 0; i < 600; ++i) EXPECT_EQ(std::isnan(got[i]), i / 30 == 11);
  }
}

}  // namespace
}  // namespace dslite::kernels
