// The peak meter gives rates; how large they are is the machine's matter.
#include "src/base/peak_meter.h"

#include <gtest/gtest.h>

#include <cmath>

namespace dslite {
namespace {

TEST(PeakMeter, GivesFiniteRates) {
  const PeakRates rates = measure_peak_rates();
  for (const double rate : {rates.flops_per_second, rates.one_thread_flops_per_second, rates.bf16_flops_per_second,
                            rates.int8_operations_per_second, rates.read_bytes_per_second}) {
    EXPECT_TRUE(std::isfinite(rate) && rate > 1e6) << rate;
  }
}

}  // namespace
}  // namespace dslite
