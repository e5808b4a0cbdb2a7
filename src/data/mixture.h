// The training mixture: token files, packed into rows, and the order of the rows. Immutable; row i of epoch e is a
// pure function of (files, seed, e, i), so several readers may share one.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "src/data/permutation.h"
#include "src/data/row.h"

namespace dslite {

struct DataSource {
  std::string path;     // a token file
  double weight = 1.0;  // epochs of it per epoch of the mixture: 2 shows each row twice, 0.5 shows every other row once
};

struct MixtureConfig {
  std::vector<DataSource> sources;
  PackingRule packing;  // its seed also draws the order
};

class Mixture {
 public:
  explicit Mixture(const MixtureConfig& config);  // opens and verifies the token files; packs
  int64_t rows_per_epoch() const { return source_begin_.back(); }
  const std::string& tokenizer_sha256() const;  // of all sources alike; UserError at construction when they differ
  int64_t vocab_size() const;
  const std::string& chat_format() const;  // of the first source; empty when it is plain text

  // The rows of one epoch in its order.
  class Epoch {
   public:
    Epoch(const Mixture& mixture, int64_t number);
    int64_t number() const { return number_; }
    Row row(int64_t sample) const;

   private:
    const Mixture* mixture_;
    int64_t number_;
    Permutation order_;
  };
  // Every row of the files once, in their order; a file's weight multiplies its loss weights.
  std::vector<Row> file_rows() const;
  int64_t cut_tokens() const;  // of the files, that esft packing leaves out

 private:
  // Weight w gives round(w * R) rows an epoch: floor(w) times every row, and for the rest a window that moves on
  // through a fixed permutation, so that over the epochs every row comes equally often.
  struct Source {
    std::unique_ptr<TokenStore> store;
    Packing packing;
    double weight;
    int64_t whole_rows, rest_rows;
    Permutation order;  // of the rest
    int64_t rows_per_epoch() const { return whole_rows + rest_rows; }
    int64_t row(int64_t epoch, int64_t index) const;
  };
  static Source open_source(const DataSource& config, const MixtureConfig& mixture, size_t index);
  const TokenFileInfo& info() const { return sources_.front().store->info(); }

  uint64_t seed_;
  std::vector<Source> sources_;
  std::vector<int64_t> source_begin_;  // [S + 1] of each source's rows in the epoch before it is shuffled
};

}  // namespace dslite
