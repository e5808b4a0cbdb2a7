// A kernels::Context for tests: 1 or 2 threads, any available instruction set, a poisoned scratch buffer that ends at a
// guard page.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <new>
#include <vector>

#include "kernels/common/context.h"
#include "kernels/common/cpu.h"
#include "src/base/parallel_for.h"

namespace dslite::test {

// Memory whose last byte is followed by a page that must not be touched; 64-byte aligned start, filled with 0xff (NaN
// in fp32 and bf16).
class GuardedBuffer {
 public:
  explicit GuardedBuffer(int64_t bytes) : page_(sysconf(_SC_PAGESIZE)) {
    const int64_t rounded = (bytes + 63) / 64 * 64, usable = (rounded + page_ - 1) / page_ * page_;
    mapped_bytes_ = usable + page_;
    base_ =
        static_cast<char*>(mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED || mprotect(base_ + usable, page_, PROT_NONE) != 0) throw std::bad_alloc();
    data_ = base_ + usable - rounded;
    std::memset(data_, 0xff, rounded);
  }
  ~GuardedBuffer() { munmap(base_, mapped_bytes_); }
  GuardedBuffer(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;
  void* data() const { return data_; }

 private:
  int64_t page_, mapped_bytes_;
  char* base_;
  char* data_;
};

// Owns the scratch; converts to the Context. The thread count is process-wide, so that it is set each time the context
// is handed out.
class KernelContext {
 public:
  explicit KernelContext(kernels::InstructionSet set, int num_threads = 1, int64_t scratch_bytes = 0)
      : scratch_(scratch_bytes),
        context_{.parallel_for = static_cast<void (*)(int64_t, kernels::TaskFunction, void*)>(&dslite::parallel_for),
                 .num_threads = num_threads,
                 .instruction_set = set,
                 .scratch = scratch_.data(),
                 .scratch_bytes = scratch_bytes} {}
  operator const kernels::Context&() const {
    set_num_threads(context_.num_threads);
    return context_;
  }

 private:
  GuardedBuffer scratch_;
  kernels::Context context_;
};

inline std::vector<kernels::InstructionSet> available_instruction_sets() {
  std::vector<kernels::InstructionSet> sets;
  for (const auto set : kernels::kInstructionSets)
    if (kernels::has_instruction_set(set)) sets.push_back(set);
  return sets;
}

}  // namespace dslite::test
