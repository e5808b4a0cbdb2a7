// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11).
// A number is a pure function of (seed, purpose, step, sample, index): no state to save, the same for any order or number of threads.
#pragma once
#include <array>
#include <cstdint>

namespace dslite {

enum class RandomPurpose : uint32_t { kInitialWeights = 1, kShuffle = 2, kSampling = 3, kPacking = 4, kTest = 99 };

// One block: 4 random words from a counter and a key.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

class RandomStream {
 public:
  RandomStream(uint64_t seed, RandomPurpose purpose, uint64_t step = 0, uint64_t sample = 0);
  uint64_t bits(uint64_t index) const;
  double uniform(uint64_t index) const;                       // in [0, 1), 53 bits
  double normal(uint64_t index) const;                        // mean 0, deviation 1 (Box-Muller)
  uint64_t below(uint64_t index, uint64_t bound) const;       // in [0, bound), bound > 0; unbiased to 2^-64

 private:
  std::array<uint32_t, 4> block(uint64_t index) const;
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 2> counter_high_;
};

}  // namespace dslite
