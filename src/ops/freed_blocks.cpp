// An allocator around LibTorch's own: freed blocks wait in the order in which they were freed.
#include "src/ops/freed_blocks.h"

#include <malloc.h>

#include <algorithm>
#include <list>
#include <mutex>
#include <new>

#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

namespace dslite::ops {
namespace {

constexpr size_t kSmallest = size_t{1} << 20;

struct Block {
  void* data;
  size_t bytes;
};

class FreedBlocks {
 public:
  // The smallest kept block that wastes at most an eighth, or a new one.
  void* take(size_t bytes) {
    if (bytes < kSmallest / 2) return c10::alloc_cpu(bytes);  // however it is rounded up, `put` finds it small
    const std::scoped_lock lock(mutex_);
    auto best = kept_.end();
    for (auto block = kept_.begin(); block != kept_.end(); ++block) {
      const bool fits = block->bytes >= bytes && block->bytes <= bytes + bytes / 8;
      if (fits && (best == kept_.end() || block->bytes < best->bytes)) best = block;
    }
    if (best == kept_.end()) return new_block(bytes);
    void* data = best->data;
    kept_bytes_ -= best->bytes;
    live_bytes_ += best->bytes;
    kept_.erase(best);
    return data;
  }
  void put(void* data) {
    const size_t bytes = malloc_usable_size(data);
    if (bytes < kSmallest) return c10::free_cpu(data);
    const std::scoped_lock lock(mutex_);
    kept_.push_back({data, bytes});
    kept_bytes_ += bytes;
    live_bytes_ -= bytes;
  }

 private:
  void* new_block(size_t bytes) {
    // Without the 32nd, steps of equal shape still returned and cleared blocks, for 6 % of their time.
    const size_t most = most_live_bytes_ + most_live_bytes_ / 32, live = live_bytes_ + bytes;
    release_down_to(most > live ? most - live : 0);
    void* data = nullptr;
    try {
      data = c10::alloc_cpu(bytes);
    } catch (const c10::Error&) {  // short of memory, the kept blocks go first
      release_down_to(0);
      data = c10::alloc_cpu(bytes);
    }
    const size_t usable = malloc_usable_size(data);
    if (usable >= kSmallest) live_bytes_ += usable;  // as `put` will see it
    most_live_bytes_ = std::max(most_live_bytes_, live_bytes_);
    return data;
  }
  void release_down_to(size_t most_kept_bytes) {
    for (; kept_bytes_ > most_kept_bytes; kept_.pop_front()) {
      kept_bytes_ -= kept_.front().bytes;
      c10::free_cpu(kept_.front().data);
    }
  }

  std::mutex mutex_;
  std::list<Block> kept_;                                         // the first one is the oldest
  size_t kept_bytes_ = 0, live_bytes_ = 0, most_live_bytes_ = 0;  // of blocks of at least kSmallest
};

// LibTorch's allocators live for ever and free through plain functions.
FreedBlocks*& freed_blocks() {
  static FreedBlocks* blocks = nullptr;
  return blocks;
}

class Allocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* data = freed_blocks()->take(bytes);
    return {data, data, &free, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }

 private:
  static void free(void* data) {
    if (data) freed_blocks()->put(data);
  }
};

}  // namespace

void keep_freed_blocks() {
  // A block that is given up goes back to the system at once: glibc's heap, which it would use for blocks of up to 32
  // MiB after the first were freed, keeps what lies below a living one.
  mallopt(M_MMAP_THRESHOLD, kSmallest);
  freed_blocks() = new FreedBlocks;
  c10::SetCPUAllocator(new Allocator, 1);
}

}  // namespace dslite::ops
