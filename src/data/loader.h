// Global batches of the training mixture, one after another: a cursor whose whole state is a position.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "src/data/batch.h"
#include "src/data/mixture.h"

namespace dslite {

struct BatchRows {
  int64_t per_step = 0;  // global batch
  int64_t per_micro_batch = 0;
};

struct LoaderPosition {
  int64_t epoch = 0;
  int64_t next_sample = 0;  // row within the epoch
  bool operator==(const LoaderPosition&) const = default;
};

class Loader {
 public:
  Loader(std::shared_ptr<const Mixture> mixture, const BatchRows& rows);
  const Mixture& mixture() const { return *mixture_; }
  LoaderPosition position() const { return position_; }
  void seek(const LoaderPosition& position);
  // The next global batch's share of `rank`: rows rank, rank + num_ranks, ... An epoch's last batch is filled from the
  // next epoch's first rows.
  GlobalBatch next(int rank = 0, int num_ranks = 1);

 private:
  std::shared_ptr<const Mixture> mixture_;
  BatchRows rows_;
  LoaderPosition position_;
  std::optional<Mixture::Epoch> epoch_;  // that the last row came from
};

// Every row of the files once, in order, as micro-batches of at most rows_per_batch rows: validation and `eval`. A
// source's weight multiplies its loss weights.
std::vector<Batch> validation_batches(const MixtureConfig& config, int64_t rows_per_batch);

}  // namespace dslite
