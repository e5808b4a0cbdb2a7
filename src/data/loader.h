// Rows of the training mixture in a fixed global order: sample i of epoch e is a pure function of (seed, e, i), so the whole state is a position.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "src/data/batch.h"

namespace dslite {

struct DataSource {
  std::string path;     // a token file
  double weight = 1.0;  // epochs of it per epoch of the mixture: 2 shows each row twice, 0.5 shows every other row once
};

struct LoaderConfig {
  std::vector<DataSource> sources;
  int64_t sequence_tokens = 0;                // L: input tokens of a row at most
  int64_t rows_per_step = 0;                  // global batch
  int64_t rows_per_micro_batch = 0;
  uint64_t seed = 0;
};

struct LoaderPosition {
  int64_t epoch = 0;
  int64_t next_sample = 0;                    // row within the epoch
  bool operator==(const LoaderPosition&) const = default;
};

class Loader {
 public:
  explicit Loader(const LoaderConfig& config);  // opens and verifies the token files; packs
  ~Loader();
  int64_t rows_per_epoch() const;
  LoaderPosition position() const;
  void seek(const LoaderPosition& position);
  // The next global batch's share of `rank`: rows rank, rank + num_ranks, ... An epoch's last batch is filled from the next epoch's first rows.
  GlobalBatch next(int rank = 0, int num_ranks = 1);
  const std::string& tokenizer_sha256() const;  // of all sources alike; UserError at construction when they differ
  int64_t vocab_size() const;
  const std::string& chat_format() const;       // of the first source; empty when it is plain text

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Every row of the files once, in order, as micro-batches of at most rows_per_batch rows: validation and `eval`. A source's weight multiplies its
// loss weights.
std::vector<Batch> validation_batches(const std::vector<DataSource>& sources, int64_t sequence_tokens, int64_t rows_per_batch);

}  // namespace dslite
