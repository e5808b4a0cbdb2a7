// The loader: a position in the mixture's order.
#include "src/data/loader.h"

#include "src/base/error.h"

namespace dslite {

Loader::Loader(std::shared_ptr<const Mixture> mixture, const BatchRows& rows)
    : mixture_(std::move(mixture)), rows_(rows) {
  if (rows.per_step < 1) fail_input("rows of a step: found {}, expected at least 1", rows.per_step);
  if (rows.per_micro_batch < 1)
    fail_input("rows of a micro-batch: found {}, expected at least 1", rows.per_micro_batch);
}

void Loader::seek(const LoaderPosition& position) {
  if (position.epoch < 0 || position.next_sample < 0 || position.next_sample >= mixture_->rows_per_epoch()) {
    fail_input("data position (epoch {}, sample {}) is not in an epoch of {} rows: the data changed", position.epoch,
               position.next_sample, mixture_->rows_per_epoch());
  }
  position_ = position;
}

GlobalBatch Loader::next(int rank, int num_ranks) {
  DSLITE_ASSERT(num_ranks >= 1 && rank >= 0 && rank < num_ranks);
  GlobalBatch global;
  LoaderPosition at = position_;
  int64_t rows_here = 0;
  for (int64_t i = 0; i < rows_.per_step; ++i) {
    if (!epoch_ || epoch_->number() != at.epoch) epoch_.emplace(*mixture_, at.epoch);
    const Row row = epoch_->row(at.next_sample);
    const BatchTotals totals = row_totals(row);
    global.totals.num_tokens += totals.num_tokens;
    global.totals.num_trained_tokens += totals.num_trained_tokens;
    global.totals.target_weight += totals.target_weight;
    if (i % num_ranks == rank) {
      if (rows_here++ % rows_.per_micro_batch == 0) global.micro_batches.emplace_back();
      append_row(row, global.micro_batches.back());
    }
    if (++at.next_sample == mixture_->rows_per_epoch()) at = {at.epoch + 1, 0};
  }
  position_ = at;
  return global;
}

std::vector<Batch> validation_batches(const MixtureConfig& config, int64_t rows_per_batch) {
  if (rows_per_batch < 1) fail_input("rows of a batch: found {}, expected at least 1", rows_per_batch);
  const Mixture mixture(config);
  std::vector<Batch> batches;
  int64_t rows = 0;
  for (const Row& row : mixture.file_rows()) {
    if (rows++ % rows_per_batch == 0) batches.emplace_back();
    append_row(row, batches.back());
  }
  return batches;
}

}  // namespace dslite
