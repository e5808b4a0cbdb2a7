// The Context of operations, and the boundary check.
#include "src/ops/context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>

#include "src/base/parallel_for.h"
#include "src/ops/check.h"

namespace dslite::ops {
namespace {

TEST(Context, ScratchIsAlignedReusedAndOnlyGrows) {
  const kernels::Context first = kernel_context(1000);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(first.scratch) % 64, 0u);
  EXPECT_GE(first.scratch_bytes, 1000);
  const kernels::Context larger = kernel_context(5'000'000);
  EXPECT_GE(larger.scratch_bytes, 5'000'000);
  const kernels::Context again = kernel_context(10);
  EXPECT_EQ(again.scratch, larger.scratch);
  EXPECT_EQ(again.scratch_bytes, larger.scratch_bytes);
}

TEST(Context, RunsTasksOnTheProcessThreads) {
  set_num_threads(2);
  const kernels::Context context = kernel_context();
  EXPECT_EQ(context.num_threads, 2);
  std::atomic<int64_t> sum{0};
  context.parallel_for(
      100,
      [](void* state, int64_t task, int thread) {
        EXPECT_LT(thread, 2);
        *static_cast<std::atomic<int64_t>*>(state) += task;
      },
      &sum);
  EXPECT_EQ(sum, 4950);
}

std::string message(const std::function<void()>& f) {
  try {
    f();
  } catch (const std::logic_error& error) {
    return error.what();
  }
  return "";
}

TEST(Check, NamesTensorExpectedAndFound) {
  const at::Tensor x_TD = at::zeros({3, 4});
  DSLITE_CHECK_TENSOR(x_TD, at::kFloat, 3, 4);
  DSLITE_CHECK_ROWS(x_TD.slice(1, 1, 3), at::kFloat, 3, 2);
  EXPECT_THAT(message([&] { DSLITE_CHECK_TENSOR(x_TD, at::kBFloat16, 3, 5); }),
              testing::HasSubstr("x_TD: expected BFloat16 [3, 5] contiguous, found Float [3, 4] with strides [4, 1]"));
  EXPECT_THAT(message([&] { DSLITE_CHECK_TENSOR(x_TD.slice(1, 1, 3), at::kFloat, 3, 2); }),
              testing::HasSubstr("strides [4, 1]"));
  EXPECT_THAT(message([&] { DSLITE_CHECK_ROWS(x_TD.t(), at::kFloat, 4, 3); }), testing::HasSubstr("contiguous rows"));
  EXPECT_THAT(message([&] { DSLITE_CHECK_TENSOR(at::Tensor(), at::kFloat, 1); }), testing::HasSubstr("found nothing"));
}

}  // namespace
}  // namespace dslite::ops
