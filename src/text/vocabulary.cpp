// Reads them strictly: every id, every merge is checked.
#include "src/text/vocabulary.h"

#include "src/base/error.h"
#include "src/text/byte_level.h"
#include "src/text/json_keys.h"

namespace dslite {
namespace {

constexpr int64_t kMaxId = (1 << 24) - 1;

// "a b" or ["a", "b"]
std::pair<std::string, std::string> read_merge(const Json& merge, const std::string& where) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  if (merge.is_string()) {
    const std::string& text = merge.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos)
      return {text.substr(0, space), text.substr(space + 1)};
  }
  fail_input("{}: found {}, expected \"left right\" or [\"left\", \"right\"]", where, shown(merge.dump()));
}

}  // namespace

int32_t checked_id(const Json& value, const std::string& where, std::string_view name) {
  if (!value.is_number_integer() || value.get<int64_t>() < 0 || value.get<int64_t>() > kMaxId) {
    fail_input("{}: key {}: found {}, expected an id of 0 to {}", where, shown(name), shown(value.dump()), kMaxId);
  }
  return value.get<int32_t>();
}

void Vocabulary::add(const std::string& token, int32_t id, const std::string& where) {
  if (token.empty()) fail_input("{}: found an empty token with id {}", where, id);
  if (static_cast<size_t>(id) >= text.size()) text.resize(id + 1);
  if (!text[id].empty()) fail_input("{}: id {} is given to both {} and {}", where, id, shown(text[id]), shown(token));
  text[id] = token;
  ids.emplace(token, id);
}

int32_t Vocabulary::id_of(const std::string& token, const std::string& where) const {
  const auto found = ids.find(token);
  if (found == ids.end()) fail_input("{}: the token {} is not in the vocabulary", where, shown(token));
  return found->second;
}

Vocabulary read_vocabulary(const Json& model, const std::string& where) {
  const Json& vocabulary = json_member(model, "vocab", where);
  if (!vocabulary.is_object())
    fail_input("{}: key \"vocab\": found {}, expected an object", where, vocabulary.type_name());
  const std::string here = where + ".vocab";
  Vocabulary tokens;
  for (const auto& [token, id] : vocabulary.get_ref<const Json::object_t&>()) {
    tokens.add(token, checked_id(id, here, token), here);
  }
  return tokens;
}

std::array<int32_t, 256> read_byte_ids(const Vocabulary& tokens, const std::string& where) {
  std::array<int32_t, 256> ids;
  ids.fill(-1);
  for (const uint8_t byte : utf8_bytes_in_token_order()) {
    const auto found = tokens.ids.find(to_byte_level(std::string(1, static_cast<char>(byte))));
    if (found == tokens.ids.end()) {
      fail_input("{}.vocab: no token for the byte 0x{:02X} ({}): not every text could be encoded", where, byte,
                 to_byte_level(std::string(1, static_cast<char>(byte))));
    }
    ids[byte] = found->second;
  }
  return ids;
}

MergeTable read_merges(const Json& model, const Vocabulary& tokens, const std::string& where) {
  const Json& merges = json_array(model, "merges", where);
  MergeTable table(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string here = fmt::format("{}.merges[{}]", where, rank);
    const auto [left, right] = read_merge(merges[rank], here);
    const Merge merge{static_cast<int32_t>(rank), tokens.id_of(left + right, here)};
    if (!table.insert(tokens.id_of(left, here), tokens.id_of(right, here), merge))
      fail_input("{}: {} is there twice", here, shown(left + " " + right));
  }
  return table;
}

}  // namespace dslite
