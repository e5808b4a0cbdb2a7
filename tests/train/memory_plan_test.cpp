// A run that cannot fit is refused before it allocates anything.
#include <gtest/gtest.h>

#include "src/base/error.h"
#include "src/train/plan.h"

namespace dslite::test {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

MemoryPlan plan_of_seven() {
  return {.weights_bytes = 2 * kGiB,
          .gradients_bytes = kGiB,
          .optimizer_bytes = 2 * kGiB,
          .activations_bytes = kGiB,
          .program_bytes = kGiB};
}

std::string refusal(int64_t available_bytes) {
  try {
    require_memory(plan_of_seven(), available_bytes);
  } catch (const UserError& error) {
    return error.what();
  }
  return {};
}

TEST(MemoryPlan, RefusesWhatDoesNotFit) {
  const std::string text = refusal(4 * kGiB);
  for (const char* part : {"2.00 GiB more", "4.00 GiB", "weights 2.00 GiB", "memory.recompute"})
    EXPECT_NE(text.find(part), std::string::npos) << text;
  EXPECT_NE(refusal(6 * kGiB - 1), "");
}

// The program is in memory already, and a machine that does not say what it has is believed.
TEST(MemoryPlan, AcceptsWhatFits) {
  EXPECT_EQ(refusal(6 * kGiB), "");
  EXPECT_EQ(refusal(0), "");
}

}  // namespace
}  // namespace dslite::test
