// What this machine can do, measured in this process with all threads (kernels/common/peak_meter.h): what `bench` and
// the training metrics divide by.
#pragma once
#include "kernels/common/peak_meter.h"

namespace dslite {

using kernels::PeakRates;
// Takes about half a second and 192 MiB. Call it while nothing else computes.
PeakRates measure_peak_rates();

}  // namespace dslite
