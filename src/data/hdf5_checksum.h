// The checksum of HDF5's metadata: Bob Jenkins's lookup3 ("hashlittle", 2006, public domain), begun with 0.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace dslite {

uint32_t hdf5_checksum(std::span<const std::byte> bytes);

}  // namespace dslite
