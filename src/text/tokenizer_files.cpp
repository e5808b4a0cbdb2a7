// What `tokenizer train` writes.
#include "src/text/tokenizer_files.h"

#include "src/base/files.h"
#include "src/text/byte_level.h"
#include "src/text/chat_format.h"
#include "src/text/v2_pre_tokenizer.h"

namespace dslite {
namespace {

Json special_token(const char* text, int64_t id) {
  return {{"id", id},        {"content", text},     {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

Json model_json(const TrainedBpe& bpe) {
  std::vector<std::string> names;
  for (const std::string& token : bpe.tokens) names.push_back(to_byte_level(token));
  Json::object_t vocabulary;
  for (size_t id = 0; id < names.size(); ++id) vocabulary.emplace_back(names[id], id);
  Json::array_t merges;
  for (const TrainedMerge& merge : bpe.merges) merges.push_back(names[merge.left] + " " + names[merge.right]);
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", false},
          {"vocab", std::move(vocabulary)},
          {"merges", std::move(merges)}};
}

}  // namespace

Json bos_post_processor(const std::string& bos_text, int32_t bos_id) {
  const auto special = [&](int type) { return Json{{"SpecialToken", {{"id", bos_text}, {"type_id", type}}}}; };
  const auto sequence = [](const char* name, int type) {
    return Json{{"Sequence", {{"id", name}, {"type_id", type}}}};
  };
  Json definition = {{"id", bos_text}, {"ids", Json::array({bos_id})}, {"tokens", Json::array({bos_text})}};
  return {{"type", "TemplateProcessing"},
          {"single", Json::array({special(0), sequence("A", 0)})},
          {"pair", Json::array({special(0), sequence("A", 0), special(1), sequence("B", 1)})},
          {"special_tokens", {{bos_text, std::move(definition)}}}};
}

Json tokenizer_json(const TrainedBpe& bpe) {
  const int32_t bos = static_cast<int32_t>(bpe.tokens.size());
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", Json::array({special_token(kBosText, bos), special_token(kEosText, bos + 1)})},
          {"normalizer", {{"type", "Sequence"}, {"normalizers", Json::array()}}},
          {"pre_tokenizer", deepseek_v2_pre_tokenizer()},
          {"post_processor", bos_post_processor(kBosText, bos)},
          {"decoder", {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}}},
          {"model", model_json(bpe)}};
}

Json tokenizer_config_json() {
  return {{"tokenizer_class", "PreTrainedTokenizerFast"},
          {"bos_token", kBosText},
          {"eos_token", kEosText},
          {"pad_token", kEosText},
          {"clean_up_tokenization_spaces", false},
          {"chat_template", ChatFormat::named("deepseek-v2").chat_template()}};
}

void write_tokenizer_folder(const std::string& folder, const TrainedBpe& bpe) {
  make_directories(folder);
  write_file_atomically(folder + "/tokenizer.json", tokenizer_json(bpe).dump(1) + "\n");
  write_file_atomically(folder + "/tokenizer_config.json", tokenizer_config_json().dump(2) + "\n");
  write_file_atomically(folder + "/chat_template.jinja", ChatFormat::named("deepseek-v2").chat_template());
}

}  // namespace dslite
