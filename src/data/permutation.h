// A random order of [0, size) without a table: place i of it is computed in O(1), so an order of 2^32 rows costs no
// memory and its opening no time. Swap-or-not shuffle (Hoang, Morris, Rogaway, "An enciphering scheme based on a card
// shuffle", CRYPTO 2012): in each round x and its partner key - x (mod size) change places or not, by one random bit
// of the pair.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "src/base/random.h"

namespace dslite {

class Permutation {
 public:
  Permutation(uint64_t size, const RandomStream& random);
  uint64_t operator()(uint64_t index) const;

 private:
  static constexpr size_t kRounds = 96;
  struct Round {
    uint64_t key, salt;
  };
  uint64_t size_;
  std::array<Round, kRounds> rounds_;
};

}  // namespace dslite
