// Encoding and decoding: added tokens first, then pre-tokenizer, then BPE; the steps of the `tokenizers` package.
#include "src/text/tokenizer.h"

#include <atomic>
#include <exception>
#include <filesystem>
#include <mutex>
#include <optional>

#include "src/base/error.h"
#include "src/base/parallel_for.h"
#include "src/text/tokenizer_parts.h"
#include "src/text/utf8.h"

namespace dslite {

namespace {

// What one encoding writes to besides its ids.
struct Scratch {
  Pattern::Scratch pattern;
  PieceCache pieces;
  std::string normalized;
};

// Scratches that no thread uses right now, so that a cache outlives its call.
class ScratchPool {
 public:
  // One for as long as it lives.
  class Lease {
   public:
    explicit Lease(ScratchPool& pool) : pool_(pool), scratch_(pool.take()) {}
    ~Lease() { pool_.give_back(std::move(scratch_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Scratch& operator*() const { return *scratch_; }

   private:
    ScratchPool& pool_;
    std::unique_ptr<Scratch> scratch_;
  };

 private:
  std::unique_ptr<Scratch> take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<Scratch>();
    auto scratch = std::move(free_.back());
    free_.pop_back();
    return scratch;
  }
  void give_back(std::unique_ptr<Scratch> scratch) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(scratch));
  }
  std::mutex mutex_;
  std::vector<std::unique_ptr<Scratch>> free_;
};

// Of a parallel task. Small, so that the threads end together; a part of one text has a buffer of its own, which is
// worth its allocation from this size on.
constexpr size_t kBatchTaskBytes = size_t{1} << 15, kPartTaskBytes = size_t{1} << 17;

// Runs body(task, scratch) on all threads, each with a scratch of its own, so that a core's caches keep it; the error
// of the first task that failed goes on.
template <class Body>
void for_each_task(size_t num_tasks, ScratchPool& pool, Body&& body) {
  std::vector<std::exception_ptr> failures(num_tasks);
  std::vector<std::optional<ScratchPool::Lease>> leases(static_cast<size_t>(num_threads()));
  parallel_for(static_cast<int64_t>(num_tasks), [&](int64_t task, int thread) {
    try {
      auto& lease = leases[static_cast<size_t>(thread)];
      if (!lease) lease.emplace(pool);
      body(static_cast<size_t>(task), **lease);
    } catch (...) {
      failures[static_cast<size_t>(task)] = std::current_exception();
    }
  });
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

}  // namespace

struct Tokenizer::State {
  TokenizerParts parts;
  mutable ScratchPool scratches;
  // Appends the ids of a well-formed text.
  void encode(std::string_view text, bool parse_special, Scratch& scratch, std::vector<int32_t>& ids) const;
};

std::shared_ptr<const Tokenizer> Tokenizer::load(const std::string& folder) {
  const std::string path = folder + "/tokenizer.json", config_path = folder + "/tokenizer_config.json";
  if (!std::filesystem::exists(path)) fail_input("{}: no such file: a tokenizer folder holds tokenizer.json", path);
  const Json config = std::filesystem::exists(config_path) ? read_json_file(config_path) : Json::object();
  return std::make_shared<const Tokenizer>(read_json_file(path), config, folder);
}

Tokenizer::Tokenizer(const Json& tokenizer_json, const Json& tokenizer_config, const std::string& where)
    : state_(new State{read_tokenizer_parts(tokenizer_json, tokenizer_config, where), {}}) {}
Tokenizer::~Tokenizer() = default;

void Tokenizer::add_bos(std::vector<int32_t>& ids) const {
  if (!state_->parts.bos) fail_input("the tokenizer names no bos token, so none can be added");
  ids.push_back(*state_->parts.bos);
}

void Tokenizer::State::encode(std::string_view text, bool parse_special, Scratch& scratch,
                              std::vector<int32_t>& ids) const {
  const auto add_id = [&](int32_t id) { ids.push_back(id); };
  const auto encode_piece = [&](std::string_view piece) { parts.bpe.encode(piece, scratch.pieces, ids); };
  const auto encode_plain = [&](std::string_view plain) {
    parts.pre_tokenizer.split(plain, scratch.pattern, encode_piece);
  };
  parts.raw_added.split(text, parse_special, add_id, [&](std::string_view rest) {
    parts.normalized_added.split(parts.normalizer.apply(rest, scratch.normalized), parse_special, add_id, encode_plain);
  });
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  check_utf8(text, "text");
  std::vector<int32_t> ids;
  if (options.add_special) add_bos(ids);
  const ScratchPool::Lease scratch(state_->scratches);
  state_->encode(text, options.parse_special, *scratch, ids);
  return ids;
}

std::vector<std::vector<int32_t>> Tokenizer::encode_batch(std::span<const std::string_view> texts,
                                                          const EncodeOptions& options) const {
  // Short texts are taken together, so that a task is worth its start.
  std::vector<size_t> begins = {0};
  size_t bytes = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (bytes >= kBatchTaskBytes) {
      begins.push_back(i);
      bytes = 0;
    }
    bytes += texts[i].size();
  }
  begins.push_back(texts.size());
  std::vector<std::vector<int32_t>> ids(texts.size());
  for_each_task(begins.size() - 1, state_->scratches, [&](size_t task, Scratch& scratch) {
    std::vector<int32_t> buffer;  // grows once; each text gets just what it needs
    for (size_t i = begins[task]; i < begins[task + 1]; ++i) {
      buffer.clear();
      check_utf8(texts[i], "text");
      if (options.add_special) add_bos(buffer);
      state_->encode(texts[i], options.parse_special, scratch, buffer);
      ids[i].assign(buffer.begin(), buffer.end());
    }
  });
  return ids;
}

std::vector<int32_t> Tokenizer::encode_long(std::string_view text, const EncodeOptions& options) const {
  const TokenizerParts& parts = state_->parts;
  if (!parts.pre_tokenizer.cuts_at_line_feeds() || !parts.cuts_between_added || text.size() < 2 * kPartTaskBytes)
    return encode(text, options);
  std::vector<std::string_view> lines;  // each of about kPartTaskBytes
  for (size_t begin = 0, end; begin < text.size(); begin = end) {
    const size_t line_feed = text.find('\n', std::min(text.size(), begin + kPartTaskBytes));
    end = line_feed == std::string_view::npos ? text.size() : line_feed + 1;
    lines.push_back(text.substr(begin, end - begin));
  }
  std::vector<std::vector<int32_t>> parts_ids(lines.size());
  std::atomic<bool> damaged = false;
  for_each_task(lines.size(), state_->scratches, [&](size_t task, Scratch& scratch) {
    if (find_invalid_utf8(lines[task]) != std::string_view::npos) {
      damaged = true;
      return;
    }
    parts_ids[task].reserve(lines[task].size() / 3);
    state_->encode(lines[task], options.parse_special, scratch, parts_ids[task]);
  });
  if (damaged) check_utf8(text, "text");  // with the place in the whole
  size_t num_ids = 1;
  for (const std::vector<int32_t>& part : parts_ids) num_ids += part.size();
  std::vector<int32_t> ids;
  ids.reserve(num_ids);
  if (options.add_special) add_bos(ids);
  for (const std::vector<int32_t>& part : parts_ids) ids.insert(ids.end(), part.begin(), part.end());
  return ids;
}

size_t Tokenizer::encode_settled(std::string_view text, const EncodeOptions& options, std::vector<int32_t>& ids) const {
  const TokenizerParts& parts = state_->parts;
  if (!parts.normalizer.empty() || !parts.raw_added.can_settle() || !parts.normalized_added.can_settle()) return 0;
  text = text.substr(0, std::min(parts.raw_added.settled_bytes(text), parts.normalized_added.settled_bytes(text)));
  size_t settled = text.size();
  const ScratchPool::Lease lease(state_->scratches);
  Scratch& scratch = *lease;
  const auto add_id = [&](int32_t id) { ids.push_back(id); };
  const auto encode_piece = [&](std::string_view piece) { parts.bpe.encode(piece, scratch.pieces, ids); };
  const auto encode_plain = [&](std::string_view plain) {
    if (plain.data() + plain.size() != text.data() + text.size())
      return parts.pre_tokenizer.split(plain, scratch.pattern, encode_piece);
    settled -= plain.size() - parts.pre_tokenizer.split_settled(plain, scratch.pattern, encode_piece);
  };
  parts.raw_added.split(text, options.parse_special, add_id, [&](std::string_view rest) {
    parts.normalized_added.split(rest, options.parse_special, add_id, encode_plain);
  });
  return settled;
}

std::string Tokenizer::token_bytes(int32_t id) const {
  const TokenBytes& tokens = state_->parts.tokens;
  if (!tokens.contains(id)) fail_input("token id {} is not in the vocabulary of {} tokens", id, vocab_size());
  return tokens[id];
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  const TokenBytes& tokens = state_->parts.tokens;
  std::vector<int32_t> kept;
  for (const int32_t id : ids) {
    if (!tokens.contains(id)) token_bytes(id);  // refuses it
    if (skip_special && !is_special(id)) kept.push_back(id);
  }
  std::string bytes = tokens.joined(skip_special ? kept : ids);
  return find_invalid_utf8(bytes) == std::string::npos ? bytes : repaired_utf8(bytes);
}

int64_t Tokenizer::vocab_size() const { return state_->parts.tokens.size(); }
std::optional<int32_t> Tokenizer::bos_id() const { return state_->parts.bos; }
std::optional<int32_t> Tokenizer::eos_id() const { return state_->parts.eos; }
const std::string& Tokenizer::sha256() const { return state_->parts.sha256; }

std::optional<int32_t> Tokenizer::special_id(std::string_view text) const {
  const auto found = state_->parts.special_ids.find(std::string(text));
  return found == state_->parts.special_ids.end() ? std::nullopt : std::optional(found->second);
}

bool Tokenizer::is_special(int32_t id) const { return id >= 0 && id < vocab_size() && state_->parts.special[id]; }

std::string StreamDecoder::push(int32_t id) {
  if (tokenizer_.is_special(id)) return {};
  pending_ += tokenizer_.token_bytes(id);
  const size_t ready = pending_.size() - unfinished_utf8_bytes(pending_);
  const std::string text = repaired_utf8(std::string_view(pending_).substr(0, ready));
  pending_.erase(0, ready);
  return text;
}

std::string StreamDecoder::finish() {
  const std::string text = repaired_utf8(pending_);
  pending_.clear();
  return text;
}

}  // namespace dslite
