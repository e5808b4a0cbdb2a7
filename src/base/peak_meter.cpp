// Gives the kernels' peak meter its memory and the process's threads.
#include "src/base/peak_meter.h"

#include <cstdlib>
#include <memory>
#include <new>

#include "kernels/common/cpu.h"
#include "src/base/parallel_for.h"

namespace dslite {

PeakRates measure_peak_rates() {
  const int64_t bytes = kernels::peak_meter_scratch_bytes();
  const std::unique_ptr<void, decltype(&std::free)> scratch(std::aligned_alloc(64, bytes), &std::free);
  if (!scratch) throw std::bad_alloc();
  return kernels::measure_peak_rates({.parallel_for = &parallel_for,
                                      .num_threads = num_threads(),
                                      .instruction_set = kernels::chosen_instruction_set(),
                                      .scratch = scratch.get(),
                                      .scratch_bytes = bytes});
}

}  // namespace dslite
