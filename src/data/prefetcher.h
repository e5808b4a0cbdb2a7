// A loader whose next global batch is made on a thread while the present one is computed with: token pages are read,
// blocks hashed and rows put together there, so a step need not wait for data.
#pragma once
#include <future>

#include "src/data/loader.h"

namespace dslite {

class Prefetcher {
 public:
  explicit Prefetcher(Loader loader, int rank = 0, int num_ranks = 1);
  ~Prefetcher();  // waits for the thread
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;
  // After the last batch that next() gave, whatever was made ahead: what a checkpoint keeps.
  LoaderPosition position() const { return position_; }
  void seek(const LoaderPosition& position);
  void start();  // begins to make the next batch, unless that is under way
  // This rank's share of the next global batch, as Loader::next() gives it; the one after it is begun. An error of the
  // thread is thrown here, and leaves the position.
  GlobalBatch next();
  double wait_seconds() const { return wait_seconds_; }  // that the last next() had to wait

 private:
  struct Made {
    GlobalBatch batch;
    LoaderPosition after;
  };
  void discard();
  Loader loader_;  // the thread's while made_ is valid
  int rank_, num_ranks_;
  LoaderPosition position_;
  double wait_seconds_ = 0;
  std::future<Made> made_;
};

}  // namespace dslite
