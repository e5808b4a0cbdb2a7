#include "src/ops/context.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include "kernels/common/cpu.h"
#include "src/base/parallel_for.h"

namespace dslite::ops {

kernels::Context kernel_context(int64_t scratch_bytes) {
  thread_local at::Tensor scratch;  // bytes; at::empty aligns to 64
  if (!scratch.defined() || scratch.numel() < scratch_bytes) {
    scratch = at::Tensor();  // the old one goes first
    scratch = at::empty({scratch_bytes}, at::kByte);
  }
  return {.parallel_for = static_cast<void (*)(int64_t, kernels::TaskFunction, void*)>(&dslite::parallel_for),
          .num_threads = num_threads(),
          .instruction_set = kernels::chosen_instruction_set(),
          .scratch = scratch.data_ptr(),
          .scratch_bytes = scratch.numel()};
}

}  // namespace dslite::ops
