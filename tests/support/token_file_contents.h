// All that a reader can get out of a token file, as one value; throws UserError like the reader.
#pragma once
#include <fmt/format.h>

#include <string>

#include "src/base/json.h"
#include "src/data/token_store.h"

namespace dslite {

inline std::string token_file_contents(const std::string& path) {
  const TokenStore store(path);
  store.verify();
  std::string all = canonical_json(store.describe());
  const auto add = [&](auto span) { all.append(reinterpret_cast<const char*>(span.data()), span.size_bytes()); };
  const auto num_tokens = static_cast<uint64_t>(store.info().num_tokens);
  add(store.document_offsets());
  add(store.document_source());
  add(store.document_hash());
  add(store.tokens(0, num_tokens));
  if (store.info().kind == TokenFileKind::kSft) add(store.loss_weight(0, num_tokens));
  for (uint64_t i = 0; i < store.num_turns(); ++i) {
    const StoredTurn turn = store.turn(i);
    all +=
        fmt::format("{} {} {} {} {};", turn.document, turn.begin, turn.end, static_cast<int>(turn.role), turn.weight);
  }
  return all;
}

}  // namespace dslite
