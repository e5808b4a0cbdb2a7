// An allocator around LibTorch's own: freed blocks wait in the order in which they were freed.
#include "src/ops/freed_blocks.h"

#include <malloc.h>

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
  explicit FreedBlocks(size_t most_bytes) : most_bytes_(most_bytes) {}

  // The smallest block that wastes at most an eighth, or null.
  void* take(size_t bytes) {
    const std::scoped_lock lock(mutex_);
    auto best = blocks_.end();
    for (auto block = blocks_.begin(); block != blocks_.end(); ++block) {
      const bool fits = block->bytes >= bytes && block->bytes <= bytes + bytes / 8;
      if (fits && (best == blocks_.end() || block->bytes < best->bytes)) best = block;
    }
    if (best == blocks_.end()) return nullptr;
    void* data = best->data;
    bytes_ -= best->bytes;
    blocks_.erase(best);
    return data;
  }
  void put(void* data) {
    const size_t bytes = malloc_usable_size(data);
    if (bytes < kSmallest || bytes > most_bytes_) return c10::free_cpu(data);
    const std::scoped_lock lock(mutex_);
    blocks_.push_back({data, bytes});
    for (bytes_ += bytes; bytes_ > most_bytes_; blocks_.pop_front()) {
      bytes_ -= blocks_.front().bytes;
      c10::free_cpu(blocks_.front().data);
    }
  }
  void release() {
    const std::scoped_lock lock(mutex_);
    for (const Block& block : blocks_) c10::free_cpu(block.data);
    blocks_.clear();
    bytes_ = 0;
  }

 private:
  std::mutex mutex_;
  std::list<Block> blocks_;  // the first one is the oldest
  size_t bytes_ = 0, most_bytes_;
};

// LibTorch's allocators live for ever and free through plain functions.
FreedBlocks*& freed_blocks() {
  static FreedBlocks* blocks = nullptr;
  return blocks;
}

class Allocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* data = bytes >= kSmallest ? freed_blocks()->take(bytes) : nullptr;
    if (!data) data = new_block(bytes);
    return {data, data, &free, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }

 private:
  // Short of memory, the kept blocks go first.
  static void* new_block(size_t bytes) {
    try {
      return c10::alloc_cpu(bytes);
    } catch (const c10::Error&) {
      freed_blocks()->release();
      return c10::alloc_cpu(bytes);
    }
  }
  static void free(void* data) {
    if (data) freed_blocks()->put(data);
  }
};

}  // namespace

void keep_freed_blocks(int64_t most_bytes) {
  freed_blocks() = new FreedBlocks(static_cast<size_t>(most_bytes));
  c10::SetCPUAllocator(new Allocator, 1);
}

}  // namespace dslite::ops
