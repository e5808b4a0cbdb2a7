#include "src/generate/latent_cache.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "src/base/error.h"

namespace dslite {

LatentCache::LatentCache(const ModelConfig& config, at::ScalarType dtype, int64_t page_tokens)
    : page_tokens_(page_tokens),
      row_width_(config.kv_lora_rank + config.qk_rope_head_dim),
      dtype_(dtype),
      layers_(config.num_hidden_layers, at::empty({0, page_tokens, row_width_}, dtype)) {
  DSLITE_ASSERT(page_tokens > 0);
}

LatentCache::Held& LatentCache::held(int64_t sequence) {
  DSLITE_ASSERT(sequence >= 0 && sequence < static_cast<int64_t>(sequences_.size()) && sequences_[sequence].open);
  return sequences_[sequence];
}

int64_t LatentCache::open() {
  const auto closed = std::find_if(sequences_.begin(), sequences_.end(), [](const Held& h) { return !h.open; });
  const auto sequence = static_cast<int64_t>(closed - sequences_.begin());
  if (closed == sequences_.end()) sequences_.emplace_back();
  sequences_[sequence].open = true;
  return sequence;
}

void LatentCache::close(int64_t sequence) {
  truncate(sequence, 0);
  held(sequence).open = false;
}

void LatentCache::truncate(int64_t sequence, int64_t num_tokens) {
  Held& h = held(sequence);
  DSLITE_ASSERT(num_tokens >= 0 && num_tokens <= h.num_tokens);
  h.num_tokens = num_tokens;
  const auto kept = static_cast<size_t>((num_tokens + page_tokens_ - 1) / page_tokens_);
  free_pages_.insert(free_pages_.end(), h.pages.begin() + static_cast<int64_t>(kept), h.pages.end());
  h.pages.resize(kept);
}

int64_t LatentCache::num_tokens(int64_t sequence) const {
  return const_cast<LatentCache*>(this)->held(sequence).num_tokens;
}

int64_t LatentCache::num_used_pages() const { return num_pages_ - static_cast<int64_t>(free_pages_.size()); }

int64_t LatentCache::bytes() const {
  return num_pages_ * page_tokens_ * row_width_ * static_cast<int64_t>(layers_.size() * c10::elementSize(dtype_));
}

// Grows by at least half, so that copying the pages costs a constant per token.
void LatentCache::reserve_pages(int64_t more) {
  const auto spare = static_cast<int64_t>(free_pages_.size());
  if (more <= spare) return;
  const int64_t wanted = num_pages_ + std::max(more - spare, num_pages_ / 2);
  for (at::Tensor& layer : layers_) {
    at::Tensor wider = at::empty({wanted, page_tokens_, row_width_}, dtype_);
    if (num_pages_ > 0) wider.slice(0, 0, num_pages_).copy_(layer);
    layer = std::move(wider);
  }
  for (int64_t page = wanted; page-- > num_pages_;) free_pages_.push_back(static_cast<int32_t>(page));
  num_pages_ = wanted;
}

std::vector<LatentCacheView> LatentCache::grow(std::span<const Growth> growth) {
  const auto pages_for = [&](int64_t tokens) { return (tokens + page_tokens_ - 1) / page_tokens_; };
  int64_t more = 0, max_pages = 1;
  for (const Growth& g : growth) {
    const Held& h = held(g.sequence);
    DSLITE_ASSERT(g.num_tokens > 0);
    more += pages_for(h.num_tokens + g.num_tokens) - static_cast<int64_t>(h.pages.size());
    max_pages = std::max(max_pages, pages_for(h.num_tokens + g.num_tokens));
  }
  reserve_pages(more);

  at::Tensor block_table = at::empty({static_cast<int64_t>(growth.size()), max_pages}, at::kInt);
  auto* table = block_table.data_ptr<int32_t>();
  std::fill_n(table, block_table.numel(), -1);
  std::vector<int64_t> kv_lengths;
  for (const Growth& g : growth) {
    Held& h = held(g.sequence);
    h.num_tokens += g.num_tokens;
    while (static_cast<int64_t>(h.pages.size()) < pages_for(h.num_tokens)) {
      h.pages.push_back(free_pages_.back());
      free_pages_.pop_back();
    }
    std::copy(h.pages.begin(), h.pages.end(), table + static_cast<int64_t>(kv_lengths.size()) * max_pages);
    kv_lengths.push_back(h.num_tokens);
  }
  std::vector<LatentCacheView> views;
  for (const at::Tensor& layer : layers_)
    views.push_back({.pages = layer, .block_table = block_table, .kv_lengths = kv_lengths});
  return views;
}

}  // namespace dslite
