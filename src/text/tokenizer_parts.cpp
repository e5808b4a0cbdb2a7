// Reads tokenizer.json and tokenizer_config.json strictly: every key is known, every component implemented.
#include "src/text/tokenizer_parts.h"

#include <algorithm>

#include "src/base/error.h"
#include "src/base/hash.h"
#include "src/text/byte_level.h"
#include "src/text/json_keys.h"
#include "src/text/vocabulary.h"

namespace dslite {
namespace {

void check_model_settings(const Json& model, const std::string& where) {
  // Old files name no type; only BPE has merges.
  if (model.contains("type") || !model.contains("merges")) expect_value(model, "type", "BPE", where);
  allow_keys(model,
             {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
              "byte_fallback", "ignore_merges", "vocab", "merges"},
             where);
  expect_default(model, "dropout", nullptr, where);
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const auto found = model.find(key);
    if (found != model.end() && *found != "") expect_value(model, key, nullptr, where);
  }
  // unk_token and fuse_unk say nothing here: every byte has a token (read_byte_ids).
  if (model.contains("byte_fallback") && json_bool(model, "byte_fallback", where)) {
    fail_input(
        "{}: key \"byte_fallback\": found true, expected false: that is a BPE of characters as in SentencePiece, "
        "only byte-level BPE is supported",
        where);
  }
}

struct Added {
  std::vector<AddedToken> raw, normalized;
};

Added read_added_tokens(const Json& root, const Normalizer& normalizer, Vocabulary& tokens, const std::string& where) {
  Added added;
  std::map<std::string, int32_t> seen;
  std::string buffer;
  const Json& list = json_array(root, "added_tokens", where);
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string here = fmt::format("{}: added_tokens[{}]", where, i);
    allow_keys(list[i], {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"}, here);
    expect_default(list[i], "single_word", false, here);
    const std::string text = json_string(list[i], "content", here);
    const int32_t id = checked_id(json_member(list[i], "id", here), here, "id");
    if (!seen.emplace(text, id).second) fail_input("{}: {} is there twice", here, shown(text));
    const auto known = tokens.ids.find(text);
    if (known == tokens.ids.end()) {
      tokens.add(text, id, here);
    } else if (known->second != id) {
      fail_input("{}: key \"id\": found {}, but {} has id {} in the vocabulary", here, id, shown(text), known->second);
    }
    AddedToken token{.text = text,
                     .id = id,
                     .special = json_bool(list[i], "special", here),
                     .lstrip = list[i].contains("lstrip") && json_bool(list[i], "lstrip", here),
                     .rstrip = list[i].contains("rstrip") && json_bool(list[i], "rstrip", here)};
    if (!json_bool(list[i], "normalized", here)) {
      added.raw.push_back(std::move(token));
      continue;
    }
    token.text = normalizer.apply(text, buffer);
    added.normalized.push_back(std::move(token));
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
  expect_value(json_member(root, "decoder", where), "type", "ByteLevel", where + ": decoder");
  // It adds special tokens around a text, which encode() does by itself where it is asked to.
  if (const auto post = root.find("post_processor"); post != root.end() && !post->is_null()) {
    const std::string type = json_string(*post, "type", where + ": post_processor");
    const auto known = {"ByteLevel", "TemplateProcessing", "RobertaProcessing", "Sequence"};
    if (std::find(known.begin(), known.end(), type) == known.end()) {
      fail_input(
          "{}: post_processor: key \"type\": found {}, expected ByteLevel, TemplateProcessing, "
          "RobertaProcessing or Sequence",
          where, shown(type));
    }
  }
}

// bos_token and eos_token are a text or an object with the text as "content".
std::optional<int32_t> configured_id(const Json& config, const char* key, const Vocabulary& tokens,
                                     const std::string& where) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return std::nullopt;
  const std::string here = fmt::format("{}: key \"{}\"", where, key);
  if (found->is_object()) return tokens.id_of(json_string(*found, "content", here), here);
  return tokens.id_of(json_string(config, key, where), here);
}

std::vector<std::string> bytes_of(const std::vector<std::string>& tokens) {
  std::vector<std::string> bytes;
  bytes.reserve(tokens.size());
  for (const std::string& token : tokens) bytes.push_back(from_byte_level(token));
  return bytes;
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
  Vocabulary tokens = read_vocabulary(model, model_where);
  const bool ignore_merges = model.contains("ignore_merges") && json_bool(model, "ignore_merges", model_where);
  const std::array<int32_t, 256> byte_ids = read_byte_ids(tokens, model_where);
  Bpe bpe(bytes_of(tokens.text), byte_ids, read_merges(model, tokens, model_where), ignore_merges);
  Normalizer normalizer(root.contains("normalizer") ? root["normalizer"] : Json(), where + ": normalizer");
  Added added = read_added_tokens(root, normalizer, tokens, where);
  if (!config.is_object()) fail_input("{}: found {}, expected an object", config_where, config.type_name());
  const auto bos = configured_id(config, "bos_token", tokens, config_where),
             eos = configured_id(config, "eos_token", tokens, config_where);

  bool cuts_between_added = normalizer.empty();
  std::vector<bool> special(tokens.text.size());
  std::map<std::string, int32_t> special_ids;
  for (const std::vector<AddedToken>* list : {&added.raw, &added.normalized}) {
    for (const AddedToken& token : *list) {
      cuts_between_added =
          cuts_between_added && !token.lstrip && !token.rstrip && token.text.find('\n') == std::string::npos;
      if (!token.special) continue;
      special[token.id] = true;
      special_ids.emplace(token.text, token.id);
    }
  }
  return {.normalizer = std::move(normalizer),
          .pre_tokenizer = PreTokenizer(json_member(root, "pre_tokenizer", where), where + ": pre_tokenizer"),
          .bpe = std::move(bpe),
          .tokens = TokenBytes(bytes_of(tokens.text)),
          .raw_added = AddedTokens(std::move(added.raw)),
          .normalized_added = AddedTokens(std::move(added.normalized)),
          .cuts_between_added = cuts_between_added,
          .special = std::move(special),
          .special_ids = std::move(special_ids),
          .bos = bos,
          .eos = eos,
          .sha256 = identity_of(root)};
}

}  // namespace dslite
