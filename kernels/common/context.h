// What every kernel is handed: threads, instruction set, scratch memory. Plain data; no templates, no inline functions (files built for one
// instruction set include this header).
#pragma once
#include <cstdint>

namespace dslite::kernels {

enum class DType : uint8_t { kFloat32, kBFloat16 };
// kAvx512: F, BW, DQ, VL. kAvx512Bf16: with the dot products of bf16 and int8 (AVX512_BF16, AVX512_VNNI) besides.
enum class InstructionSet : uint8_t { kScalar, kAvx2, kAvx512, kAvx512Bf16 };

using TaskFunction = void (*)(void* state, int64_t task, int thread);

struct Context {
  // Runs body(state, task, thread) for every task in [0, num_tasks), thread in [0, num_threads). Bodies never throw.
  void (*parallel_for)(int64_t num_tasks, TaskFunction body, void* state);
  int num_threads;
  InstructionSet instruction_set;
  void* scratch;          // 64-byte aligned, at least X_scratch_bytes(...); contents are undefined before and after a call
  int64_t scratch_bytes;
};

// A row-major matrix; row_stride in elements.
struct ConstMatrix {
  const void* data;
  DType dtype;
  int64_t row_stride;
};
struct Matrix {
  void* data;
  DType dtype;
  int64_t row_stride;
};

}  // namespace dslite::kernels
