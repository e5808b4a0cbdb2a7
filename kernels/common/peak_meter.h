// What this processor can do, measured in this process: the denominator of every "share of the peak". Takes about half
// a second.
#pragma once
#include "kernels/common/context.h"

namespace dslite::kernels {

struct PeakRates {
  double flops_per_second;  // fp32 multiply-adds (2 flops each) on registers, all threads of the context
  double one_thread_flops_per_second;
  double read_bytes_per_second;  // sequential reads of memory, all threads
};

// The working set of the read measurement: larger than any cache.
int64_t peak_meter_scratch_bytes();
PeakRates measure_peak_rates(const Context& context);

}  // namespace dslite::kernels
