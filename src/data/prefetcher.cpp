// One thread a batch: it lives as long as the batch is made.
#include "src/data/prefetcher.h"

#include <chrono>

namespace dslite {

Prefetcher::Prefetcher(Loader loader, int rank, int num_ranks)
    : loader_(std::move(loader)), rank_(rank), num_ranks_(num_ranks), position_(loader_.position()) {}
Prefetcher::~Prefetcher() { discard(); }

void Prefetcher::discard() {
  if (made_.valid()) made_.wait();
  made_ = {};
}

void Prefetcher::seek(const LoaderPosition& position) {
  discard();
  loader_.seek(position_);  // back from what was made ahead, in case the wanted position is refused
  loader_.seek(position);
  position_ = position;
}

void Prefetcher::start() {
  if (made_.valid()) return;
  made_ = std::async(std::launch::async, [this] {
    GlobalBatch batch = loader_.next(rank_, num_ranks_);
    return Made{.batch = std::move(batch), .after = loader_.position()};
  });
}

GlobalBatch Prefetcher::next() {
  start();
  const auto before = std::chrono::steady_clock::now();
  Made made = made_.get();
  wait_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
  position_ = made.after;
  start();
  return std::move(made.batch);
}

}  // namespace dslite
