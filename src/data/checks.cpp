// Checks of tokenised documents.
#include "src/data/checks.h"

#include <algorithm>

#include "src/base/error.h"

namespace dslite {
namespace {

constexpr size_t kMaxProblems = 20;
constexpr uint64_t kForgetTokens = uint64_t{1} << 20;  // are checked before their memory is given back

}  // namespace

Json CheckReport::verdict() const {
  return {{"passed", passed()},
          {"documents", num_documents},
          {"tokens", num_tokens},
          {"trained_tokens", num_trained_tokens},
          {"bos", num_bos},
          {"without_eos", num_without_eos},
          {"assistant_turns", num_assistant_turns},
          {"trained_turns", num_trained_turns},
          {"truncated", num_truncated},
          {"duplicates", num_duplicates},
          {"problems", problems}};
}

TokenChecker::TokenChecker(const TokenFileInfo& info) : kind_(info.kind), bos_(info.bos), eos_(info.eos) {
  if (!info.chat_format.empty()) traits_ = ChatFormat::named(info.chat_format).traits();
}

void TokenChecker::problem(const std::string& what) {
  if (++report_.num_problems <= static_cast<int64_t>(kMaxProblems))
    report_.problems.push_back(fmt::format("document {}: {}", report_.num_documents, what));
}

void TokenChecker::add(const TokenDocument& document) {
  hashes_.push_back(document.hash);
  report_.num_tokens += static_cast<int64_t>(document.tokens.size());
  report_.num_without_eos += !ends_in_eos(document);
  if (traits_.bos && document.tokens.front() != bos_)
    problem(fmt::format("begins with token {}, expected bos {}", document.tokens.front(), bos_));
  for (size_t i = 0; i < document.tokens.size(); ++i) {
    report_.num_bos += document.tokens[i] == bos_;
    if ((i > 0 || !traits_.bos) && document.tokens[i] == bos_ && bos_ != eos_)
      problem(
          fmt::format("bos at token {}, expected {}", i, traits_.bos ? "only in front" : "none in this chat format"));
  }
  const int64_t trained_before = report_.num_trained_tokens;
  if (kind_ == TokenFileKind::kSft) {
    check_conversation(document);
  } else {
    check_text(document);
  }
  if (report_.num_trained_tokens == trained_before) problem("no trained token");
  ++report_.num_documents;
}

bool TokenChecker::ends_in_eos(const TokenDocument& document) const {
  if (kind_ == TokenFileKind::kPretrain || document.turns.empty()) return document.tokens.back() == eos_;
  const RenderedChat::Turn& last = document.turns.back();  // what follows it belongs to no turn
  return last.role == Role::kAssistant && last.end > 0 && last.end <= static_cast<int64_t>(document.tokens.size()) &&
         document.tokens[static_cast<size_t>(last.end - 1)] == eos_;
}

void TokenChecker::check_text(const TokenDocument& document) {
  report_.num_trained_tokens += static_cast<int64_t>(document.tokens.size()) - 1;
  for (size_t i = 1; i + 1 < document.tokens.size(); ++i) {
    if (document.tokens[i] == eos_) problem(fmt::format("eos at token {}, before the end", i));
  }
}

void TokenChecker::check_conversation(const TokenDocument& document) {
  int64_t in_turns = 0, trained = 0;
  if (document.loss_weight[0] != 0) problem("token 0 is trained");
  for (size_t i = 1; i < document.tokens.size(); ++i) trained += document.loss_weight[i] > 0;
  int64_t num_eos = std::count(document.tokens.begin() + 1, document.tokens.end(), eos_);
  int64_t previous_end = 0;
  for (const RenderedChat::Turn& turn : document.turns) {
    if (turn.begin < previous_end || turn.end < turn.begin || turn.end > static_cast<int64_t>(document.tokens.size())) {
      problem(fmt::format("turn from token {} to {} is outside the document or overlaps the one before", turn.begin,
                          turn.end));
      return;
    }
    previous_end = turn.end;
    const bool ends = turn.end > turn.begin && document.tokens[turn.end - 1] == eos_;
    if (traits_.all_turns_end && !ends) problem(fmt::format("the turn that ends at token {} has no eos", turn.end));
    num_eos -= ends && (turn.role == Role::kAssistant || traits_.all_turns_end);
    if (turn.role != Role::kAssistant) continue;
    check_turn(document, turn);
    for (int64_t i = turn.begin; i < turn.end; ++i) in_turns += document.loss_weight[i] > 0;
  }
  if (in_turns != trained)
    problem(fmt::format("{} trained tokens, but {} of them in an assistant's turns", trained, in_turns));
  if (num_eos != 0 && bos_ != eos_)
    problem(
        fmt::format("{} eos outside the ends of {} turns", num_eos, traits_.all_turns_end ? "the" : "an assistant's"));
  report_.num_trained_tokens += trained;
}

void TokenChecker::check_turn(const TokenDocument& document, const RenderedChat::Turn& turn) {
  ++report_.num_assistant_turns;
  if (turn.begin == turn.end) return problem(fmt::format("the assistant's turn at token {} is empty", turn.begin));
  report_.num_trained_turns += turn.weight > 0;
  if (document.tokens[turn.end - 1] != eos_)
    problem(fmt::format("the assistant's turn that ends at token {} has no eos", turn.end));
  if (document.loss_weight[turn.end - 1] != turn.weight) {
    problem(fmt::format("the end of the assistant's turn at token {} has the weight {}, expected {}", turn.end - 1,
                        document.loss_weight[turn.end - 1], turn.weight));
  }
  for (int64_t i = turn.begin; i < turn.end; ++i) {
    const float weight = document.loss_weight[i];
    if (weight > turn.weight)
      problem(fmt::format("token {} has the weight {}, its turn at most {}", i, weight, turn.weight));
  }
}

CheckReport TokenChecker::report() {
  std::sort(hashes_.begin(), hashes_.end());
  report_.num_duplicates = 0;
  for (size_t i = 1; i < hashes_.size(); ++i) report_.num_duplicates += hashes_[i] == hashes_[i - 1];
  return report_;
}

StoredDocument DocumentReader::read(uint64_t index) {
  const auto offsets = store_.document_offsets();
  DSLITE_ASSERT(index + 1 < offsets.size());
  StoredDocument document;
  const auto tokens = store_.tokens(offsets[index], offsets[index + 1]);
  document.tokens.assign(tokens.begin(), tokens.end());
  if (store_.info().kind != TokenFileKind::kSft) return document;
  const auto weights = store_.loss_weight(offsets[index], offsets[index + 1]);
  document.loss_weight.assign(weights.begin(), weights.end());
  for (; next_turn_ < store_.num_turns(); ++next_turn_) {
    const StoredTurn turn = store_.turn(next_turn_);
    if (turn.document > index) break;
    if (turn.document == index)
      document.turns.push_back(
          {static_cast<int64_t>(turn.begin), static_cast<int64_t>(turn.end), turn.role, turn.weight});
  }
  return document;
}

CheckReport check_token_file(const TokenStore& store) {
  TokenChecker checker(store.info());
  DocumentReader reader(store);
  for (uint64_t d = 0, next = kForgetTokens; d < static_cast<uint64_t>(store.info().num_documents); ++d) {
    if (store.document_offsets()[d] >= next) {
      store.forget_pages();
      next = store.document_offsets()[d] + kForgetTokens;
    }
    const StoredDocument document = reader.read(d);
    checker.add({.hash = store.document_hash()[d],
                 .tokens = document.tokens,
                 .loss_weight = document.loss_weight,
                 .turns = document.turns});
  }
  return checker.report();
}

}  // namespace dslite
