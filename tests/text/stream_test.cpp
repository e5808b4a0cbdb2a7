// Encoding in parts and on several threads gives the ids of the whole.
#include <gtest/gtest.h>

#include "src/base/error.h"
#include "src/base/parallel_for.h"
#include "src/text/stream_encoder.h"
#include "tests/text/support.h"

namespace dslite {
namespace {

// Small tokenizers whose pre-tokenizers and added tokens are those of other families.
std::vector<std::shared_ptr<const Tokenizer>> tokenizers() {
  const Json v2 = tokenizer_json(testing::small_bpe());
  const auto with = [&](const std::vector<Json>& steps) {
    Json other = v2;
    other["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}};
    other["added_tokens"].push_back({{"id", other["model"]["vocab"]["ab"]},
                                     {"content", "ab"},
                                     {"single_word", false},
                                     {"lstrip", false},
                                     {"rstrip", false},
                                     {"normalized", true},
                                     {"special", false}});
    return other;
  };
  const auto split = [](const char* regex) {
    return Json{{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}};
  };
  const Json plain = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  const Json gpt2 = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}};
  const Json llama = split(
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
      "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
      "\\s+(?!\\S)|\\s+");
  std::vector<std::shared_ptr<const Tokenizer>> made;
  for (const Json& json : {v2, with({gpt2}), with({llama, plain}), with({split("\\p{N}{1,3}"), llama, plain}),
                           with({{{"type", "Digits"}, {"individual_digits", true}}, plain})}) {
    made.push_back(std::make_shared<const Tokenizer>(json, tokenizer_config_json(), "test"));
  }
  return made;
}

std::string text_with_tokens(uint64_t seed) {
  std::string text = testing::random_text(seed, 40);
  if (seed % 3 == 0) text = kBosText + text + kEosText + testing::random_text(seed + 1, 9);
  return text;
}

TEST(Stream, TheSettledFrontOfEveryPrefixIsFinal) {
  for (const auto& tokenizer : tokenizers()) {
    size_t held = 0, total = 0;
    for (uint64_t seed = 0; seed < 300; ++seed) {
      const std::string text = text_with_tokens(seed);
      const EncodeOptions options{.parse_special = seed % 2 == 0};
      const std::vector<int32_t> whole = tokenizer->encode(text, options);
      for (size_t size = 0; size <= text.size();
           size += size < text.size() ? code_point_at(text, size).size_bytes : 1) {
        std::vector<int32_t> ids;
        const size_t settled = tokenizer->encode_settled(std::string_view(text).substr(0, size), options, ids);
        const std::vector<int32_t> rest = tokenizer->encode(std::string_view(text).substr(settled), options);
        ids.insert(ids.end(), rest.begin(), rest.end());
        ASSERT_EQ(ids, whole) << "seed " << seed << ", " << size << " of " << text.size() << " bytes";
        held += size - settled;
        total += size;
      }
    }
    EXPECT_LT(held, total);  // something settles
  }
}

TEST(Stream, PartsOfAnySizeGiveTheIdsOfTheWhole) {
  for (const auto& tokenizer : tokenizers()) {
    std::string text;
    for (uint64_t seed = 0; text.size() < 1'600'000; ++seed) text += testing::random_text(seed % 500, 3000);
    StreamEncoder stream(*tokenizer, {.add_special = true});
    std::vector<int32_t> ids;
    const RandomStream random(1, RandomPurpose::kTest);
    size_t most_held = 0;
    for (size_t begin = 0, part = 0; begin < text.size(); ++part) {
      const size_t size = 1 + random.below(part, 100'000);  // cuts characters too
      stream.push(std::string_view(text).substr(begin, size), ids);
      begin += size;
      most_held = std::max(most_held, stream.held_bytes());
    }
    stream.finish(ids);
    EXPECT_EQ(ids, tokenizer->encode(text, {.add_special = true}));
    EXPECT_LT(most_held, size_t{1'200'000});
  }
}

TEST(Stream, InvalidUtf8NamesTheByteOfTheWhole) {
  StreamEncoder stream(*testing::small_tokenizer());
  std::vector<int32_t> ids;
  const std::string line = "some text\n";
  for (int i = 0; i < 200'000; ++i) stream.push(line, ids);
  try {
    stream.push("ab\xFF", ids);
    stream.finish(ids);
    FAIL();
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("not UTF-8 at byte 2000002: found 0xFF"), std::string::npos)
        << error.what();
  }
}

TEST(Threads, GiveTheSameIds) {
  const Tokenizer& tokenizer = *testing::small_tokenizer();
  std::vector<std::string> texts;
  std::string joined;
  for (uint64_t seed = 0; seed < 3000; ++seed) joined += texts.emplace_back(testing::random_text(seed, 700)) + "\n";
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  std::vector<std::vector<int32_t>> one_by_one;
  for (const std::string& text : texts) one_by_one.push_back(tokenizer.encode(text, {.add_special = true}));
  const std::vector<int32_t> whole = tokenizer.encode(joined, {.add_special = true});
  const int before = num_threads();
  for (const int threads : {1, 2, 5}) {
    set_num_threads(threads);
    EXPECT_EQ(tokenizer.encode_batch(views, {.add_special = true}), one_by_one);
    EXPECT_EQ(tokenizer.encode_long(joined, {.add_special = true}), whole);
  }
  set_num_threads(before);
  EXPECT_TRUE(tokenizer.encode_batch({}).empty());
  const std::vector<std::string_view> damaged = {"a", "b\xFF"};
  EXPECT_THROW(tokenizer.encode_batch(damaged), UserError);
}

}  // namespace
}  // namespace dslite
