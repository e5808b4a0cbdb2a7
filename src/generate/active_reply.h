// A reply while it grows.
#pragma once
#include <algorithm>
#include <utility>

#include "src/generate/generator.h"

namespace dslite {

// A sequence of the cache, closed when this dies.
class OpenSequence {
 public:
  OpenSequence() = default;
  explicit OpenSequence(LatentCache& cache) : cache_(&cache), id_(cache.open()) {}
  OpenSequence(OpenSequence&& other) noexcept : cache_(std::exchange(other.cache_, nullptr)), id_(other.id_) {}
  OpenSequence& operator=(OpenSequence&& other) noexcept {
    std::swap(cache_, other.cache_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~OpenSequence() {
    if (cache_) cache_->close(id_);
  }
  bool open() const { return cache_ != nullptr; }
  int64_t id() const { return id_; }

 private:
  LatentCache* cache_ = nullptr;
  int64_t id_ = 0;
};

struct Generator::Active {
  size_t index = 0;
  const GenerationRequest* request;
  Reply* reply;
  int64_t sequence;
  int64_t num_read = 0;      // tokens of the prompt that the cache holds
  at::Tensor logits_V = {};  // after the last token read
  bool done = false;

  // What of the prompt is read next; empty when all is read.
  std::span<const int32_t> next_piece(int64_t at_most) const {
    const std::span<const int32_t> unread = std::span(request->prompt).subspan(num_read);
    return unread.first(std::min<size_t>(unread.size(), at_most));
  }
  void finish(FinishReason reason) {
    reply->finish = reason;
    done = true;
  }
};

}  // namespace dslite
