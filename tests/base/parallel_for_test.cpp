// parallel_for: every task once, really on two threads, serial when nested.
#include "src/base/parallel_for.h"

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <vector>

namespace dslite {
namespace {

TEST(ParallelFor, RunsEveryTaskOnce) {
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    std::vector<std::atomic<int>> count(1000);
    parallel_for(1000, [&](int64_t task) { ++count[task]; });
    for (const auto& c : count) EXPECT_EQ(c, 1);
  }
}

TEST(ParallelFor, TwoThreadsMeet) {
  set_num_threads(2);
  std::barrier meeting(2);  // would hang if one thread ran both tasks
  std::atomic<int> threads{0};
  parallel_for(2, [&](int64_t, int thread) {
    meeting.arrive_and_wait();
    threads += 1 << thread;
  });
  EXPECT_EQ(threads, 3);
}

TEST(ParallelFor, NestedCallsRunSerially) {
  set_num_threads(2);
  std::atomic<int> inner{0};
  parallel_for(4, [&](int64_t) {
    parallel_for(5, [&](int64_t, int thread) {
      EXPECT_EQ(thread, 0);
      ++inner;
    });
  });
  EXPECT_EQ(inner, 20);
}

}  // namespace
}  // namespace dslite
