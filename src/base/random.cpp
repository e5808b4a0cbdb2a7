// Philox4x32-10.
#include "src/base/random.h"

#include <cmath>
#include <numbers>

namespace dslite {
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b), static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

namespace {

uint64_t join(uint32_t low, uint32_t high) { return low | (uint64_t{high} << 32); }

}  // namespace

// The key is one Philox block of (seed, purpose); step and sample fill another, whose halves become the upper counter words and are mixed into the key.
RandomStream::RandomStream(uint64_t seed, RandomPurpose purpose, uint64_t step, uint64_t sample) {
  const auto first = philox4x32({static_cast<uint32_t>(step), static_cast<uint32_t>(step >> 32), static_cast<uint32_t>(sample), static_cast<uint32_t>(sample >> 32)},
                            {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32) ^ (static_cast<uint32_t>(purpose) * 0x9E3779B9u)});
  key_ = {first[0], first[1]};
  counter_high_ = {first[2], first[3]};
}

std::array<uint32_t, 4> RandomStream::block(uint64_t index) const {
  return philox4x32({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), counter_high_[0], counter_high_[1]}, key_);
}
uint64_t RandomStream::bits(uint64_t index) const {
  const auto words = block(index);
  return join(words[0], words[1]);
}
double RandomStream::uniform(uint64_t index) const { return static_cast<double>(bits(index) >> 11) * 0x1p-53; }
double RandomStream::normal(uint64_t index) const {
  const auto words = block(index);
  const double u = (static_cast<double>(join(words[0], words[1]) >> 11) + 0.5) * 0x1p-53;  // in (0, 1)
  const double v = static_cast<double>(join(words[2], words[3]) >> 11) * 0x1p-53;
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}
uint64_t RandomStream::below(uint64_t index, uint64_t bound) const {
  __extension__ using uint128 = unsigned __int128;
  return static_cast<uint64_t>((static_cast<uint128>(bits(index)) * bound) >> 64);
}

}  // namespace dslite
