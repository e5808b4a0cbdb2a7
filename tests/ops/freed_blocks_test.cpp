// Kept blocks: each test in a process of its own, since LibTorch's allocator is the process's.
#include "src/ops/freed_blocks.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <vector>

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include "src/base/memory.h"
#include "src/base/random.h"

namespace dslite {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

at::Tensor bytes(int64_t count) { return at::empty({count}, at::kByte); }

void leave_if(bool good) {
  if (!good) std::_Exit(1);
}

void reuse() {
  ops::keep_freed_blocks();
  bytes(64 * kMiB);  // at their most
  at::Tensor a = bytes(8 * kMiB);
  const void* first = a.data_ptr();
  a.reset();
  const at::Tensor larger = bytes(9 * kMiB), far_smaller = bytes(6 * kMiB), small = bytes(kMiB / 2);
  leave_if(larger.data_ptr() != first && far_smaller.data_ptr() != first && small.data_ptr() != first);
  const at::Tensor same = bytes(8 * kMiB - 4096), second = bytes(8 * kMiB);
  leave_if(same.data_ptr() == first && second.data_ptr() != first);
  std::_Exit(0);
}

// The oldest block makes room for a new one.
void oldest() {
  ops::keep_freed_blocks();
  at::Tensor a = bytes(8 * kMiB), b = bytes(10 * kMiB), c = bytes(2 * kMiB);
  const void *second = b.data_ptr(), *third = c.data_ptr();
  a.reset(), b.reset(), c.reset();
  const at::Tensor five = bytes(5 * kMiB), ten = bytes(10 * kMiB), two = bytes(2 * kMiB);
  leave_if(ten.data_ptr() == second && two.data_ptr() == third);
  std::_Exit(0);
}

// Tensors of random sizes live and die in random order: nobody's values change. `measured`: and the process never holds
// more than the live ones did at their most, but for a 32nd and the eighth that a block may be too large.
void random_lives(int64_t smallest, bool measured) {
  ops::keep_freed_blocks();
  const RandomStream random(7, RandomPurpose::kTest);
  std::vector<at::Tensor> live(16);
  int64_t now = 0, most = 0;
  const int64_t before = process_memory().resident_bytes;
  for (uint64_t i = 0; i < 2000; ++i) {
    at::Tensor& place = live[random.below(3 * i, live.size())];
    const auto size = smallest + static_cast<int64_t>(random.below(3 * i + 1, 6 * kMiB));
    const uint8_t mark = static_cast<uint8_t>(i % 251);
    if (place.defined()) {
      const auto* data = place.const_data_ptr<uint8_t>();
      for (int64_t at = 0; at < place.numel(); at += 4093) leave_if(data[at] == data[0]);
      leave_if(data[place.numel() - 1] == data[0]);
      now -= place.numel();
    }
    place.reset();
    if (random.below(3 * i + 2, 4) == 0) continue;
    place = at::full({size}, mark, at::kByte);
    now += size;
    most = std::max(most, now);
    const int64_t limit = (most + most / 8) * 33 / 32 + 2 * kMiB;
    leave_if(!measured || process_memory().resident_bytes - before <= limit);
  }
  std::_Exit(0);
}

// Runs in a fresh process: a fork of this one would miss OpenMP's threads.
class FreedBlocks : public testing::Test {
 protected:
  FreedBlocks() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(FreedBlocks, ServeTheNextTensorOfAboutTheirSize) { EXPECT_EXIT(reuse(), testing::ExitedWithCode(0), ""); }
TEST_F(FreedBlocks, MakeRoomOldestFirst) { EXPECT_EXIT(oldest(), testing::ExitedWithCode(0), ""); }
// Sizes on either side of the smallest that is kept.
TEST_F(FreedBlocks, BelongToOneTensor) { EXPECT_EXIT(random_lives(kMiB / 2, false), testing::ExitedWithCode(0), ""); }
TEST_F(FreedBlocks, TakeLittleMoreThanTensorsAtTheirMost) {
  const bool measured = std::string_view(DSLITE_SANITIZE).empty();  // a sanitizer keeps freed memory for itself
  EXPECT_EXIT(random_lives(kMiB, measured), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace dslite
