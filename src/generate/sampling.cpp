#include "src/generate/sampling.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "src/base/error.h"
#include "src/base/random.h"

namespace dslite {
namespace {

struct Candidate {
  double weight;  // exp(logit / temperature - largest)
  int32_t token;
  bool operator<(const Candidate& other) const {
    return weight != other.weight ? weight < other.weight : token > other.token;
  }
};

int32_t greedy(std::span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

// The candidate at which the running sum of weights passes `threshold`.
int32_t pick(std::span<const Candidate> candidates, double threshold) {
  double sum = 0;
  for (const Candidate& candidate : candidates) {
    sum += candidate.weight;
    if (sum > threshold) return candidate.token;
  }
  // Rounding left the threshold at the total: the last that has any weight.
  const auto last =
      std::find_if(candidates.rbegin(), candidates.rend(), [](const Candidate& c) { return c.weight > 0; });
  return last->token;
}

}  // namespace

int32_t next_token(std::span<const float> logits, const Sampling& sampling, uint64_t sample, int64_t position) {
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!std::isfinite(logits[i]))
      fail_work(
          "the logit of token {} at position {} is {}: the model's weights are damaged or its arithmetic overflowed", i,
          position, logits[i]);
  }
  if (sampling.temperature == 0) return greedy(logits);
  const double largest = logits[greedy(logits)];
  std::vector<Candidate> candidates(logits.size());
  double total = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    candidates[i] = {.weight = std::exp((logits[i] - largest) / sampling.temperature),
                     .token = static_cast<int32_t>(i)};
    total += candidates[i].weight;
  }
  const double u =
      RandomStream(sampling.seed, RandomPurpose::kSampling, static_cast<uint64_t>(position), sample).uniform(0);
  if (sampling.top_p >= 1) return pick(candidates, u * total);

  // A heap gives the most probable tokens in order; a nucleus is small, so that sorting all of a large vocabulary would
  // be waste.
  std::make_heap(candidates.begin(), candidates.end());
  std::vector<Candidate> nucleus;
  double held = 0;
  while (!candidates.empty() && (nucleus.empty() || held < sampling.top_p * total)) {
    std::pop_heap(candidates.begin(), candidates.end());
    nucleus.push_back(candidates.back());
    candidates.pop_back();
    held += nucleus.back().weight;
  }
  return pick(nucleus, u * held);
}

}  // namespace dslite
