// Three words at a time; the last one to twelve bytes are mixed in another way.
#include "src/data/hdf5_checksum.h"

#include <bit>
#include <cstring>

namespace dslite {
namespace {

struct Lookup3 {
  uint32_t a, b, c;
  void add(std::span<const std::byte> part) {  // at most 12 bytes
    uint32_t words[3] = {};
    std::memcpy(words, part.data(), part.size());
    a += words[0];
    b += words[1];
    c += words[2];
  }
  void mix() {
    const auto step = [](uint32_t& x, uint32_t& y, uint32_t& z, int bits) {
      x -= z;
      x ^= std::rotl(z, bits);
      z += y;
    };
    step(a, b, c, 4);
    step(b, c, a, 6);
    step(c, a, b, 8);
    step(a, b, c, 16);
    step(b, c, a, 19);
    step(c, a, b, 4);
  }
  void finish() {
    const auto step = [](uint32_t& x, uint32_t y, int bits) { x = (x ^ y) - std::rotl(y, bits); };
    step(c, b, 14);
    step(a, c, 11);
    step(b, a, 25);
    step(c, b, 16);
    step(a, c, 4);
    step(b, a, 14);
    step(c, b, 24);
  }
};

}  // namespace

uint32_t hdf5_checksum(std::span<const std::byte> bytes) {
  const uint32_t start = 0xdeadbeef + static_cast<uint32_t>(bytes.size());
  Lookup3 state{start, start, start};
  for (; bytes.size() > 12; bytes = bytes.subspan(12)) {
    state.add(bytes.first(12));
    state.mix();
  }
  if (bytes.empty()) return state.c;
  state.add(bytes);
  state.finish();
  return state.c;
}

}  // namespace dslite
