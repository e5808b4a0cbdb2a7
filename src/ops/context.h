// The Context that operations hand to kernels: this process's threads, the chosen instruction set, and one scratch
// buffer that is reused and only grows.
#pragma once
#include "kernels/common/context.h"

namespace dslite::ops {

// A Context with at least `scratch_bytes` of 64-byte aligned scratch. The scratch belongs to the calling thread (one
// thread computes per process) and is valid until its next kernel_context(). Ask for the largest of several kernels'
// needs when one context serves them all.
kernels::Context kernel_context(int64_t scratch_bytes = 0);

}  // namespace dslite::ops
