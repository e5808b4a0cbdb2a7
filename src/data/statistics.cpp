// Counts over a token file's index and turns.
#include "src/data/statistics.h"

#include <algorithm>
#include <bit>

#include "src/data/token_text.h"
#include "src/text/utf8.h"

namespace dslite {
namespace {

std::vector<uint64_t> sorted_lengths(const TokenStore& store) {
  const auto offsets = store.document_offsets();
  std::vector<uint64_t> lengths;
  lengths.reserve(offsets.size() - 1);
  for (size_t d = 0; d + 1 < offsets.size(); ++d) lengths.push_back(offsets[d + 1] - offsets[d]);
  std::sort(lengths.begin(), lengths.end());
  return lengths;
}

}  // namespace

std::vector<LengthBin> length_histogram(const TokenStore& store) {
  std::vector<LengthBin> bins;
  const auto offsets = store.document_offsets();
  for (size_t d = 0; d + 1 < offsets.size(); ++d) {
    const uint64_t length = offsets[d + 1] - offsets[d];
    const auto bin = static_cast<size_t>(std::bit_width(length)) - 1;
    while (bins.size() <= bin) bins.push_back({uint64_t{1} << bins.size(), (uint64_t{2} << bins.size()) - 1});
    bins[bin].documents += 1;
    bins[bin].tokens += length;
  }
  bins.erase(bins.begin(), std::find_if(bins.begin(), bins.end(), [](const LengthBin& b) { return b.documents > 0; }));
  return bins;
}

LengthQuantiles length_quantiles(const TokenStore& store) {
  const std::vector<uint64_t> lengths = sorted_lengths(store);
  const auto at = [&](uint64_t percent) {
    const uint64_t rank = (lengths.size() * percent + 99) / 100;
    return lengths[rank == 0 ? 0 : rank - 1];
  };
  return {lengths.front(), at(10), at(50), at(90), at(99), lengths.back()};
}

std::vector<Fit> fits(const TokenStore& store) {
  const std::vector<uint64_t> lengths = sorted_lengths(store);
  std::vector<Fit> all;
  for (uint64_t row = 512;; row *= 2) {
    Fit fit{static_cast<int64_t>(row), 0, 0};
    // A row holds `row` inputs and with them as many labels, so a document of row + 1 tokens is whole.
    for (auto length = std::upper_bound(lengths.begin(), lengths.end(), row + 1); length != lengths.end(); ++length) {
      fit.documents_cut += 1;
      fit.tokens_behind_cut += *length - row - 1;
    }
    all.push_back(fit);
    if (fit.documents_cut == 0) return all;
  }
}

std::vector<RoleCount> count_roles(const TokenStore& store) {
  std::vector<RoleCount> counts;
  for (const Role role : {Role::kSystem, Role::kDeveloper, Role::kUser, Role::kTool, Role::kAssistant})
    counts.push_back({role});
  for (uint64_t i = 0; i < store.num_turns(); ++i) {
    const StoredTurn turn = store.turn(i);
    for (RoleCount& count : counts) {
      if (count.role != turn.role) continue;
      ++count.turns;
      count.tokens += turn.end - turn.begin;
    }
  }
  std::erase_if(counts, [](const RoleCount& count) { return count.turns == 0; });
  return counts;
}

Fertility fertility(const TokenStore& store, const Tokenizer& tokenizer) {
  constexpr uint64_t kTokens = 1000000;
  const auto offsets = store.document_offsets();
  const auto mean = static_cast<uint64_t>(store.info().num_tokens / store.info().num_documents) + 1;
  Fertility all;
  for (const uint64_t d :
       sample_documents(store.info().num_documents, static_cast<int64_t>(std::max<uint64_t>(1, kTokens / mean)))) {
    const uint64_t end = std::min(offsets[d + 1], offsets[d] + kTokens);
    std::vector<int32_t> ids;
    for (const uint32_t token : store.tokens(offsets[d], end)) {
      if (!tokenizer.is_special(static_cast<int32_t>(token))) ids.push_back(static_cast<int32_t>(token));
    }
    const std::string text = tokenizer.decode(ids);
    all.tokens += ids.size();
    all.bytes += text.size();
    bool in_word = false;
    for (size_t at = 0; at < text.size();) {
      const size_t size = code_point_at(text, at).size_bytes;
      const bool space = text[at] == ' ' || text[at] == '\n' || text[at] == '\t' || text[at] == '\r';
      all.words += !space && !in_word;
      in_word = !space;
      ++all.characters;
      at += size;
    }
    if (all.tokens >= kTokens) break;
  }
  return all;
}

int64_t num_truncated(const TokenStore& store) {
  const Json& checked = store.info().checked;
  const auto found = checked.find("truncated");
  return found != checked.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

}  // namespace dslite
