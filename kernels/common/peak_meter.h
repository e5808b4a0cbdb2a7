// What this processor can do, measured in this process: the denominator of every "share of the peak". Takes less than a
// second.
#pragma once
#include "kernels/common/context.h"

namespace dslite::kernels {

// Multiply-adds on registers, 2 operations each, all threads of the context; and sequential reads of memory. Rates of
// bf16 and int8 are those of fp32 where the instruction set has no products of its own for them.
struct PeakRates {
  double flops_per_second;  // fp32
  double one_thread_flops_per_second;
  double bf16_flops_per_second;
  double one_thread_bf16_flops_per_second;
  double int8_operations_per_second;
  double read_bytes_per_second;

  double flops_of(DType dtype) const { return dtype == DType::kBFloat16 ? bf16_flops_per_second : flops_per_second; }
};

// The working set of the read measurement: larger than any cache.
int64_t peak_meter_scratch_bytes();
PeakRates measure_peak_rates(const Context& context);

}  // namespace dslite::kernels
