// The process's threads: GNU OpenMP's pool, the same that ATen uses, called directly (at::parallel_for is serial unless a file is compiled with -fopenmp).
// Tasks are cut by the caller by shape, never by thread count, and taken by an atomic counter; nested calls run serially; bodies never throw.
// One thread computes per process: loader, saver and server threads never call it.
#pragma once
#include <cstdint>
#include <type_traits>

namespace dslite {

// The number of threads of later parallel_for calls; at least 1. The process starts with the number of its cores.
void set_num_threads(int num_threads);
int num_threads();

using TaskFunction = void (*)(void* state, int64_t task, int thread);
// Runs body(state, task, thread) for every task in [0, num_tasks), thread in [0, num_threads()).
void parallel_for(int64_t num_tasks, TaskFunction body, void* state);

// The same for a callable (int64_t task, int thread) or (int64_t task).
template <class Body>
void parallel_for(int64_t num_tasks, Body&& body) {
  using Plain = std::remove_reference_t<Body>;
  parallel_for(
      num_tasks,
      [](void* state, int64_t task, int thread) {
        if constexpr (requires(Plain& b) { b(task, thread); }) {
          (*static_cast<Plain*>(state))(task, thread);
        } else {
          (void)thread;
          (*static_cast<Plain*>(state))(task);
        }
      },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace dslite
