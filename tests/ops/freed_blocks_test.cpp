// Kept blocks: each test in a process of its own, since LibTorch's allocator is the process's.
#include "src/ops/freed_blocks.h"

#include <cstdlib>
#include <vector>

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include "src/base/random.h"

namespace dslite {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

at::Tensor bytes(int64_t count) { return at::empty({count}, at::kByte); }

void leave_if(bool good) {
  if (!good) std::_Exit(1);
}

void reuse() {
  ops::keep_freed_blocks(64 * kMiB);
  at::Tensor a = bytes(8 * kMiB);
  const void* first = a.data_ptr();
  a.reset();
  const at::Tensor larger = bytes(9 * kMiB), far_smaller = bytes(6 * kMiB), small = bytes(kMiB / 2);
  leave_if(larger.data_ptr() != first && far_smaller.data_ptr() != first && small.data_ptr() != first);
  const at::Tensor same = bytes(8 * kMiB - 4096), second = bytes(8 * kMiB);
  leave_if(same.data_ptr() == first && second.data_ptr() != first);
  std::_Exit(0);
}

// The latest freed blocks stay, the oldest goes.
void limit() {
  ops::keep_freed_blocks(20 * kMiB);
  at::Tensor a = bytes(8 * kMiB), b = bytes(9 * kMiB + kMiB / 2), too_large = bytes(30 * kMiB), c = bytes(2 * kMiB);
  const void *first = a.data_ptr(), *second = b.data_ptr(), *third = c.data_ptr();
  a.reset(), b.reset(), too_large.reset(), c.reset();  // 8 + 9.5 + 2 MiB
  at::Tensor d = bytes(5 * kMiB);
  const void* last = d.data_ptr();
  d.reset();  // the 8 MiB go
  const at::Tensor five = bytes(5 * kMiB), nine = bytes(9 * kMiB + kMiB / 2), two = bytes(2 * kMiB),
                   eight = bytes(8 * kMiB);
  leave_if(five.data_ptr() == last && nine.data_ptr() == second && two.data_ptr() == third &&
           eight.data_ptr() != first);
  std::_Exit(0);
}

// Tensors of random sizes live and die in random order; nobody's values change.
void contents() {
  ops::keep_freed_blocks(40 * kMiB);
  const RandomStream random(7, RandomPurpose::kTest);
  std::vector<at::Tensor> live(16);
  for (uint64_t i = 0; i < 2000; ++i) {
    at::Tensor& place = live[random.below(3 * i, live.size())];
    const auto size = kMiB / 2 + static_cast<int64_t>(random.below(3 * i + 1, 6 * kMiB));
    const uint8_t mark = static_cast<uint8_t>(i % 251);
    if (place.defined()) {
      const auto* data = place.const_data_ptr<uint8_t>();
      for (int64_t at = 0; at < place.numel(); at += 4093) leave_if(data[at] == data[0]);
      leave_if(data[place.numel() - 1] == data[0]);
    }
    place.reset();
    if (random.below(3 * i + 2, 4) > 0) place = at::full({size}, mark, at::kByte);
  }
  std::_Exit(0);
}

// Runs in a fresh process: a fork of this one would miss OpenMP's threads.
class FreedBlocks : public testing::Test {
 protected:
  FreedBlocks() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(FreedBlocks, ServeTheNextTensorOfAboutTheirSize) { EXPECT_EXIT(reuse(), testing::ExitedWithCode(0), ""); }
TEST_F(FreedBlocks, AreKeptUpToTheLimit) { EXPECT_EXIT(limit(), testing::ExitedWithCode(0), ""); }
TEST_F(FreedBlocks, BelongToOneTensor) { EXPECT_EXIT(contents(), testing::ExitedWithCode(0), ""); }

}  // namespace
}  // namespace dslite
