// Completions: batches of prompts of different lengths, and conversations that keep their cache between turns.
#pragma once
#include <functional>
#include <span>
#include <vector>

#include "src/generate/cached_forward.h"
#include "src/generate/sampling.h"

namespace dslite {

struct GenerationOptions {
  Sampling sampling = {};
  int64_t max_new_tokens = 256;
  std::vector<int32_t> eos_ids = {};  // a reply ends with (and includes) any of them
};

enum class FinishReason : uint8_t {
  kStop,
  kLength,
  kCancelled
};                                                    // eos; max_new_tokens or max_position_embeddings; the caller
const char* finish_reason_name(FinishReason reason);  // "stop", "length", "cancelled"

struct GenerationRequest {
  std::vector<int32_t> prompt;  // at least one token
  uint64_t sample = 0;          // keys the random numbers: equal (prompt, sample) give equal replies
};

struct Reply {
  std::vector<int32_t> tokens;  // with the eos that ended it
  FinishReason finish = FinishReason::kLength;
};

// Called for each new token of request `index`; false ends that reply.
using TokenCallback = std::function<bool(size_t index, int32_t token)>;
// Called when request `index` is complete, in the order in which replies end.
using ReplyCallback = std::function<void(size_t index, const Reply& reply)>;

struct GeneratorConfig {
  int64_t max_batch = 16;         // replies that grow at once
  int64_t prefill_tokens = 1024;  // of a prompt per forward
  int64_t page_tokens = 256;      // of the cache
};

class Generator {
 public:
  explicit Generator(const DeepseekV2& model, const GeneratorConfig& config = {});

  // Completes every request; a reply has the same bits whatever the batch. UserError for an empty or too long prompt or
  // an unknown id.
  std::vector<Reply> complete(std::span<const GenerationRequest> requests, const GenerationOptions& options,
                              const TokenCallback& on_token = {}, const ReplyCallback& on_reply = {});

  const LatentCache& cache() const { return const_cast<Generator*>(this)->forward_.cache(); }

 private:
  friend class GenerationSession;
  struct Active;  // one reply that grows
  void check(const GenerationRequest& request, size_t index) const;
  // Reads what is unread of the prompts; afterwards each has the logits after its last token. Returns early, with
  // false, when `stopped` says so between forwards.
  bool read_prompts(std::vector<Active>& active, const std::function<bool()>& stopped);
  void read_pieces(const std::vector<Active*>& readers);
  // One more token for every reply: chosen from its logits; then the logits after it for those that go on.
  void take_tokens(std::vector<Active>& active, const GenerationOptions& options, const TokenCallback& on_token);
  void decode(std::vector<Active>& active);

  CachedForward forward_;
  GeneratorConfig config_;
};

// One growing sequence. Each turn gives the whole conversation's ids; what the cache already holds of them is not
// computed again.
class GenerationSession {
 public:
  explicit GenerationSession(Generator& generator);
  ~GenerationSession();
  GenerationSession(const GenerationSession&) = delete;
  GenerationSession& operator=(const GenerationSession&) = delete;
  // `stopped` is asked between forwards: true ends the turn with what there is.
  Reply complete(const std::vector<int32_t>& prompt, const GenerationOptions& options,
                 const TokenCallback& on_token = {}, const std::function<bool()>& stopped = {});
  int64_t num_reused_tokens() const { return num_reused_tokens_; }  // of the last turn's prompt

 private:
  Generator& generator_;
  int64_t sequence_;
  std::vector<int32_t> cached_;  // the ids whose latents the cache holds
  int64_t num_reused_tokens_ = 0;
};

}  // namespace dslite
