// What `dslite verify` and `dslite inspect` say about a token file.
#include "src/base/error.h"
#include "src/data/token_layout.h"

namespace dslite {
namespace {

constexpr uint64_t kStep = kCheckBlockElements;  // what is looked at before its memory is given back

uint64_t count_trained(const TokenStore& store, const BytesDone& report) {
  const auto offsets = store.document_offsets();
  const bool sft = store.info().kind == TokenFileKind::kSft;
  uint64_t trained = 0;
  uint64_t next = kStep;
  for (size_t d = 0; d + 1 < offsets.size(); ++d) {
    if (offsets[d] >= next) {
      store.forget_pages();
      if (sft && report) report((offsets[d] + kStep - next) * sizeof(float));
      next = offsets[d] + kStep;
    }
    if (!sft) {
      trained += offsets[d + 1] - offsets[d] - 1;
      continue;
    }
    for (const float weight : store.loss_weight(offsets[d] + 1, offsets[d + 1])) trained += weight > 0;
  }
  if (sft && report) report((offsets.back() + kStep - next) * sizeof(float));
  return trained;
}

void verify_turns(const TokenStore& store) {
  const auto offsets = store.document_offsets();
  StoredTurn previous{0, 0, 0, Role::kSystem, 0};
  for (uint64_t i = 0; i < store.num_turns(); ++i) {
    if (i % kStep == 0) store.forget_pages();
    const StoredTurn turn = store.turn(i);
    const bool known_role = static_cast<uint8_t>(turn.role) <= static_cast<uint8_t>(Role::kDeveloper);
    const bool in_document = turn.document + 1 < offsets.size() && turn.begin <= turn.end &&
                             turn.end <= offsets[turn.document + 1] - offsets[turn.document];
    const bool in_order =
        turn.document > previous.document || (turn.document == previous.document && turn.begin >= previous.end);
    if (!known_role || !in_document || !in_order || !(turn.weight >= 0)) {
      fail_input(
          "{}: turn {} (document {}, tokens {} to {}, role {}, weight {}) is not a turn of its document after the one "
          "before",
          store.path(), i, turn.document, turn.begin, turn.end, static_cast<int>(turn.role), turn.weight);
    }
    previous = turn;
  }
}

}  // namespace

void TokenStore::verify(const BytesDone& report) const {
  const auto num_tokens = static_cast<uint64_t>(info().num_tokens);
  for (uint64_t begin = 0; begin < num_tokens; begin += kStep) {
    const auto block = tokens(begin, std::min(begin + kStep, num_tokens));
    forget_pages();
    if (report) report(block.size_bytes());
  }
  document_hash();
  if (const uint64_t trained = count_trained(*this, report);
      trained != static_cast<uint64_t>(info().num_trained_tokens)) {
    fail_input("{}: num_trained_tokens is {}, expected {}", path(), info().num_trained_tokens, trained);
  }
  verify_turns(*this);
}

Json TokenStore::describe() const {
  Json sources_json = Json::array();
  for (const TokenSource& source : sources()) {
    sources_json.push_back({{"name", source.name},
                            {"sha256", source.sha256},
                            {"bytes", source.bytes},
                            {"documents", source.num_documents},
                            {"tokens", source.num_tokens}});
  }
  Json description = attributes_of(info());
  description["dropped"] = info().dropped;
  description["checked"] = info().checked;
  description["turns"] = num_turns();
  description["sources"] = sources_json;
  return description;
}

std::vector<std::string> verify_token_file(const std::string& path) {
  try {
    const TokenStore store(path);
    store.verify();
  } catch (const Error& error) {
    return {error.what()};
  }
  return {};
}

Json describe_token_file(const std::string& path) { return TokenStore(path).describe(); }

}  // namespace dslite
