// parallel_for on libgomp's entry point: 1-5 us a call, any compiler, no -fopenmp.
#include "src/base/parallel_for.h"

#include <sched.h>

#include <algorithm>
#include <atomic>

#include "kernels/common/tsan.h"

extern "C" void GOMP_parallel(void (*body)(void*), void* state, unsigned num_threads, unsigned flags);
extern "C" int omp_get_thread_num(void);
extern "C" int omp_in_parallel(void);

namespace dslite {
namespace {

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

// The one process-wide setting of the project: libgomp's pool is process-wide too.
std::atomic<int>& thread_setting() {
  static std::atomic<int> value{available_cores()};
  return value;
}

struct Region {
  TaskFunction body;
  void* state;
  int64_t num_tasks;
  std::atomic<int64_t> next{0};
  char fork = 0, join = 0;  // addresses for the sanitizer's marks
};

void work(void* pointer) {
  Region& region = *static_cast<Region*>(pointer);
  DSLITE_TSAN_ACQUIRE(&region.fork);
  const int thread = omp_get_thread_num();
  for (int64_t task; (task = region.next.fetch_add(1, std::memory_order_relaxed)) < region.num_tasks;) region.body(region.state, task, thread);
  DSLITE_TSAN_RELEASE(&region.join);
}

}  // namespace

void set_num_threads(int num_threads) { thread_setting() = std::max(1, num_threads); }
int num_threads() { return thread_setting(); }

void parallel_for(int64_t num_tasks, TaskFunction body, void* state) {
  const auto threads = static_cast<unsigned>(std::min<int64_t>(num_threads(), num_tasks));
  if (threads <= 1 || omp_in_parallel()) {
    for (int64_t task = 0; task < num_tasks; ++task) body(state, task, 0);
    return;
  }
  Region region{.body = body, .state = state, .num_tasks = num_tasks};
  DSLITE_TSAN_RELEASE(&region.fork);
  GOMP_parallel(work, &region, threads, 0);
  DSLITE_TSAN_ACQUIRE(&region.join);
}

}  // namespace dslite
