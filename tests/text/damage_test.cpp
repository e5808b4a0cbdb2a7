// Damaged and unsupported tokenizer files: each is a UserError that names the file and the key.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/base/error.h"
#include "src/base/files.h"
#include "tests/support/temp_folder.h"
#include "tests/text/support.h"

namespace dslite {
namespace {

using ::testing::HasSubstr;

struct Damage {
  const char* name;
  void (*apply)(Json& tokenizer, Json& config);
  const char* message;  // part of it
};

Json& step(Json& t, size_t index) { return t["pre_tokenizer"]["pretokenizers"][index]; }

const Damage kDamages[] = {
    {"root is a list", [](Json& t, Json&) { t = Json::array(); }, "tokenizer.json: found array, expected an object"},
    {"no model", [](Json& t, Json&) { t.erase("model"); }, "key \"model\" is missing"},
    {"model is text", [](Json& t, Json&) { t["model"] = "BPE"; },
     "tokenizer.json: model: found string, expected an object"},
    {"model of another type", [](Json& t, Json&) { t["model"]["type"] = "WordPiece"; },
     "model: key \"type\": found \"\\\"WordPiece\\\"\""},
    {"model without type and merges",
     [](Json& t, Json&) {
       t["model"].erase("type");
       t["model"].erase("merges");
     },
     "model: key \"type\" is missing"},
    {"no vocab", [](Json& t, Json&) { t["model"].erase("vocab"); }, "model: key \"vocab\" is missing"},
    {"vocab is a list", [](Json& t, Json&) { t["model"]["vocab"] = Json::array(); },
     "model: key \"vocab\": found array"},
    {"id is text", [](Json& t, Json&) { t["model"]["vocab"]["a"] = "64"; }, "model.vocab: key \"a\": found"},
    {"id has a fraction", [](Json& t, Json&) { t["model"]["vocab"]["a"] = 64.5; },
     "model.vocab: key \"a\": found \"64.5\""},
    {"id is negative", [](Json& t, Json&) { t["model"]["vocab"]["a"] = -1; }, "expected an id of 0 to"},
    {"id is huge", [](Json& t, Json&) { t["model"]["vocab"]["a"] = uint64_t{1} << 63; }, "expected an id of 0 to"},
    {"id given twice", [](Json& t, Json&) { t["model"]["vocab"]["a"] = 65; }, "id 65 is given to both"},
    {"empty token", [](Json& t, Json&) { t["model"]["vocab"][""] = 9000; }, "empty token with id 9000"},
    {"a byte has no token", [](Json& t, Json&) { t["model"]["vocab"].erase("\u0120"); }, "no token for the byte 0x20"},
    {"no merges", [](Json& t, Json&) { t["model"].erase("merges"); }, "model: key \"merges\" is missing"},
    {"merges is an object", [](Json& t, Json&) { t["model"]["merges"] = Json::object(); },
     "model: key \"merges\": found object"},
    {"merge of an unknown token", [](Json& t, Json&) { t["model"]["merges"][3] = "a zzzz"; },
     "model.merges[3]: the token"},
    {"merge into an unknown token", [](Json& t, Json&) { t["model"]["merges"][3] = "@ @"; },
     "model.merges[3]: the token \"@@\""},
    {"merge of one", [](Json& t, Json&) { t["model"]["merges"][3] = "a"; }, "model.merges[3]: found"},
    {"merge of three", [](Json& t, Json&) { t["model"]["merges"][3] = "a b c"; }, "model.merges[3]: found"},
    {"merge of three in a list",
     [](Json& t, Json&) {
       t["model"]["merges"][3] = {"a", "b", "c"};
     },
     "model.merges[3]: found"},
    {"merge is a number", [](Json& t, Json&) { t["model"]["merges"][3] = 7; }, "model.merges[3]: found"},
    {"merge there twice", [](Json& t, Json&) { t["model"]["merges"][3] = t["model"]["merges"][2]; },
     "model.merges[3]: "},
    {"dropout", [](Json& t, Json&) { t["model"]["dropout"] = 0.1; }, "model: key \"dropout\": found \"0.1\""},
    {"byte fallback", [](Json& t, Json&) { t["model"]["byte_fallback"] = true; },
     "model: key \"byte_fallback\": found true, expected false: that is a BPE of characters"},
    {"ignore merges", [](Json& t, Json&) { t["model"]["ignore_merges"] = 1; }, "model: key \"ignore_merges\""},
    {"subword prefix", [](Json& t, Json&) { t["model"]["continuing_subword_prefix"] = "##"; },
     "model: key \"continuing_subword_prefix\""},
    {"unknown key of the model", [](Json& t, Json&) { t["model"]["merge"] = 1; },
     "model: key \"merge\" is not supported (did you mean \"merges\"?)"},
    {"unknown key", [](Json& t, Json&) { t["pretokenizer"] = 1; },
     "key \"pretokenizer\" is not supported (did you mean \"pre_tokenizer\"?)"},
    {"another version", [](Json& t, Json&) { t["version"] = "2.0"; }, "key \"version\""},
    {"truncation",
     [](Json& t, Json&) {
       t["truncation"] = {{"max_length", 5}};
     },
     "key \"truncation\""},
    {"padding",
     [](Json& t, Json&) {
       t["padding"] = {{"strategy", "BatchLongest"}};
     },
     "key \"padding\""},
    {"normalizer",
     [](Json& t, Json&) {
       t["normalizer"] = {{"type", "Lowercase"}};
     },
     "normalizer: key \"type\""},
    {"normalizer in a sequence",
     [](Json& t, Json&) {
       t["normalizer"]["normalizers"].push_back({{"type", "NFX"}});
     },
     "normalizer.normalizers[0]: key \"type\": found \"NFX\""},
    {"no decoder", [](Json& t, Json&) { t["decoder"] = nullptr; }, "decoder: found null"},
    {"another decoder", [](Json& t, Json&) { t["decoder"]["type"] = "Metaspace"; }, "decoder: key \"type\""},
    {"another post-processor", [](Json& t, Json&) { t["post_processor"]["type"] = "BertProcessing"; },
     "post_processor: key \"type\": found \"BertProcessing\""},
    {"no pre-tokenizer", [](Json& t, Json&) { t["pre_tokenizer"] = nullptr; }, "pre_tokenizer: found null"},
    {"no steps", [](Json& t, Json&) { t["pre_tokenizer"]["pretokenizers"] = Json::array(); },
     "pre_tokenizer.pretokenizers: found nothing"},
    {"unknown step", [](Json& t, Json&) { step(t, 5)["type"] = "Metaspace"; },
     "pre_tokenizer.pretokenizers[5]: key \"type\": found \"Metaspace\""},
    {"no ByteLevel", [](Json& t, Json&) { t["pre_tokenizer"]["pretokenizers"].erase(6); },
     "pretokenizers[5]: key \"type\": found \"Digits\", expected ByteLevel as the last"},
    {"ByteLevel first", [](Json& t, Json&) { step(t, 0) = step(t, 6); },
     "pretokenizers[0]: key \"type\": found \"ByteLevel\""},
    {"prefix space is a number", [](Json& t, Json&) { step(t, 6)["add_prefix_space"] = 1; },
     "pretokenizers[6]: key \"add_prefix_space\""},
    {"digits in groups of three", [](Json& t, Json&) { step(t, 5)["individual_digits"] = 3; },
     "pretokenizers[5]: key \"individual_digits\""},
    {"unknown behavior", [](Json& t, Json&) { step(t, 1)["behavior"] = "MergedWithNxt"; },
     "pretokenizers[1]: key \"behavior\": found \"MergedWithNxt\", expected Isolated, Removed, MergedWithPrevious, "
     "MergedWithNext, Contiguous (did you mean \"MergedWithNext\"?)"},
    {"split at an empty text",
     [](Json& t, Json&) {
       step(t, 1)["pattern"] = {{"String", ""}};
     },
     "pretokenizers[1].pattern: key \"String\": found an empty text"},
    {"property in a pattern", [](Json& t, Json&) { step(t, 1)["pattern"]["Regex"] = "\\p{Greek}+"; },
     "pretokenizers[1].pattern: key \"Regex\": \"\\\\p{Greek}\""},
    {"property of one letter", [](Json& t, Json&) { step(t, 1)["pattern"]["Regex"] = "\\pL"; }, "\"\\\\p\" at byte 2"},
    {"word characters", [](Json& t, Json&) { step(t, 1)["pattern"]["Regex"] = "\\w+"; }, "\"\\\\w\""},
    {"look-behind", [](Json& t, Json&) { step(t, 1)["pattern"]["Regex"] = "(?<=a)b"; }, "\"(?<\""},
    {"atomic group", [](Json& t, Json&) { step(t, 1)["pattern"]["Regex"] = "(?>a)b"; }, "\"(?>\""},
    {"group not closed", [](Json& t, Json&) { step(t, 1)["pattern"]["Regex"] = "(a"; }, "\"the end\""},
    {"group not opened", [](Json& t, Json&) { step(t, 1)["pattern"]["Regex"] = "a)"; }, "\")\" at byte 1"},
    {"groups too deep", [](Json& t, Json&) { step(t, 1)["pattern"]["Regex"] = std::string(5000, '('); },
     "deeper nesting"},
    {"case folding to two letters", [](Json& t, Json&) { step(t, 1)["pattern"]["Regex"] = "(?i:pass)"; }, "around ss"},
    {"case folding beyond ASCII", [](Json& t, Json&) { step(t, 1)["pattern"]["Regex"] = "(?i:\u00e9)"; },
     "(?i: around"},
    {"start of a line", [](Json& t, Json&) { step(t, 1)["pattern"]["Regex"] = "^a"; }, "\"^\""},
    {"any character", [](Json& t, Json&) { step(t, 1)["pattern"]["Regex"] = "a."; }, "\".\""},
    {"repeated repeat", [](Json& t, Json&) { step(t, 1)["pattern"]["Regex"] = "a{2}{3}"; }, "\"{\""},
    {"open repeat", [](Json& t, Json&) { step(t, 1)["pattern"]["Regex"] = "a{,3}"; }, "\"{,3}\""},
    {"negated set in a class", [](Json& t, Json&) { step(t, 1)["pattern"]["Regex"] = "[\\S]"; }, "a negated set"},
    {"may match nothing", [](Json& t, Json&) { step(t, 1)["pattern"]["Regex"] = "(?=b)|a"; },
     "may match the empty text"},
    {"nested class", [](Json& t, Json&) { step(t, 1)["pattern"]["Regex"] = "[a[b]]"; }, "key \"Regex\": \"[\""},
    {"class not closed", [](Json& t, Json&) { step(t, 1)["pattern"]["Regex"] = "[ab"; }, "key \"Regex\": \"the end\""},
    {"range downwards", [](Json& t, Json&) { step(t, 1)["pattern"]["Regex"] = "[b-a]"; }, "key \"Regex\": \"a range"},
    {"matches nothing", [](Json& t, Json&) { step(t, 1)["pattern"]["Regex"] = "a*"; }, "may match the empty text"},
    {"no added tokens", [](Json& t, Json&) { t.erase("added_tokens"); }, "key \"added_tokens\" is missing"},
    {"added token is text", [](Json& t, Json&) { t["added_tokens"][0] = "x"; }, "added_tokens[0]: found string"},
    {"added token strips", [](Json& t, Json&) { t["added_tokens"][0]["lstrip"] = "yes"; },
     "added_tokens[0]: key \"lstrip\""},
    {"added token of whole words", [](Json& t, Json&) { t["added_tokens"][1]["single_word"] = true; },
     "added_tokens[1]: key \"single_word\""},
    {"added token without special", [](Json& t, Json&) { t["added_tokens"][1].erase("special"); },
     "added_tokens[1]: key \"special\" is missing"},
    {"added id is taken", [](Json& t, Json&) { t["added_tokens"][1]["id"] = 5; },
     "added_tokens[1]: id 5 is given to both"},
    {"added token there twice", [](Json& t, Json&) { t["added_tokens"][1] = t["added_tokens"][0]; },
     "added_tokens[1]: "},
    {"added token has another id", [](Json& t, Json&) { t["added_tokens"][1]["content"] = "a"; }, "but \"a\" has id"},
    {"added token is empty", [](Json& t, Json&) { t["added_tokens"][1]["content"] = ""; }, "empty token"},
    {"config is a list", [](Json&, Json& c) { c = Json::array(); }, "tokenizer_config.json: found array"},
    {"bos is a number", [](Json&, Json& c) { c["bos_token"] = 1; }, "tokenizer_config.json: key \"bos_token\": found"},
    {"bos is unknown", [](Json&, Json& c) { c["bos_token"] = "<s>"; },
     "tokenizer_config.json: key \"bos_token\": the token \"<s>\""},
    {"eos without content", [](Json&, Json& c) { c["eos_token"] = Json::object(); },
     "key \"eos_token\": key \"content\" is missing"},
};

TEST(DamagedTokenizer, EachIsRefusedByName) {
  const Json tokenizer = tokenizer_json(testing::small_bpe(300)), config = tokenizer_config_json();
  EXPECT_NO_THROW(Tokenizer(tokenizer, config, "folder"));
  for (const Damage& damage : kDamages) {
    Json damaged = tokenizer, damaged_config = config;
    damage.apply(damaged, damaged_config);
    try {
      Tokenizer(damaged, damaged_config, "folder");
      ADD_FAILURE() << damage.name << ": was accepted";
    } catch (const UserError& error) {
      EXPECT_THAT(error.what(), HasSubstr(damage.message)) << damage.name;
      EXPECT_THAT(error.what(), ::testing::StartsWith("folder/tokenizer")) << damage.name;
    }
  }
}

TEST(DamagedTokenizer, BothSpellingsOfMergesAndOfBosAreRead) {
  Json pairs = tokenizer_json(testing::small_bpe(300)), config = tokenizer_config_json();
  for (Json& merge : pairs["model"]["merges"]) {
    const std::string text = merge.get<std::string>();
    merge = {text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1)};
  }
  config["bos_token"] = {{"__type", "AddedToken"}, {"content", kBosText}};
  const Tokenizer one(tokenizer_json(testing::small_bpe(300)), tokenizer_config_json(), "one"),
      other(pairs, config, "other");
  for (uint64_t seed = 0; seed < 50; ++seed)
    EXPECT_EQ(one.encode(testing::random_text(seed, 80)), other.encode(testing::random_text(seed, 80)));
  EXPECT_EQ(one.bos_id(), other.bos_id());
}

TEST(DamagedTokenizer, IdentityIgnoresThePostProcessor) {
  Json tokenizer = tokenizer_json(testing::small_bpe(300));
  const std::string hash = Tokenizer(tokenizer, tokenizer_config_json(), "one").sha256();
  EXPECT_EQ(hash.size(), 64u);
  tokenizer["post_processor"] = nullptr;
  EXPECT_EQ(Tokenizer(tokenizer, tokenizer_config_json(), "other").sha256(), hash);
  tokenizer["added_tokens"][0]["content"] = "<x>";
  EXPECT_NE(Tokenizer(tokenizer, Json::object(), "third").sha256(), hash);
}

// Cut at any byte, a file is never accepted and never crashes; with a flipped byte it is refused or gives a sound
// tokenizer.
TEST(DamagedTokenizer, CutAndFlippedFiles) {
  const std::string text = tokenizer_json(testing::small_bpe(250)).dump();
  const RandomStream random(11, RandomPurpose::kTest);
  for (uint64_t i = 0; i < 300; ++i) {
    const size_t size = random.below(2 * i, text.size());
    EXPECT_THROW(Tokenizer(parse_json(std::string_view(text).substr(0, size), "f"), Json::object(), "f"), UserError)
        << size;
    std::string flipped = text;
    flipped[size] = static_cast<char>(flipped[size] ^ 1 << random.below(2 * i + 1, 8));
    try {
      const Tokenizer tokenizer(parse_json(flipped, "f"), Json::object(), "f");
      const std::vector<int32_t> ids = tokenizer.encode("the text 12");
      EXPECT_EQ(tokenizer.decode(ids), "the text 12");
    } catch (const UserError&) {
    }
  }
}

TEST(DamagedTokenizer, AFolderWithoutFileIsNamed) {
  const TempFolder folder;
  try {
    Tokenizer::load(folder.path());
    FAIL();
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), HasSubstr(folder.path() + "/tokenizer.json: no such file"));
  }
}

}  // namespace
}  // namespace dslite
