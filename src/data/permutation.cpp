// The swap-or-not shuffle.
#include "src/data/permutation.h"

#include <algorithm>

#include "src/base/error.h"

namespace dslite {
namespace {

// The finisher of splitmix64: every bit of the result depends on every bit of x.
uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

Permutation::Permutation(uint64_t size, const RandomStream& random) : size_(size) {
  DSLITE_ASSERT(size > 0 && size <= uint64_t{1} << 62);
  for (size_t r = 0; r < kRounds; ++r) rounds_[r] = {random.below(2 * r, size), random.bits(2 * r + 1)};
}

uint64_t Permutation::operator()(uint64_t index) const {
  DSLITE_ASSERT(index < size_);
  uint64_t x = index;
  for (const Round& round : rounds_) {
    const uint64_t distance = round.key + size_ - x, partner = distance < size_ ? distance : distance - size_;
    if (mix(std::max(x, partner) ^ round.salt) & 1) x = partner;
  }
  return x;
}

}  // namespace dslite
