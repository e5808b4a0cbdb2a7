// Ids, texts and conversations against the `tokenizers` package and Jinja2 (tests/golden/text, made by
// tools/make_text_goldens.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>

#include "src/base/files.h"
#include "src/base/hash.h"
#include "src/text/chat_format.h"
#include "tests/text/support.h"

namespace dslite {
namespace {

const std::string kGolden = DSLITE_SOURCE_DIR "/tests/golden/text/";
const std::string kSharedData = DSLITE_SOURCE_DIR "/../shared/data/";

std::vector<Json> read_records(const std::string& path) {
  const std::string text = read_file(path);
  std::vector<Json> records;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    records.push_back(parse_json(std::string_view(text).substr(begin, end - begin), path, {},
                                 static_cast<int64_t>(records.size()) + 1));
    begin = end + 1;
  }
  return records;
}

TEST(Golden, SmallTokenizerGivesTheIdsOfThePackage) {
  const auto tokenizer = Tokenizer::load(kGolden + "small_tokenizer");
  const std::vector<Json> records = read_records(kGolden + "small_tokenizer.jsonl");
  ASSERT_EQ(records.size(), 300u);
  for (const Json& record : records) {
    const std::string text = record["text"].get<std::string>();
    EXPECT_EQ(tokenizer->encode(text), record["ids"].get<std::vector<int32_t>>()) << text;
    EXPECT_EQ(tokenizer->encode(text, {.parse_special = true}), record["parsed"].get<std::vector<int32_t>>()) << text;
    const std::vector<int32_t> noise = record["noise"].get<std::vector<int32_t>>();
    EXPECT_EQ(tokenizer->decode(noise), record["decoded"].get<std::string>()) << record["noise"];
    EXPECT_EQ(tokenizer->decode(noise, true), record["skipped"].get<std::string>()) << record["noise"];
  }
}

std::string digest(const std::vector<int32_t>& ids) { return sha256_hex(std::as_bytes(std::span(ids))).substr(0, 16); }

TEST(Golden, SharedDataGivesTheIdsOfThePackage) {
  if (!std::filesystem::exists(kSharedData)) GTEST_SKIP() << kSharedData << " is absent";
  const auto tokenizer = Tokenizer::load(kSharedData + "tokenizer");
  int compared = 0;
  for (const Json& record : read_records(kGolden + "shared_data.jsonl")) {
    const std::string path = kSharedData + record["file"].get<std::string>();
    if (!std::filesystem::exists(path)) continue;
    const std::string text = read_file(path);
    const std::vector<int32_t> whole = tokenizer->encode(text);
    EXPECT_EQ(whole.size(), record["ids"].get<size_t>()) << path;
    EXPECT_EQ(digest(whole), record["hash"].get<std::string>()) << path;
    EXPECT_EQ(tokenizer->decode(whole), text) << path;
    std::vector<int32_t> by_line;
    for (size_t begin = 0; begin <= text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      const std::vector<int32_t> ids = tokenizer->encode(std::string_view(text).substr(begin, end - begin));
      by_line.insert(by_line.end(), ids.begin(), ids.end());
      begin = end + 1;
    }
    EXPECT_EQ(by_line.size(), record["line_ids"].get<size_t>()) << path;
    EXPECT_EQ(digest(by_line), record["line_hash"].get<std::string>()) << path;
    ++compared;
  }
  EXPECT_GT(compared, 15);
}

Role role_named(const std::string& name) {
  for (const Role role : {Role::kSystem, Role::kUser, Role::kAssistant, Role::kTool, Role::kDeveloper}) {
    if (name == role_name(role)) return role;
  }
  throw std::runtime_error("no role " + name);
}

std::string text_of(const std::vector<ChatSegment>& segments) {
  std::string text;
  for (const ChatSegment& segment : segments) {
    text += segment.special == SpecialToken::kBos   ? "[B]"
            : segment.special == SpecialToken::kEos ? "[E]"
                                                    : segment.text;
  }
  return text;
}

// The first records name the templates. tools/check_chat_formats.py brings more conversations, and other templates that
// must be recognised, in the file DSLITE_CHATS.
TEST(Golden, ConversationsReadAsJinjaRendersThem) {
  const char* more = std::getenv("DSLITE_CHATS");
  std::map<std::string, const ChatFormat*> formats;
  size_t conversations = 0;
  for (const Json& record : read_records(more ? more : kGolden + "chats.jsonl")) {
    if (record.contains("define")) {
      const std::string name = record["define"].get<std::string>(), text = record["template"].get<std::string>();
      formats[name] = &ChatFormat::recognised(text, name);
      if (std::ranges::count(ChatFormat::names(), name)) {
        EXPECT_EQ(ChatFormat::named(name).chat_template(), text);
        EXPECT_EQ(formats[name]->name(), name);
      }
      continue;
    }
    std::vector<Message> messages;
    for (const Json& message : record["messages"])
      messages.push_back({role_named(message[0].get<std::string>()), message[1].get<std::string>()});
    const std::string name = record["format"].get<std::string>();
    EXPECT_EQ(text_of(formats.at(name)->render(messages, record["generation"].get<bool>())),
              record["text"].get<std::string>())
        << name;
    ++conversations;
  }
  if (!more) {
    EXPECT_EQ(formats.size(), ChatFormat::names().size());
    EXPECT_EQ(conversations, 400u);
  }
}

}  // namespace
}  // namespace dslite
