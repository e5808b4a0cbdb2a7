// The tokenizer of tests/golden, with what chat formats need, and with other steps.
#include "tests/fuzz/tokenizers.h"

#include "tests/fuzz/readers.h"

namespace dslite::fuzz {
namespace {

constexpr const char* kFolder = "tests/golden/text/small_tokenizer/";

Json golden_json(const char* name) { return parse_json(repository_file(std::string(kFolder) + name), name); }

Json chat_tokenizer_json() {
  Json json = golden_json("tokenizer.json");
  Json& added = json["added_tokens"];
  added.erase(0);  // "\u00fc" in place of a byte: the package decodes it as that byte, so it does not come back
  int64_t id = added.back()["id"].get<int64_t>();
  for (const char* text : {"<｜User｜>", "<｜Assistant｜>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>",
                           "<|end_header_id|>", "<|eot_id|>"}) {
    Json token = added.back();
    token["id"] = ++id;
    token["content"] = text;
    token["special"] = true;
    added.push_back(std::move(token));
  }
  return json;
}

}  // namespace

const Tokenizer& chat_tokenizer() {
  static const Tokenizer tokenizer(chat_tokenizer_json(), golden_json("tokenizer_config.json"), "chat");
  return tokenizer;
}

const Tokenizer& steps_tokenizer() {
  static const Tokenizer tokenizer = [] {
    Json json = chat_tokenizer_json();
    json["normalizer"] = {{"type", "NFC"}};
    json["pre_tokenizer"] = {
        {"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
    json["added_tokens"].back()["lstrip"] = json["added_tokens"].back()["rstrip"] = true;
    return Tokenizer(json, golden_json("tokenizer_config.json"), "steps");
  }();
  return tokenizer;
}

}  // namespace dslite::fuzz
