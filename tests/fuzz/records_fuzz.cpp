// Raw inputs through the path of `dslite prepare`: cut into records, parse, apply policies, check, render, tokenise.
// Two bytes of options stand in front: format and chat format; policies.
#include <algorithm>
#include <cmath>
#include <memory>

#include "src/data/document_maker.h"
#include "tests/fuzz/readers.h"
#include "tests/fuzz/tokenizers.h"

namespace dslite::fuzz {
namespace {

constexpr RawFormat kFormats[] = {
    RawFormat::kMessages,       RawFormat::kShareGpt, RawFormat::kAlpaca, RawFormat::kPromptCompletion,
    RawFormat::kQuestionAnswer, RawFormat::kEsft,     RawFormat::kText};
constexpr Overlong kOverlong[] = {Overlong::kSplit, Overlong::kDrop, Overlong::kTruncateLeft, Overlong::kTruncateRight};

// Packed bytes become thousands of equal lines: all are cut, the first made into documents.
constexpr int64_t kMostMade = 64;

PrepareOptions options_of(unsigned byte) {
  PrepareOptions options;
  options.policies.tools = byte & 1 ? ToolPolicy::kJsonText : ToolPolicy::kReject;
  options.policies.strip = byte & 2;
  if (byte & 4) options.policies.system = "Be brief.";
  options.policies.train_last_turn_only = byte & 8;
  options.overlong = kOverlong[byte >> 4 & 3];
  options.max_document_tokens = options.overlong == Overlong::kSplit ? 0 : byte & 64 ? 12 : 40;
  return options;
}

// A user's and a system's word is never trained; a trained reply ends in a trained end of turn.
void check_document(const MadeDocument& document, const DocumentMaker& maker, const PrepareOptions& options) {
  DSLITE_FUZZ_CHECK(!document.tokens.empty());
  if (options.max_document_tokens > 0)
    DSLITE_FUZZ_CHECK(static_cast<int64_t>(document.tokens.size()) <= options.max_document_tokens);
  for (const int32_t token : document.tokens) DSLITE_FUZZ_CHECK(token >= 0 && token < chat_tokenizer().vocab_size());
  if (document.turns.empty()) {
    DSLITE_FUZZ_CHECK(document.loss_weight.empty());
    DSLITE_FUZZ_CHECK(document.tokens.front() == maker.bos());
    return;
  }
  DSLITE_FUZZ_CHECK(document.loss_weight.size() == document.tokens.size());
  bool trained = false;
  int64_t end = 0;
  for (const RenderedChat::Turn& turn : document.turns) {
    DSLITE_FUZZ_CHECK(end <= turn.begin && turn.begin < turn.end &&
                      turn.end <= static_cast<int64_t>(document.tokens.size()));
    end = turn.end;
    for (int64_t i = turn.begin; i < turn.end; ++i) {
      const float weight = document.loss_weight[static_cast<size_t>(i)];
      DSLITE_FUZZ_CHECK(std::isfinite(weight) && weight >= 0 && (turn.role == Role::kAssistant || weight == 0));
      trained |= weight > 0;
    }
    if (turn.weight > 0) {
      DSLITE_FUZZ_CHECK(document.tokens[static_cast<size_t>(turn.end - 1)] == maker.eos());
      DSLITE_FUZZ_CHECK(document.loss_weight[static_cast<size_t>(turn.end - 1)] == turn.weight);
    }
  }
  DSLITE_FUZZ_CHECK(trained);
}

void read_records(const std::string& extension, std::string_view bytes, unsigned formats, unsigned policies) {
  const std::string path = scratch_file("input" + extension, bytes);
  const unsigned format = formats & 7;
  const std::optional<RawFormat> forced = format < std::size(kFormats) ? std::optional(kFormats[format]) : std::nullopt;
  const PrepareOptions options = options_of(policies);
  const std::vector<std::string> chat_formats = ChatFormat::names();
  const ChatFormat& chat = ChatFormat::named(chat_formats[(formats >> 3) % chat_formats.size()]);
  const DocumentMaker maker(chat_tokenizer(), &chat, options);
  accepts(path, [&] {
    const std::unique_ptr<Input> input = open_input(path, forced);
    int64_t line = 0, num_made = 0;
    for (RecordBatch batch; input->next(batch);) {
      DSLITE_FUZZ_CHECK(!batch.records.empty());
      for (const RawRecord& record : batch.records) {
        DSLITE_FUZZ_CHECK(record.line >= line && !record.where(path).empty());
        line = record.line;
        if (++num_made > kMostMade) continue;
        try {
          check_document(maker.make(*input, record), maker, options);
        } catch (const RejectError& error) {
          DSLITE_FUZZ_CHECK(error.what()[0] != '\0');
        }
      }
    }
    DSLITE_FUZZ_CHECK(input->bytes_done() == input->size_bytes() && input->sha256().size() == 64);
  });
}

void read_with_options(const std::string& extension, std::string_view input) {
  const unsigned formats = take_byte(input), policies = take_byte(input);
  read_records(extension, input, formats, policies);
}

}  // namespace

void json_lines(std::string_view input) { read_with_options(".jsonl", input); }
void json_array(std::string_view input) {
  const unsigned formats = take_byte(input), policies = take_byte(input);
  read_records(".json", std::string("[").append(input), formats, policies);
}
void plain_text(std::string_view input) { read_with_options(".txt", input); }
void gzip(std::string_view input) {
  const unsigned formats = take_byte(input), policies = take_byte(input);
  read_records(".jsonl.gz", std::string("\x1f\x8b").append(input), formats, policies);
}

}  // namespace dslite::fuzz
