// The next token from its logits: greedy, or temperature with nucleus sampling (Holtzman et al., arXiv:1904.09751).
#pragma once
#include <cstdint>
#include <span>

namespace dslite {

struct Sampling {
  double temperature = 0;  // 0: greedy
  double top_p = 1;        // in (0, 1]: the smallest set of most probable tokens that holds at least this probability
  uint64_t seed = 0;
};

// A pure function of its arguments: the random number is keyed by (seed, sample, position), so that a reply depends
// neither on the batch nor on other replies. Ties: the lower id. Throws Error when a logit is not finite.
int32_t next_token(std::span<const float> logits, const Sampling& sampling, uint64_t sample, int64_t position);

}  // namespace dslite
