// Reads the documents of a probe.
#include <cmath>

#include "src/base/error.h"
#include "src/base/json.h"
#include "src/train/probe.h"

namespace dslite {
namespace {

// The list of lists under `key`.
const Json& lists_of(const Json& root, const std::string& key, const std::string& path) {
  const Json& lists = json_member(root, key, path);
  if (!lists.is_array()) fail_input("{}: key \"{}\": found {}, expected a list of lists", path, key, lists.type_name());
  for (size_t d = 0; d < lists.size(); ++d) {
    if (!lists[d].is_array()) fail_input("{}: {}[{}]: found {}, expected a list", path, key, d, lists[d].type_name());
  }
  return lists;
}

int32_t read_id(const Json& value, int64_t vocab_size, const std::string& where) {
  if (!value.is_number_integer()) fail_input("{}: found {}, expected an integer", where, shown(value.dump()));
  const bool huge = value.is_number_unsigned() && value.get<uint64_t>() > INT32_MAX;
  if (huge || value.get<int64_t>() < 0 || value.get<int64_t>() >= vocab_size)
    fail_input("{}: found {}, expected an id in 0..{}", where, value.dump(), vocab_size - 1);
  return value.get<int32_t>();
}

float read_weight(const Json& value, const std::string& where) {
  if (!value.is_number()) fail_input("{}: found {}, expected a number", where, shown(value.dump()));
  const auto weight = value.get<float>();
  if (!std::isfinite(weight) || weight < 0)
    fail_input("{}: found {}, expected a finite weight >= 0", where, value.dump());
  return weight;
}

void read_weights(const Json& lists, const std::string& path, ProbeInput& input) {
  if (lists.size() != input.documents.size())
    fail_input("{}: loss_weight: found {} lists, expected {}, one a document", path, lists.size(),
               input.documents.size());
  for (size_t d = 0; d < lists.size(); ++d) {
    ProbeInput::Document& document = input.documents[d];
    if (lists[d].size() != document.ids.size())
      fail_input("{}: loss_weight[{}]: found {} weights, expected {}, one a token", path, d, lists[d].size(),
                 document.ids.size());
    for (size_t t = 0; t < document.ids.size(); ++t)
      document.loss_weight[t] = read_weight(lists[d][t], fmt::format("{}: loss_weight[{}][{}]", path, d, t));
  }
}

}  // namespace

ProbeInput read_probe_input(const std::string& path, int64_t vocab_size) {
  const Json root = read_json_file(path);
  ProbeInput input;
  const Json& lists = lists_of(root, "documents", path);
  if (lists.empty()) fail_input("{}: documents: found an empty list, expected at least one document", path);
  for (size_t d = 0; d < lists.size(); ++d) {
    if (lists[d].empty()) fail_input("{}: documents[{}]: found an empty document, expected at least one id", path, d);
    ProbeInput::Document document;
    for (size_t t = 0; t < lists[d].size(); ++t)
      document.ids.push_back(read_id(lists[d][t], vocab_size, fmt::format("{}: documents[{}][{}]", path, d, t)));
    document.loss_weight.assign(document.ids.size(), 1.0f);
    input.documents.push_back(std::move(document));
  }
  for (const auto& [key, value] : root.items()) {
    if (key == "loss_weight") {
      read_weights(lists_of(root, key, path), path, input);
    } else if (key != "documents") {
      fail_input("{}: unknown key {}{}; expected documents, loss_weight", path, shown(key),
                 suggestion(key, {"documents", "loss_weight"}));
    }
  }
  return input;
}

}  // namespace dslite
