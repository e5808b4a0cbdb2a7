// The way from raw files to token files.
#include "src/data/prepare.h"

#include <filesystem>
#include <numeric>

#include <spdlog/spdlog.h>

#include "src/base/error.h"
#include "src/base/parallel_for.h"
#include "src/base/progress.h"
#include "src/data/document_maker.h"
#include "src/data/input_paths.h"
#include "src/data/read_ahead.h"
#include "src/data/reject_file.h"
#include "src/text/chat_template.h"

namespace dslite {
namespace {

// A token file on its way, with its checks.
struct Output {
  Output(const std::string& path, const TokenFileInfo& info) : writer(path, info), checker(info), path(path) {}
  TokenStoreWriter writer;
  TokenChecker checker;
  std::string path;
  int64_t num_truncated = 0;
};

struct Outcome {
  std::optional<MadeDocument> document;
  RejectReason reason = RejectReason::kEmpty;
  std::string message;  // of a reject
  std::exception_ptr failure;
};

class Preparation {
 public:
  Preparation(const PrepareOptions& options, const RejectReport& report);
  PrepareSummary run();

 private:
  void look_at_inputs();
  void open_outputs();
  void read_input(Input& input, Progress& progress, int64_t bytes_before);
  void process(const Input& input, const std::vector<RawRecord>& records);
  void report_reject(const Input& input, const RawRecord& record, const Outcome& outcome);
  void write_behind(std::vector<MadeDocument> documents);
  void finish_writing();
  void accept(const MadeDocument& document);
  void check_rejects() const;
  void write_outputs();
  Output& output_of(uint64_t hash);

  const PrepareOptions& options_;
  const RejectReport& report_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  const ChatFormat* chat_format_ = nullptr;  // null for text
  std::optional<DocumentMaker> maker_;
  struct Found {
    std::string path;
    RawFormat format;
    int64_t size_bytes;
  };
  std::vector<Found> inputs_;
  std::vector<std::unique_ptr<Output>> outputs_;
  std::unique_ptr<RejectFile> reject_file_;
  std::set<std::string> warned_keys_;
  PrepareSummary summary_;
  bool sft_ = false;
  std::future<void> writing_;  // of the last batch, on a thread; nothing else touches outputs_ meanwhile
};

const ChatFormat& chosen_chat_format(const PrepareOptions& options) {
  if (!options.chat_format.empty()) return ChatFormat::named(options.chat_format);
  const auto chat_template = chat_template_of_folder(options.tokenizer_folder);
  return chat_template ? ChatFormat::recognised(chat_template->text, chat_template->where)
                       : ChatFormat::named("deepseek-v2");
}

Preparation::Preparation(const PrepareOptions& options, const RejectReport& report)
    : options_(options), report_(report), tokenizer_(Tokenizer::load(options.tokenizer_folder)) {}

// Opens one after another, as there may be thousands.
void Preparation::look_at_inputs() {
  for (const std::string& path : expand_inputs(options_.inputs)) {
    const std::unique_ptr<Input> input = open_input(path, options_.format);
    inputs_.push_back({path, input->format(), input->size_bytes()});
    const bool sft = input->format() != RawFormat::kText;
    if (inputs_.size() > 1 && sft != sft_) {
      fail_input("{} is {}, {} is {}: prepare them into files of their own and mix those in the recipe",
                 inputs_.front().path, sft_ ? "conversations" : "text", path, sft ? "conversations" : "text");
    }
    sft_ = sft;
    for (const std::string& output : {options_.output, validation_path(options_.output), options_.rejects}) {
      std::error_code ignored;
      if (std::filesystem::equivalent(path, output, ignored))
        fail_input("{}: the output would replace an input", output);
    }
  }
  if (sft_) {
    chat_format_ = &chosen_chat_format(options_);
    return;
  }
  const ConversationPolicies& policies = options_.policies;
  if (policies.system || policies.train_last_turn_only || policies.tools != ToolPolicy::kReject) {
    fail_input("{} is text: --system, --train-on and --tools are for conversations", inputs_.front().path);
  }
  if (!options_.chat_format.empty()) fail_input("{} is text: --chat-format is for conversations", inputs_.front().path);
}

void Preparation::open_outputs() {
  TokenFileInfo info;
  info.kind = sft_ ? TokenFileKind::kSft : TokenFileKind::kPretrain;
  info.tokenizer_sha256 = tokenizer_->sha256();
  info.chat_format = sft_ ? chat_format_->name() : "";
  info.vocab_size = tokenizer_->vocab_size();
  info.bos = maker_->bos();
  info.eos = maker_->eos();
  if (info.eos != *tokenizer_->eos_id())
    spdlog::warn(
        "replies end in token {}, which is not the tokenizer's eos: name it in eos_token_id of the model's "
        "generation_config.json, or replies will not stop there",
        info.eos);
  outputs_.push_back(std::make_unique<Output>(options_.output, info));
  if (options_.validation_fraction > 0)
    outputs_.push_back(std::make_unique<Output>(validation_path(options_.output), info));
}

Output& Preparation::output_of(uint64_t hash) {
  const bool validation =
      outputs_.size() > 1 && static_cast<double>(hash >> 11) * 0x1p-53 < options_.validation_fraction;
  return *outputs_[validation ? 1 : 0];
}

void Preparation::accept(const MadeDocument& made) {
  Output& output = output_of(made.hash);
  const TokenDocument document{
      .hash = made.hash, .tokens = made.tokens, .loss_weight = made.loss_weight, .turns = made.turns};
  output.writer.add(document);
  output.checker.add(document);
  output.num_truncated += made.truncated;
}

void Preparation::finish_writing() {
  if (writing_.valid()) writing_.get();
}

void Preparation::write_behind(std::vector<MadeDocument> documents) {
  finish_writing();
  writing_ = std::async(std::launch::async, [this, documents = std::move(documents)] {
    for (const MadeDocument& document : documents) accept(document);
  });
}

void Preparation::report_reject(const Input& input, const RawRecord& record, const Outcome& outcome) {
  const std::string reason = reject_reason_name(outcome.reason);
  ++summary_.rejects[reason];
  report_(fmt::format("{}: {}: {}", record.where(input.path()), reason, outcome.message));
  if (reject_file_) reject_file_->add(input.path(), record, outcome.reason, outcome.message);
}

void Preparation::process(const Input& input, const std::vector<RawRecord>& records) {
  std::vector<Outcome> outcomes(records.size());
  parallel_for(static_cast<int64_t>(records.size()), [&](int64_t i) {
    Outcome& outcome = outcomes[static_cast<size_t>(i)];
    try {
      outcome.document = maker_->make(input, records[static_cast<size_t>(i)]);
    } catch (const RejectError& error) {
      outcome.reason = error.reason();
      outcome.message = error.what();
    } catch (...) {
      outcome.failure = std::current_exception();
    }
  });
  std::vector<MadeDocument> documents;
  for (size_t i = 0; i < records.size(); ++i) {
    Outcome& outcome = outcomes[i];
    ++summary_.num_records;
    if (outcome.failure) std::rethrow_exception(outcome.failure);
    if (!outcome.document) {
      report_reject(input, records[i], outcome);
      continue;
    }
    for (const std::string& key : outcome.document->unused_keys) {
      if (warned_keys_.insert(key).second)
        spdlog::warn("{}: key {} is not used", records[i].where(input.path()), shown(key));
    }
    documents.push_back(std::move(*outcome.document));
  }
  write_behind(std::move(documents));
}

void Preparation::read_input(Input& input, Progress& progress, int64_t bytes_before) {
  for (auto& output : outputs_) output->writer.begin_source(input.name());
  warned_keys_.clear();
  ReadAhead reader(input);
  while (const auto read = reader.next()) {
    process(input, read->batch.records);
    progress.update(bytes_before + read->bytes_done,
                    fmt::format("{} records, {} rejected", count_text(static_cast<double>(summary_.num_records)),
                                summary_.num_rejects()));
  }
  finish_writing();
  const std::string sha256 = input.sha256();
  for (auto& output : outputs_) output->writer.end_source(sha256, static_cast<uint64_t>(input.size_bytes()));
}

void Preparation::check_rejects() const {
  const auto rejects = summary_.num_rejects();
  if (rejects == summary_.num_records) {
    fail_input("nothing is left: {}; no file was written",
               rejects == 0 ? "the input has no records" : fmt::format("all {} records were rejected", rejects));
  }
  if (static_cast<double>(rejects) > options_.max_reject_fraction * static_cast<double>(summary_.num_records)) {
    fail_input("{} of {} records were rejected ({:.2f} %), more than --max-rejects {:g}%; no file was written", rejects,
               summary_.num_records, 100.0 * static_cast<double>(rejects) / static_cast<double>(summary_.num_records),
               100 * options_.max_reject_fraction);
  }
  for (const auto& output : outputs_) {
    if (output->writer.num_documents() == 0)
      fail_input(
          "{}: none of the documents falls into this file (they are split by hash); choose another --validation share, "
          "or prepare it from files of its own",
          output->path);
  }
}

PrepareSummary Preparation::run() {
  look_at_inputs();
  maker_.emplace(*tokenizer_, chat_format_, options_);
  open_outputs();
  if (!options_.rejects.empty()) reject_file_ = std::make_unique<RejectFile>(options_.rejects);
  int64_t total_bytes = 0, bytes_before = 0;
  for (const Found& found : inputs_) total_bytes += found.size_bytes;
  {
    Progress progress("preparing", total_bytes, "bytes");
    for (const Found& found : inputs_) {
      const std::unique_ptr<Input> input = open_input(found.path, options_.format);
      if (input->format() != found.format || input->size_bytes() != found.size_bytes)
        fail_input("{}: changed while the inputs were read", found.path);
      read_input(*input, progress, bytes_before);
      bytes_before += found.size_bytes;
    }
  }
  if (reject_file_) reject_file_->commit();
  check_rejects();
  write_outputs();
  for (const auto& output : outputs_) output->writer.commit();
  return summary_;
}

void Preparation::write_outputs() {
  int64_t total = 0, done = 0;
  for (const auto& output : outputs_) total += static_cast<int64_t>(output->writer.bytes_to_finish());
  Progress progress("writing and verifying", total, "bytes");
  const auto report = [&](uint64_t bytes) { progress.update(done += static_cast<int64_t>(bytes)); };
  const Json dropped(summary_.rejects);
  for (const auto& output : outputs_) {
    CheckReport checks = output->checker.report();
    checks.num_truncated = output->num_truncated;
    summary_.num_truncated += output->num_truncated;
    if (!checks.passed())
      fail_work("{}: {} checks failed, first: {}", output->path, checks.num_problems, checks.problems.front());
    output->writer.finish(dropped, checks.verdict(), report);
    summary_.files.push_back({output->path, output->writer.info(), checks});
  }
}

}  // namespace

int64_t PrepareSummary::num_rejects() const {
  return std::accumulate(rejects.begin(), rejects.end(), int64_t{0},
                         [](int64_t sum, const auto& reason) { return sum + reason.second; });
}

Overlong overlong_named(const std::string& name) {
  const std::vector<std::string> names = {"split", "drop", "truncate-left", "truncate-right"};
  for (size_t i = 0; i < names.size(); ++i) {
    if (name == names[i]) return static_cast<Overlong>(i);
  }
  fail_input("--overlong: found {}, expected {}{}", shown(name), fmt::join(names, ", "), suggestion(name, names));
}

std::string validation_path(const std::string& output) {
  return (output.ends_with(".h5") ? output.substr(0, output.size() - 3) : output) + ".validation.h5";
}

PrepareSummary prepare(const PrepareOptions& options, const RejectReport& report) {
  const bool limited = options.max_document_tokens != 0;
  if (limited && options.overlong == Overlong::kSplit) {
    fail_input(
        "--max-document-tokens needs --overlong drop, truncate-left or truncate-right: packing splits at the recipe's "
        "sequence_tokens");
  }
  if (!options.rejects.empty() &&
      (options.rejects == options.output || options.rejects == validation_path(options.output)))
    fail_input("--rejects {}: is the output", options.rejects);
  if (!limited && options.overlong != Overlong::kSplit) fail_input("--overlong needs --max-document-tokens");
  return Preparation(options, report).run();
}

}  // namespace dslite
