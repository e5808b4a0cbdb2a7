// Reads the next batch of an input on a thread while the present one is worked on.
#pragma once
#include <future>
#include <memory>

#include "src/data/readers.h"

namespace dslite {

class ReadAhead {
 public:
  struct Read {
    RecordBatch batch;
    int64_t bytes_done;  // of the input, up to this batch
  };
  explicit ReadAhead(Input& input) : input_(input) { start(); }
  // Null at the end. What the thread threw is thrown here.
  std::unique_ptr<Read> next() {
    std::unique_ptr<Read> read = ahead_.get();
    if (read) start();
    return read;
  }

 private:
  void start() {
    ahead_ = std::async(std::launch::async, [this]() -> std::unique_ptr<Read> {
      auto read = std::make_unique<Read>();  // does not move again: the records point into its text
      if (!input_.next(read->batch)) return nullptr;
      read->bytes_done = input_.bytes_done();
      return read;
    });
  }
  Input& input_;
  std::future<std::unique_ptr<Read>> ahead_;  // waits for the thread when it goes
};

}  // namespace dslite
