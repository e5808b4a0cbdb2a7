#include "src/base/memory.h"

#include <gtest/gtest.h>

#include <vector>

namespace dslite {
namespace {

TEST(Memory, GrowsWithWhatIsTouched) {
  const int64_t before = process_memory().resident_bytes;
  ASSERT_GT(before, 0);
  ASSERT_GT(available_memory_bytes(), 0);
  constexpr int64_t kBytes = int64_t{64} << 20;
  int64_t during = 0;
  {
    std::vector<char> block(kBytes, 1);
    volatile char* touched = block.data();
    touched[0] = 2;
    during = process_memory().resident_bytes;
  }
  EXPECT_GE(during, before + kBytes / 2);
  EXPECT_GE(process_memory().peak_resident_bytes, during - (1 << 20));  // the kernel's counters lag by some pages
}

}  // namespace
}  // namespace dslite
