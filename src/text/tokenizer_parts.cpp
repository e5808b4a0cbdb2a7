// Reads tokenizer.json and tokenizer_config.json strictly: every key is known, every component implemented.
#include "src/text/tokenizer_parts.h"

#include <algorithm>
#include <unordered_map>

#include "src/base/error.h"
#include "src/base/hash.h"
#include "src/text/byte_level.h"
#include "src/text/json_keys.h"

namespace dslite {
namespace {

constexpr int64_t kMaxId = (1 << 24) - 1;

int32_t checked_id(const Json& value, const std::string& where, std::string_view name) {
  if (!value.is_number_integer() || value.get<int64_t>() < 0 || value.get<int64_t>() > kMaxId) {
    fail_input("{}: key {}: found {}, expected an id of 0 to {}", where, shown(name), shown(value.dump()), kMaxId);
  }
  return value.get<int32_t>();
}

using Vocabulary = std::unordered_map<std::string, int32_t>;

// tokens[id] is the token's text as written in the file; empty: no such id.
struct Tokens {
  std::vector<std::string> text;
  Vocabulary ids;

  void add(const std::string& token, int32_t id, const std::string& where) {
    if (token.empty()) fail_input("{}: found an empty token with id {}", where, id);
    if (static_cast<size_t>(id) >= text.size()) text.resize(id + 1);
    if (!text[id].empty()) fail_input("{}: id {} is given to both {} and {}", where, id, shown(text[id]), shown(token));
    text[id] = token;
    ids.emplace(token, id);
  }
  int32_t id_of(const std::string& token, const std::string& where) const {
    const auto found = ids.find(token);
    if (found == ids.end()) fail_input("{}: the token {} is not in the vocabulary", where, shown(token));
    return found->second;
  }
};

void check_model_settings(const Json& model, const std::string& where) {
  expect_value(model, "type", "BPE", where);
  allow_keys(model,
             {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
              "byte_fallback", "ignore_merges", "vocab", "merges"},
             where);
  for (const char* key : {"dropout", "unk_token"}) expect_default(model, key, nullptr, where);
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const auto found = model.find(key);
    if (found != model.end() && *found != "") expect_value(model, key, nullptr, where);
  }
  for (const char* key : {"fuse_unk", "byte_fallback", "ignore_merges"}) expect_default(model, key, false, where);
}

Tokens read_vocabulary(const Json& model, const std::string& where) {
  const Json& vocabulary = json_member(model, "vocab", where);
  if (!vocabulary.is_object())
    fail_input("{}: key \"vocab\": found {}, expected an object", where, vocabulary.type_name());
  const std::string here = where + ".vocab";
  Tokens tokens;
  for (const auto& [token, id] : vocabulary.get_ref<const Json::object_t&>()) {
    tokens.add(token, checked_id(id, here, token), here);
  }
  return tokens;
}

std::array<int32_t, 256> read_byte_ids(const Tokens& tokens, const std::string& where) {
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

MergeTable read_merges(const Json& model, const Tokens& tokens, const std::string& where) {
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

struct Added {
  std::vector<AddedToken> raw, normalized;
};

Added read_added_tokens(const Json& root, Tokens& tokens, const std::string& where) {
  Added added;
  std::map<std::string, int32_t> seen;
  const Json& list = json_array(root, "added_tokens", where);
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string here = fmt::format("{}: added_tokens[{}]", where, i);
    allow_keys(list[i], {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"}, here);
    for (const char* key : {"single_word", "lstrip", "rstrip"}) expect_default(list[i], key, false, here);
    const std::string text = json_string(list[i], "content", here);
    const int32_t id = checked_id(json_member(list[i], "id", here), here, "id");
    if (!seen.emplace(text, id).second) fail_input("{}: {} is there twice", here, shown(text));
    const auto known = tokens.ids.find(text);
    if (known == tokens.ids.end()) {
      tokens.add(text, id, here);
    } else if (known->second != id) {
      fail_input("{}: key \"id\": found {}, but {} has id {} in the vocabulary", here, id, shown(text), known->second);
    }
    (json_bool(list[i], "normalized", here) ? added.normalized : added.raw)
        .push_back({text, id, json_bool(list[i], "special", here)});
  }
  return added;
}

void check_other_components(const Json& root, const std::string& where) {
  allow_keys(root,
             {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
              "decoder", "model"},
             where);
  expect_default(root, "version", "1.0", where);
  for (const char* key : {"truncation", "padding"}) expect_default(root, key, nullptr, where);
  if (const auto normalizer = root.find("normalizer"); normalizer != root.end() && !normalizer->is_null()) {
    const std::string here = where + ": normalizer";
    expect_value(*normalizer, "type", "Sequence", here);
    expect_value(*normalizer, "normalizers", Json::array(), here);
  }
  expect_value(json_member(root, "decoder", where), "type", "ByteLevel", where + ": decoder");
  // It adds special tokens around a text, which encode() does by itself where it is asked to.
  if (const auto post = root.find("post_processor"); post != root.end() && !post->is_null()) {
    const std::string type = json_string(*post, "type", where + ": post_processor");
    const auto known = {"ByteLevel", "TemplateProcessing", "Sequence"};
    if (std::find(known.begin(), known.end(), type) == known.end()) {
      fail_input("{}: post_processor: key \"type\": found {}, expected ByteLevel, TemplateProcessing or Sequence",
                 where, shown(type));
    }
  }
}

// bos_token and eos_token are a text or an object with the text as "content".
std::optional<int32_t> configured_id(const Json& config, const char* key, const Tokens& tokens,
                                     const std::string& where) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return std::nullopt;
  const std::string here = fmt::format("{}: key \"{}\"", where, key);
  if (found->is_object()) return tokens.id_of(json_string(*found, "content", here), here);
  return tokens.id_of(json_string(config, key, where), here);
}

std::string identity_of(const Json& root) {
  Json identity = Json::object();
  for (const char* key : {"model", "added_tokens", "normalizer", "pre_tokenizer"})
    identity[key] = root.contains(key) ? root[key] : Json();
  return sha256_hex(canonical_json(identity));
}

}  // namespace

TokenizerParts read_tokenizer_parts(const Json& root, const Json& config, const std::string& folder) {
  const std::string where = folder + "/tokenizer.json", config_where = folder + "/tokenizer_config.json",
                    model_where = where + ": model";
  check_other_components(root, where);
  const Json& model = json_member(root, "model", where);
  check_model_settings(model, model_where);
  Tokens tokens = read_vocabulary(model, model_where);
  const std::array<int32_t, 256> byte_ids = read_byte_ids(tokens, model_where);
  MergeTable merges = read_merges(model, tokens, model_where);
  Added added = read_added_tokens(root, tokens, where);
  if (!config.is_object()) fail_input("{}: found {}, expected an object", config_where, config.type_name());
  const auto bos = configured_id(config, "bos_token", tokens, config_where),
             eos = configured_id(config, "eos_token", tokens, config_where);

  std::vector<bool> special(tokens.text.size());
  std::map<std::string, int32_t> special_ids;
  for (const std::vector<AddedToken>* list : {&added.raw, &added.normalized}) {
    for (const AddedToken& token : *list) {
      if (!token.special) continue;
      special[token.id] = true;
      special_ids.emplace(token.text, token.id);
    }
  }
  for (std::string& token : tokens.text) token = from_byte_level(token);
  return {.pre_tokenizer = PreTokenizer(json_member(root, "pre_tokenizer", where), where + ": pre_tokenizer"),
          .bpe = Bpe(tokens.text, byte_ids, std::move(merges)),
          .tokens = TokenBytes(std::move(tokens.text)),
          .raw_added = AddedTokens(std::move(added.raw)),
          .normalized_added = AddedTokens(std::move(added.normalized)),
          .special = std::move(special),
          .special_ids = std::move(special_ids),
          .bos = bos,
          .eos = eos,
          .sha256 = identity_of(root)};
}

}  // namespace dslite
