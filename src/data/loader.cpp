// The loader: an order of rows per epoch, drawn from (seed, epoch), and a position in it.
#include "src/data/loader.h"

#include <cmath>
#include <map>
#include <numeric>

#include "src/base/error.h"
#include "src/base/random.h"
#include "src/data/packing.h"

namespace dslite {
namespace {

std::vector<uint32_t> permutation(uint64_t size, const RandomStream& random) {
  std::vector<uint32_t> order(size);
  std::iota(order.begin(), order.end(), 0u);
  for (uint64_t i = size; i > 1; --i) std::swap(order[i - 1], order[random.below(i, i)]);
  return order;
}

// A token file in the mixture. Weight w gives round(w * R) rows an epoch: floor(w) times every row, and for the rest a
// window that moves on through a fixed permutation, so that over the epochs every row comes equally often.
struct Source {
  std::unique_ptr<TokenStore> store;
  Packing packing;
  double weight = 1;
  std::vector<uint32_t> order;  // [R] of the rest
  int64_t whole_rows = 0, rest_rows = 0;

  int64_t rows_per_epoch() const { return whole_rows + rest_rows; }
  int64_t row(int64_t epoch, int64_t index) const {
    const int64_t num_rows = packing.num_rows();
    if (index < whole_rows) return index % num_rows;
    const auto start = static_cast<int64_t>(static_cast<__int128>(epoch) * rest_rows % num_rows);
    return order[(start + index - whole_rows) % num_rows];
  }
};

Source open_source(const DataSource& config, int64_t sequence_tokens, uint64_t seed) {
  if (!std::isfinite(config.weight) || config.weight <= 0 || config.weight > 1e6) {
    fail_input("{}: weight: found {}, expected a number above 0 and at most 1e6", config.path, config.weight);
  }
  Source source;
  source.weight = config.weight;
  source.store = std::make_unique<TokenStore>(config.path);
  if (!source.store->info().checked.value("passed", false)) {
    fail_input("{}: the file has no verdict of its checks (attribute \"checked\"); run `dslite prepare` again",
               config.path);
  }
  source.packing = pack_documents(source.store->document_offsets(), sequence_tokens, seed);
  const int64_t num_rows = source.packing.num_rows();
  if (num_rows == 0) fail_input("{}: no document has a token to learn", config.path);
  const double wanted = std::max(1.0, std::round(config.weight * static_cast<double>(num_rows)));
  if (num_rows >= INT32_MAX || wanted >= INT32_MAX)
    fail_input("{}: weight {} of {} rows: more than 2^31 rows an epoch", config.path, config.weight, num_rows);
  const auto rows = static_cast<int64_t>(wanted);
  source.whole_rows = rows / num_rows * num_rows;
  source.rest_rows = rows % num_rows;
  return source;
}

std::vector<Source> open_sources(const std::vector<DataSource>& configs, int64_t sequence_tokens, uint64_t seed) {
  if (configs.empty()) fail_input("no data: expected at least one token file");
  std::vector<Source> sources;
  for (const DataSource& config : configs) {
    sources.push_back(open_source(config, sequence_tokens, seed));
    Source& source = sources.back();
    source.order = permutation(static_cast<uint64_t>(source.packing.num_rows()),
                               RandomStream(seed, RandomPurpose::kPacking, 1, sources.size()));
    const TokenFileInfo &first = sources.front().store->info(), &info = source.store->info();
    if (info.tokenizer_sha256 != first.tokenizer_sha256) {
      fail_input("{}: made with another tokenizer (sha256 {}) than {} ({})", config.path, info.tokenizer_sha256,
                 configs.front().path, first.tokenizer_sha256);
    }
    if (info.vocab_size != first.vocab_size)
      fail_input("{}: vocab_size {}, but {} has {}", config.path, info.vocab_size, configs.front().path,
                 first.vocab_size);
  }
  return sources;
}

}  // namespace

struct Loader::State {
  LoaderConfig config;
  std::vector<Source> sources;
  std::vector<int64_t> source_begin;  // [S + 1] of each source's rows in the unshuffled epoch
  LoaderPosition position;
  std::map<int64_t, std::vector<uint32_t>> orders;  // by epoch: the current one and what a batch reaches into

  struct Row {
    const Source* source;
    std::span<const Segment> segments;
  };
  int64_t rows_per_epoch() const { return source_begin.back(); }
  Row row(const LoaderPosition& at) {
    auto found = orders.find(at.epoch);
    if (found == orders.end()) {
      orders.erase(orders.begin(), orders.lower_bound(at.epoch - 1));
      const RandomStream random(config.seed, RandomPurpose::kShuffle, static_cast<uint64_t>(at.epoch));
      found = orders.emplace(at.epoch, permutation(static_cast<uint64_t>(rows_per_epoch()), random)).first;
    }
    const int64_t index = found->second[at.next_sample];
    const auto after = std::upper_bound(source_begin.begin(), source_begin.end(), index);
    const auto s = static_cast<size_t>(after - source_begin.begin()) - 1;
    return {&sources[s], sources[s].packing.row(sources[s].row(at.epoch, index - source_begin[s]))};
  }
};

Loader::Loader(const LoaderConfig& config) : state_(std::make_unique<State>()) {
  if (config.rows_per_step < 1) fail_input("rows of a step: found {}, expected at least 1", config.rows_per_step);
  if (config.rows_per_micro_batch < 1)
    fail_input("rows of a micro-batch: found {}, expected at least 1", config.rows_per_micro_batch);
  state_->config = config;
  state_->sources = open_sources(config.sources, config.sequence_tokens, config.seed);
  state_->source_begin = {0};
  for (const Source& source : state_->sources)
    state_->source_begin.push_back(state_->source_begin.back() + source.rows_per_epoch());
  if (rows_per_epoch() > UINT32_MAX) fail_input("{} rows an epoch, expected at most 2^32", rows_per_epoch());
}
Loader::~Loader() = default;

int64_t Loader::rows_per_epoch() const { return state_->rows_per_epoch(); }
LoaderPosition Loader::position() const { return state_->position; }
const std::string& Loader::tokenizer_sha256() const { return state_->sources.front().store->info().tokenizer_sha256; }
int64_t Loader::vocab_size() const { return state_->sources.front().store->info().vocab_size; }
const std::string& Loader::chat_format() const { return state_->sources.front().store->info().chat_format; }

void Loader::seek(const LoaderPosition& position) {
  if (position.epoch < 0 || position.next_sample < 0 || position.next_sample >= rows_per_epoch()) {
    fail_input("data position (epoch {}, sample {}) is not in an epoch of {} rows: the data changed", position.epoch,
               position.next_sample, rows_per_epoch());
  }
  state_->orders.clear();
  state_->position = position;
}

GlobalBatch Loader::next(int rank, int num_ranks) {
  DSLITE_ASSERT(num_ranks >= 1 && rank >= 0 && rank < num_ranks);
  State& s = *state_;
  GlobalBatch global;
  int64_t rows_here = 0;
  for (int64_t i = 0; i < s.config.rows_per_step; ++i) {
    const State::Row row = s.row(s.position);
    const BatchTotals totals = row_totals(*row.source->store, row.segments);
    global.totals.num_tokens += totals.num_tokens;
    global.totals.num_trained_tokens += totals.num_trained_tokens;
    global.totals.target_weight += totals.target_weight;
    if (i % num_ranks == rank) {
      if (rows_here++ % s.config.rows_per_micro_batch == 0) global.micro_batches.emplace_back();
      append_row(*row.source->store, row.segments, 1.0f, global.micro_batches.back());
    }
    if (++s.position.next_sample == s.rows_per_epoch()) s.position = {s.position.epoch + 1, 0};
  }
  return global;
}

std::vector<Batch> validation_batches(const std::vector<DataSource>& configs, int64_t sequence_tokens,
                                      int64_t rows_per_batch) {
  if (rows_per_batch < 1) fail_input("rows of a batch: found {}, expected at least 1", rows_per_batch);
  std::vector<Batch> batches;
  int64_t rows = 0;
  for (const Source& source : open_sources(configs, sequence_tokens, 0)) {
    for (int64_t r = 0; r < source.packing.num_rows(); ++r) {
      if (rows++ % rows_per_batch == 0) batches.emplace_back();
      append_row(*source.store, source.packing.row(r), static_cast<float>(source.weight), batches.back());
    }
  }
  return batches;
}

}  // namespace dslite
