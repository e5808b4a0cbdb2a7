// Opening the files of a mixture, and where its rows come from.
#include "src/data/mixture.h"

#include <algorithm>
#include <cmath>

#include "src/base/error.h"

namespace dslite {

int64_t Mixture::Source::row(int64_t epoch, int64_t index) const {
  const int64_t num_rows = packing.num_rows();
  if (index < whole_rows) return index % num_rows;
  const auto start = static_cast<int64_t>(static_cast<__int128>(epoch) * rest_rows % num_rows);
  return static_cast<int64_t>(order(static_cast<uint64_t>((start + index - whole_rows) % num_rows)));
}

Mixture::Source Mixture::open_source(const DataSource& config, const MixtureConfig& mixture, size_t index) {
  if (!std::isfinite(config.weight) || config.weight <= 0 || config.weight > 1e6) {
    fail_input("{}: weight: found {}, expected a number above 0 and at most 1e6", config.path, config.weight);
  }
  auto store = std::make_unique<TokenStore>(config.path);
  if (!store->info().checked.value("passed", false)) {
    fail_input("{}: the file has no verdict of its checks (attribute \"checked\"); run `dslite prepare` again",
               config.path);
  }
  Packing packing = pack_documents(store->document_offsets(), mixture.packing);
  const int64_t num_rows = packing.num_rows();
  if (num_rows == 0) fail_input("{}: no document has a token to learn", config.path);
  const double wanted = std::max(1.0, std::round(config.weight * static_cast<double>(num_rows)));
  if (num_rows >= INT32_MAX || wanted >= INT32_MAX)
    fail_input("{}: weight {} of {} rows: more than 2^31 rows an epoch", config.path, config.weight, num_rows);
  const auto rows = static_cast<int64_t>(wanted);
  return {.store = std::move(store),
          .packing = std::move(packing),
          .weight = config.weight,
          .whole_rows = rows / num_rows * num_rows,
          .rest_rows = rows % num_rows,
          .order = Permutation(static_cast<uint64_t>(num_rows),
                               RandomStream(mixture.packing.seed, RandomPurpose::kPacking, 1, index))};
}

Mixture::Mixture(const MixtureConfig& config) : seed_(config.packing.seed), source_begin_{0} {
  if (config.sources.empty()) fail_input("no data: expected at least one token file");
  for (const DataSource& one : config.sources) {
    sources_.push_back(open_source(one, config, sources_.size() + 1));
    source_begin_.push_back(source_begin_.back() + sources_.back().rows_per_epoch());
    const TokenFileInfo &first = info(), &found = sources_.back().store->info();
    if (found.tokenizer_sha256 != first.tokenizer_sha256) {
      fail_input("{}: made with another tokenizer (sha256 {}) than {} ({})", one.path, found.tokenizer_sha256,
                 config.sources.front().path, first.tokenizer_sha256);
    }
    if (found.vocab_size != first.vocab_size)
      fail_input("{}: vocab_size {}, but {} has {}", one.path, found.vocab_size, config.sources.front().path,
                 first.vocab_size);
  }
}

const std::string& Mixture::tokenizer_sha256() const { return info().tokenizer_sha256; }
int64_t Mixture::vocab_size() const { return info().vocab_size; }
const std::string& Mixture::chat_format() const { return info().chat_format; }

Mixture::Epoch::Epoch(const Mixture& mixture, int64_t number)
    : mixture_(&mixture),
      number_(number),
      order_(static_cast<uint64_t>(mixture.rows_per_epoch()),
             RandomStream(mixture.seed_, RandomPurpose::kShuffle, static_cast<uint64_t>(number))) {}

Row Mixture::Epoch::row(int64_t sample) const {
  const auto index = static_cast<int64_t>(order_(static_cast<uint64_t>(sample)));
  const std::vector<int64_t>& begin = mixture_->source_begin_;
  const auto s = static_cast<size_t>(std::upper_bound(begin.begin(), begin.end(), index) - begin.begin()) - 1;
  const Source& source = mixture_->sources_[s];
  return {.store = source.store.get(),
          .segments = source.packing.row(source.row(number_, index - begin[s])),
          .isolated = source.packing.isolated};
}

std::vector<Row> Mixture::file_rows() const {
  std::vector<Row> rows;
  for (const Source& source : sources_) {
    for (int64_t r = 0; r < source.packing.num_rows(); ++r)
      rows.push_back({.store = source.store.get(),
                      .segments = source.packing.row(r),
                      .isolated = source.packing.isolated,
                      .scale = static_cast<float>(source.weight)});
  }
  return rows;
}

int64_t Mixture::cut_tokens() const {
  int64_t tokens = 0;
  for (const Source& source : sources_) {
    if (source.packing.isolated) continue;
    tokens += source.store->info().num_tokens;
    for (const Segment& segment : source.packing.segments) tokens -= segment.num_inputs;
  }
  return tokens;
}

}  // namespace dslite
