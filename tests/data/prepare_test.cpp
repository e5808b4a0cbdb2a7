// From raw files to token files: every reject with its line, masks that never train a user's token, policies, splits,
// and failures that change nothing.
#include "src/data/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "src/base/error.h"
#include "src/base/parallel_for.h"
#include "src/base/random.h"
#include "src/data/token_store.h"
#include "src/text/bpe_trainer.h"
#include "src/text/tokenizer_files.h"
#include "tests/support/temp_folder.h"

namespace dslite {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PrepareTest : public ::testing::Test {
 protected:
  void SetUp() override {
    BpeTrainer trainer;
    trainer.add_text("User: what is the answer to the question?\n\nAssistant: the answer is this and that, 你好世界\n");
    write_tokenizer_folder(folder / "tokenizer", trainer.train(300));
    tokenizer = Tokenizer::load(folder / "tokenizer");
  }
  PrepareOptions options(const std::vector<std::string>& inputs) const {
    PrepareOptions options;
    options.inputs = inputs;
    options.output = folder / "out.h5";
    options.tokenizer_folder = folder / "tokenizer";
    options.max_reject_fraction = 1;
    return options;
  }
  PrepareSummary run(const PrepareOptions& options) {
    rejects.clear();
    return prepare(options, [&](const std::string& line) { rejects.push_back(line); });
  }
  std::string input(const std::string& name, const std::string& text) {
    write_text(folder / name, text);
    return folder / name;
  }
  void expect_refused(const PrepareOptions& options, const std::string& what) {
    try {
      run(options);
      ADD_FAILURE() << "accepted: " << what;
    } catch (const UserError& error) {
      EXPECT_THAT(error.what(), HasSubstr(what));
    }
  }
  std::string decoded(std::span<const int32_t> ids) const { return tokenizer->decode(ids); }
  StoredDocument document(uint64_t index) const {
    const TokenStore store(folder / "out.h5");
    return DocumentReader(store).read(index);
  }
  std::string text_of(uint64_t index) const { return decoded(document(index).tokens); }
  // The trained tokens of a document, decoded.
  std::string trained_text(const StoredDocument& document) const {
    std::vector<int32_t> ids;
    for (size_t i = 0; i < document.tokens.size(); ++i) {
      if (document.loss_weight[i] > 0) ids.push_back(document.tokens[i]);
    }
    return decoded(ids);
  }
  TempFolder folder;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::vector<std::string> rejects;
};

const std::string kGood = R"({"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"there"}]})";

std::string turn(const std::string& role, const std::string& rest) {
  return R"({"role":")" + role + R"(",)" + rest + "}";
}
std::string messages(const std::string& list) { return R"({"messages":[)" + list + "]}"; }

TEST_F(PrepareTest, EveryRejectedRecordIsNamedWithItsLine) {
  const std::string user = turn("user", R"("content":"hi")"), reply = turn("assistant", R"("content":"there")");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{\"messages\": [\"\xff\"]}", "invalid_utf8"},
      {"{\"messages\": \"\xed\xa0\x80\"}", "invalid_utf8"},
      {R"({"messages": [)", "damaged_json"},
      {R"({"messages": []} {})", "damaged_json"},
      {R"({"messages": [], "messages": []})", "damaged_json"},
      {R"({"messages": ["\ud800"]})", "damaged_json"},
      {std::string(100, '[') + std::string(100, ']'), "damaged_json"},
      {R"("a string")", "wrong_schema"},
      {R"([1, 2])", "wrong_schema"},
      {R"({"text": "other format"})", "wrong_schema"},
      {R"({"messages": {}})", "wrong_schema"},
      {R"({"messages": null})", "wrong_schema"},
      {R"({"messages": [3]})", "wrong_schema"},
      {messages(R"({"content":"no role"})"), "wrong_schema"},
      {messages(R"({"role":1,"content":"x"})"), "wrong_schema"},
      {messages(user + "," + turn("assistant", R"("content":17)")), "wrong_schema"},
      {messages(user + "," + turn("assistant", R"("content":[{"type":"image_url"}])")), "wrong_schema"},
      {messages(user + "," + turn("assistant", R"("content":["x"])")), "wrong_schema"},
      {messages(user + "," + turn("assistant", R"("content":"x","weight":-1)")), "wrong_schema"},
      {messages(user + "," + turn("assistant", R"("content":"x","weight":true)")), "wrong_schema"},
      {messages(user + "," + turn("assistant", R"("content":"x","weight":1,"loss_weight":1)")), "wrong_schema"},
      {messages(user + "," + turn("assistant", R"("content":"x","mask":1)")), "wrong_schema"},
      {messages(turn("user", R"("content":"x","weight":1)") + "," + reply), "wrong_schema"},
      {messages(""), "empty"},
      {messages(user + "," + turn("assistant", R"("content":"")")), "empty"},
      {messages(user + "," + turn("assistant", R"("content":" \n ")")), "empty"},
      {messages(user + "," + turn("assistant", R"("content":null)")), "empty"},
      {messages(turn("user", R"("content":"")") + "," + reply), "empty"},
      {messages(user), "no_trained_token"},
      {messages(user + "," + turn("assistant", R"("content":"x","weight":0)")), "no_trained_token"},
      {messages(reply), "role_order"},
      {messages(user + "," + user + "," + reply), "role_order"},
      {messages(user + "," + reply + "," + reply), "role_order"},
      {messages(user + "," + turn("system", R"("content":"late")") + "," + reply), "role_order"},
      {messages(user + "," + turn("tool", R"("content":"x")") + "," + reply), "unknown_role"},
      {messages(turn("wizard", R"("content":"x")")), "unknown_role"},
      {messages(turn("developer", R"("content":"x")") + "," + user + "," + reply), "unknown_role"},
      {messages(user + "," + turn("assistant", R"("content":null,"tool_calls":[{"id":"1"}])")), "tools"},
      {R"({"tools":[{"type":"function"}],"messages":[)" + user + "," + reply + "]}", "tools"},
  };
  std::string text = kGood + "\n\n";  // an empty line is no record, but it counts as a line
  for (const auto& [line, reason] : cases) text += line + "\n";
  const PrepareSummary summary = run(options({input("in.jsonl", text)}));
  ASSERT_EQ(rejects.size(), cases.size());
  std::map<std::string, int64_t> counts;
  for (size_t i = 0; i < cases.size(); ++i) {
    const std::string expected = fmt::format("{}:{}: {}: ", folder / "in.jsonl", i + 3, cases[i].second);
    EXPECT_EQ(rejects[i].substr(0, expected.size()), expected) << cases[i].first;
    ++counts[cases[i].second];
  }
  EXPECT_EQ(summary.rejects, counts);
  EXPECT_EQ(summary.num_records, static_cast<int64_t>(cases.size()) + 1);
  const TokenStore store(folder / "out.h5");
  EXPECT_EQ(store.info().num_documents, 1);
  EXPECT_EQ(canonical_json(store.info().dropped), canonical_json(Json(counts)));
}

TEST_F(PrepareTest, OtherFormatsRejectToo) {
  const auto one = [&](const std::string& record, RawFormat format, const std::string& reason) {
    PrepareOptions o = options({input("in.jsonl", kGood + "\n" + record + "\n")});
    o.format = format;
    expect_refused(o, "nothing is left");  // kGood is of another format
    ASSERT_EQ(rejects.size(), 2u);
    EXPECT_THAT(rejects[1], HasSubstr(":2: " + reason + ": ")) << record;
  };
  one(R"({"conversations":[{"from":"robot","value":"x"}]})", RawFormat::kShareGpt, "unknown_role");
  one(R"({"conversations":[{"from":"human","value":"x"},{"from":"function_call","value":"{}"}]})", RawFormat::kShareGpt,
      "unknown_role");
  one(R"({"conversations":[{"from":"human"}]})", RawFormat::kShareGpt, "wrong_schema");
  one(R"({"conversations":[{"from":"gpt","value":"x"}]})", RawFormat::kShareGpt, "role_order");
  one(R"({"conversations":[{"from":"human","value":"x"},{"from":"gpt","value":"y"}],"tools":"[{}]"})",
      RawFormat::kShareGpt, "tools");
  one(R"({"instruction":"x"})", RawFormat::kAlpaca, "wrong_schema");
  one(R"({"instruction":"x","output":""})", RawFormat::kAlpaca, "empty");
  one(R"({"instruction":"x","output":"y","history":[["only one"]]})", RawFormat::kAlpaca, "wrong_schema");
  one(R"({"text":3})", RawFormat::kText, "wrong_schema");
  one(R"({"text":" \n"})", RawFormat::kText, "empty");
}

TEST_F(PrepareTest, ArrayElementsAreNamedByLineAndIndex) {
  const std::string good = R"({"instruction":"a","output":"b"})";
  const std::string path =
      input("in.json", "[\n" + good + ",\n{\"instruction\": nonsense},\n" + good +
                           "}},\n  {\"instruction\":\"with ] and , in it\",\"output\":\"\\\"]\"},\n,\n7]\n");
  const PrepareSummary summary = run(options({path}));
  EXPECT_EQ(summary.num_records, 6);
  ASSERT_EQ(rejects.size(), 4u);
  EXPECT_THAT(rejects[0], HasSubstr("in.json:3 (element 1): damaged_json"));
  EXPECT_THAT(rejects[1], HasSubstr("in.json:4 (element 2): damaged_json"));
  EXPECT_THAT(rejects[2], HasSubstr("in.json:6 (element 4): damaged_json"));
  EXPECT_THAT(rejects[3], HasSubstr("in.json:7 (element 5): wrong_schema"));
  EXPECT_THAT(text_of(1), HasSubstr("with ] and , in it"));
}

TEST_F(PrepareTest, DamagedContainers) {
  const std::string good = R"({"instruction":"a","output":"b"})";
  expect_refused(options({input("in.json", "[" + good + "," + good)}), "it ends within element 1");
  expect_refused(options({input("in.json", "[" + good + ",")}), "it ends within element 1");
  expect_refused(options({input("in.json", "[" + good + ", {\"instruction\": \"cut")}), "it ends within element 1");
  expect_refused(options({input("in.json", "[" + good + ", {\"instruction\": [1}, " + good + "]")}),
                 "it ends within element 1");
  expect_refused(options({input("in.json", "[" + good + "] []")}), "something follows");
  expect_refused(options({input("in.json", "[]")}), "no records");
  expect_refused(options({input("in.json", "[] x")}), "something follows");
  expect_refused(options({input("in.json", "[")}), "it ends within element 0");
  expect_refused(options({input("in.jsonl", "")}), "no records");
  expect_refused(options({input("in.jsonl.gz", "\x1f\x8b\x08")}), "compressed");
  expect_refused(options({folder / "missing.jsonl"}), "cannot open");
  expect_refused(options({folder.path()}), "expected a regular file");
  EXPECT_FALSE(std::filesystem::exists(folder / "out.h5"));
  EXPECT_FALSE(std::filesystem::exists(folder / "out.h5.tmp"));
}

TEST_F(PrepareTest, FormatsAreFoundByTheirKeys) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {kGood, "<bos>User: hi\n\nAssistant: there<eos>"},
      {R"({"messages":[{"role":"system","content":"be"},{"role":"user","content":[{"type":"text","text":"h"},{"type":"text","value":"i"}],"loss_weight":0.0},{"role":"assistant","content":"there","loss_weight":0.5}]})",
       "<bos>be\n\nUser: hi\n\nAssistant: there<eos>"},
      {R"({"id":"1","system":"be","conversations":[{"from":"human","value":"hi"},{"from":"gpt","value":"there"},{"from":"human","value":"x"}]})",
       "<bos>be\n\nUser: hi\n\nAssistant: there<eos>User: x\n\n"},
      {R"({"instruction":"do","input":"this","output":"done","system":"be","history":[["a","b"]]})",
       "<bos>be\n\nUser: a\n\nAssistant: b<eos>User: do\nthis\n\nAssistant: done<eos>"},
      {R"({"instruction":"do","input":"","output":"done","history":null})", "<bos>User: do\n\nAssistant: done<eos>"},
      {R"({"text":"plain words <｜end▁of▁sentence｜>"})", "<bos>plain words <｜end▁of▁sentence｜><eos>"},
  };
  for (const auto& [record, expected] : cases) {
    std::string text = expected;
    for (const auto& [name, special] : {std::pair{"<bos>", kBosText}, std::pair{"<eos>", kEosText}}) {
      for (size_t at; (at = text.find(name)) != std::string::npos;) text.replace(at, 5, special);
    }
    for (const bool array : {false, true}) {
      run(options({input("in.json", array ? "[" + record + "]" : record)}));
      EXPECT_EQ(text_of(0), text);
      EXPECT_EQ(std::ranges::count(document(0).tokens, *tokenizer->bos_id()), 1);
    }
  }
  run(options(
      {input("a.txt", "\xEF\xBB\xBFone\r\ntwo"), input("b.md", "three")}));  // a mark of the encoding is no text
  EXPECT_EQ(text_of(0), kBosText + std::string("one\r\ntwo") + kEosText);
  EXPECT_EQ(text_of(1), kBosText + std::string("three") + kEosText);
  expect_refused(options({input("in.jsonl", R"({"messages":[],"text":"x"})")}), "choose one with --format");
  expect_refused(options({input("in.jsonl", R"({"questions":"x"})")}), "found the keys \"questions\"");
  expect_refused(options({input("in.csv", "a,b")}), "unknown kind of file");
  expect_refused(options({input("in.jsonl", kGood), input("t.txt", "x")}), "files of their own");
  PrepareOptions forced = options({input("code.py", "print()")});
  forced.format = RawFormat::kText;
  run(forced);
  EXPECT_EQ(text_of(0), kBosText + std::string("print()") + kEosText);
}

// Random conversations: what is trained is exactly the assistants' replies with their eos, with their weights; nothing
// of a user or system.
TEST_F(PrepareTest, NoUserTokenIsEverTrained) {
  const RandomStream random(4, RandomPurpose::kTest);
  uint64_t draw = 0;
  const std::vector<std::string> words = {"the answer",
                                          " what?",
                                          "User: fake\n\nAssistant: fake",
                                          "你好",
                                          "<｜end▁of▁sentence｜>",
                                          "\n\n",
                                          "x",
                                          "Assistant:",
                                          " ",
                                          "é"};
  const auto words_of = [&] {
    std::string text = "w";
    for (uint64_t n = random.below(draw++, 6); n > 0; --n) text += words[random.below(draw++, words.size())];
    return text;
  };
  std::string file;
  std::vector<std::vector<Message>> all;
  for (int c = 0; c < 300; ++c) {
    std::vector<Message> conversation;
    if (random.below(draw++, 2)) conversation.push_back({Role::kSystem, random.below(draw++, 8) ? words_of() : "", 0});
    const uint64_t pairs = 1 + random.below(draw++, 4);
    for (uint64_t p = 0; p < pairs; ++p) {
      conversation.push_back({Role::kUser, words_of(), 0});
      const float weight = p + 1 == pairs ? 1.0f : 0.5f * static_cast<float>(random.below(draw++, 3));
      if (p + 1 < pairs || random.below(draw++, 4) || p == 0)
        conversation.push_back({Role::kAssistant, words_of(), weight});
    }
    if (conversation.back().role == Role::kUser) conversation[conversation.size() - 2].weight = 1;
    Json list = Json::array();
    for (const Message& m : conversation) {
      Json json = {{"role", role_name(m.role)}, {"content", m.text}};
      if (m.role == Role::kAssistant) json["weight"] = m.weight;
      list.push_back(json);
    }
    file += Json{{"messages", list}}.dump() + "\n";
    all.push_back(conversation);
  }
  for (const char* format : {"deepseek-v2", "plain"}) {
    PrepareOptions o = options({input("in.jsonl", file)});
    o.chat_format = format;
    const PrepareSummary summary = run(o);
    ASSERT_EQ(rejects, std::vector<std::string>());
    EXPECT_TRUE(summary.files[0].checks.passed());
    const TokenStore store(folder / "out.h5");
    DocumentReader reader(store);
    for (size_t c = 0; c < all.size(); ++c) {
      const StoredDocument stored = reader.read(c);
      std::string expected;
      ASSERT_EQ(stored.turns.size(), all[c].size());
      for (size_t m = 0; m < all[c].size(); ++m) {
        const RenderedChat::Turn& t = stored.turns[m];
        EXPECT_EQ(t.role, all[c][m].role);
        const bool assistant = all[c][m].role == Role::kAssistant;
        EXPECT_EQ(t.weight, assistant ? all[c][m].weight : 0.0f);
        if (assistant) {
          EXPECT_EQ(stored.tokens[t.end - 1], *tokenizer->eos_id());
          EXPECT_EQ(stored.loss_weight[t.end - 1], all[c][m].weight);
        }
        if (assistant && all[c][m].weight > 0)
          expected += (std::string(format) == "plain" ? "" : " ") + all[c][m].text + kEosText;
        for (int64_t i = t.begin; i < t.end; ++i)
          EXPECT_TRUE(stored.loss_weight[i] == 0 || (assistant && stored.loss_weight[i] == all[c][m].weight));
      }
      EXPECT_EQ(trained_text(stored), expected);
    }
    EXPECT_EQ(canonical_json(check_token_file(store).verdict()), canonical_json(store.info().checked));
  }
}

TEST_F(PrepareTest, Policies) {
  const std::string two =
      R"({"messages":[{"role":"user","content":" a "},{"role":"assistant","content":"b\n"},{"role":"user","content":"c"},{"role":"assistant","content":"d"}]})";
  PrepareOptions o = options({input(
      "in.jsonl",
      two + "\n" +
          R"({"messages":[{"role":"system","content":"own"},{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})")});
  o.policies = {.strip = true, .system = "be", .train_last_turn_only = true};
  run(o);
  const std::string bos = kBosText, eos = kEosText;
  EXPECT_EQ(text_of(0), bos + "be\n\nUser: a\n\nAssistant: b" + eos + "User: c\n\nAssistant: d" + eos);
  EXPECT_EQ(trained_text(document(0)), " d" + eos);
  EXPECT_EQ(text_of(1), bos + "own\n\nUser: a\n\nAssistant: b" + eos);

  const std::string three =
      R"({"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"},{"role":"assistant","content":"d"},{"role":"user","content":"e"}]})";
  PrepareOptions limited = options({input("in.jsonl", three + "\n" + kGood)});
  run(limited);
  limited.max_document_tokens = static_cast<int64_t>(document(0).tokens.size()) - 5;
  limited.overlong = Overlong::kDrop;
  run(limited);
  ASSERT_EQ(rejects.size(), 1u);
  EXPECT_THAT(rejects[0], HasSubstr(":1: overlong: "));
  limited.overlong = Overlong::kTruncateRight;
  EXPECT_EQ(run(limited).num_truncated, 1);
  EXPECT_EQ(text_of(0), bos + "s\n\nUser: a\n\nAssistant: b" + eos + "User: c\n\nAssistant: d" + eos);
  limited.overlong = Overlong::kTruncateLeft;
  run(limited);
  EXPECT_EQ(text_of(0), bos + "s\n\nUser: c\n\nAssistant: d" + eos + "User: e\n\n");
  limited.max_document_tokens = 3;
  expect_refused(limited, "nothing is left");

  PrepareOptions text = options({input("t.txt", "the answer is this and that"), input("short.txt", "x")});
  run(text);
  const std::vector<int32_t> whole = document(0).tokens;
  text.max_document_tokens = 5;
  text.overlong = Overlong::kTruncateRight;
  EXPECT_EQ(run(text).num_truncated, 1);
  EXPECT_EQ(document(0).tokens, std::vector<int32_t>(whole.begin(), whole.begin() + 5));
  text.overlong = Overlong::kTruncateLeft;
  run(text);
  EXPECT_THAT(document(0).tokens, ElementsAre(whole[0], whole[whole.size() - 4], whole[whole.size() - 3],
                                              whole[whole.size() - 2], whole.back()));

  // A setting that would be ignored is an error.
  text.overlong = Overlong::kSplit;
  expect_refused(text, "--max-document-tokens needs --overlong");
  text.max_document_tokens = 0;
  text.overlong = Overlong::kDrop;
  expect_refused(text, "--overlong needs --max-document-tokens");
  text.overlong = Overlong::kSplit;
  text.policies.system = "be";
  expect_refused(text, "for conversations");
  text.policies.system.reset();
  text.chat_format = "plain";
  expect_refused(text, "for conversations");
}

TEST_F(PrepareTest, ValidationIsSplitByTheHashOfTheText) {
  std::string file, reversed;
  for (int i = 0; i < 400; ++i) {
    const std::string line = fmt::format(R"({{"text":"document number {}"}})", i % 390);  // ten duplicates
    file += line + "\n";
    reversed = line + "\n" + reversed;
  }
  const auto hashes = [&](const std::string& path) {
    const TokenStore store(path);
    std::multiset<uint64_t> all(store.document_hash().begin(), store.document_hash().end());
    return all;
  };
  PrepareOptions o = options({input("in.jsonl", file)});
  o.validation_fraction = 0.2;
  const PrepareSummary summary = run(o);
  ASSERT_EQ(summary.files.size(), 2u);
  EXPECT_EQ(summary.files[0].checks.num_duplicates + summary.files[1].checks.num_duplicates, 10);
  const auto train = hashes(folder / "out.h5"), validation = hashes(folder / "out.validation.h5");
  EXPECT_EQ(train.size() + validation.size(), 400u);
  EXPECT_NEAR(static_cast<double>(validation.size()), 80, 30);
  EXPECT_EQ(count_overlap(TokenStore(folder / "out.h5"), TokenStore(folder / "out.validation.h5")), 0);
  EXPECT_EQ(count_overlap(TokenStore(folder / "out.h5"), TokenStore(folder / "out.h5")),
            static_cast<int64_t>(train.size()));
  o.inputs = {input("reversed.jsonl", reversed)};
  run(o);
  EXPECT_EQ(hashes(folder / "out.h5"), train);
  o.inputs = {input("one.txt", "one")};
  expect_refused(o, "none of the documents falls into this file");
}

TEST_F(PrepareTest, EqualInputGivesEqualBytesOnAnyNumberOfThreads) {
  std::string file;
  for (int i = 0; i < 5000; ++i)
    file +=
        fmt::format(
            R"({{"messages":[{{"role":"user","content":"what is {}?"}},{{"role":"assistant","content":"the answer {}"}}]}})",
            i, i * 7) +
        "\n";
  const PrepareOptions o = options({input("in.jsonl", file)});
  const int before = num_threads();
  std::string first;
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    run(o);
    const std::string bytes = read_text(folder / "out.h5");
    if (first.empty()) first = bytes;
    EXPECT_TRUE(bytes == first) << threads;
  }
  set_num_threads(before);
}

TEST_F(PrepareTest, TooManyRejectsLeaveTheOldFile) {
  PrepareOptions o = options({input("in.jsonl", kGood)});
  run(o);
  const std::string before = read_text(folder / "out.h5");
  std::string file;
  for (int i = 0; i < 99; ++i) file += kGood + "\n";
  o.inputs = {input("in.jsonl", file + "{\n")};
  o.max_reject_fraction = 0.01;
  run(o);  // 1 of 100 is not more than 1 %
  EXPECT_FALSE(read_text(folder / "out.h5") == before);
  const std::string after = read_text(folder / "out.h5");
  o.inputs = {input("in.jsonl", file + "{\n{\n")};
  expect_refused(o, "2 of 101 records were rejected (1.98 %), more than --max-rejects 1%");
  EXPECT_TRUE(read_text(folder / "out.h5") == after);
  EXPECT_FALSE(std::filesystem::exists(folder / "out.h5.tmp"));
  // The output must not be an input, nor a folder.
  o = options({folder / "out.h5"});
  o.format = RawFormat::kText;
  expect_refused(o, "would replace an input");
  o = options({input("in.jsonl", kGood)});
  o.output = folder.path();
  expect_refused(o, "expected a file name");
}

// The checks see what must not be: each damage of a sound document is a problem.
TEST_F(PrepareTest, ChecksSeeDamage) {
  TokenFileInfo info;
  info.kind = TokenFileKind::kSft;
  info.bos = 1;
  info.eos = 2;
  const StoredDocument sound = {{1, 5, 6, 7, 2, 8},
                                {0, 0, 0.5, 0.5, 0.5, 0},
                                {{1, 2, Role::kUser, 0}, {2, 5, Role::kAssistant, 0.5}, {5, 6, Role::kUser, 0}}};
  const auto problems = [&](const StoredDocument& d) {
    TokenChecker checker(info);
    checker.add({.hash = 1, .tokens = d.tokens, .loss_weight = d.loss_weight, .turns = d.turns});
    return checker.report().num_problems;
  };
  EXPECT_EQ(problems(sound), 0);
  const auto damaged = [&](auto&& damage) {
    StoredDocument d = sound;
    damage(d);
    EXPECT_GT(problems(d), 0);
  };
  damaged([](StoredDocument& d) { d.tokens[0] = 5; });
  damaged([](StoredDocument& d) { d.tokens[3] = 1; });
  damaged([](StoredDocument& d) { d.tokens[3] = 2; });
  damaged([](StoredDocument& d) { d.tokens[4] = 9; });
  damaged([](StoredDocument& d) { d.loss_weight[4] = 0; });
  damaged([](StoredDocument& d) { d.loss_weight[1] = 0.5; });
  damaged([](StoredDocument& d) { d.loss_weight[5] = 0.5; });
  damaged([](StoredDocument& d) { d.loss_weight[3] = 1; });
  damaged([](StoredDocument& d) { d.loss_weight = {0, 0, 0, 0, 0, 0}; });
  damaged([](StoredDocument& d) { d.turns[1].role = Role::kUser; });
  damaged([](StoredDocument& d) { d.turns[1].begin = 1; });
  damaged([](StoredDocument& d) { d.turns[1].begin = 5; });
  damaged([](StoredDocument& d) { d.turns[2].end = 7; });
}

// Whatever the bytes: records are used or rejected, or the file is refused; nothing else happens.
TEST_F(PrepareTest, MutatedInput) {
  const std::string alpaca = R"({"instruction":"a [1, {2}] \"q\" 你","input":"i","output":"b","history":[["u","v"]]})";
  const std::string sharegpt = R"({"conversations":[{"from":"human","value":"x"},{"from":"gpt","value":"\u4f60"}]})";
  const std::vector<std::pair<std::string, std::string>> seeds = {{"in.json", "[" + alpaca + ",\n" + alpaca + "]"},
                                                                  {"in.jsonl", kGood + "\n" + kGood + "\n"},
                                                                  {"in.json", "[" + sharegpt + "]\n"},
                                                                  {"in.txt", "some text 你好"}};
  const RandomStream random(8, RandomPurpose::kTest);
  uint64_t draw = 0;
  int used = 0, refused = 0;
  for (int round = 0; round < 400; ++round) {
    auto [name, bytes] = seeds[static_cast<size_t>(round) % seeds.size()];
    for (uint64_t n = 1 + random.below(draw++, 3); n > 0; --n) {
      const size_t at = random.below(draw++, bytes.size());
      constexpr std::string_view kBytes = "[]{}\",:\\\n 0ntf\xff\x80\x00";
      const uint64_t kind = random.below(draw++, 4);
      if (kind == 0) bytes.erase(at, 1 + random.below(draw++, 4));
      if (kind == 1) bytes.insert(at, 1, kBytes[random.below(draw++, kBytes.size())]);
      if (kind == 2) bytes[at] = static_cast<char>(random.below(draw++, 256));
      if (kind == 3) bytes.resize(at);
      if (bytes.empty()) bytes = "x";
    }
    try {
      const PrepareSummary summary = run(options({input(name, bytes)}));
      EXPECT_EQ(static_cast<size_t>(summary.num_rejects()), rejects.size());
      ++used;
    } catch (const UserError&) {
      ++refused;
    }
  }
  EXPECT_GT(used, 100);
  EXPECT_GT(refused, 50);
}

TEST_F(PrepareTest, RealFiles) {
  const std::string data = DSLITE_SOURCE_DIR "/../shared/data/";
  if (!std::filesystem::exists(data)) GTEST_SKIP() << data << " is absent";
  for (const auto& [name, records] :
       {std::pair{"llamafactory_alpaca_en_demo.json", 999}, std::pair{"llamafactory_alpaca_zh_demo.json", 1000},
        std::pair{"llamafactory_identity.json", 91}, std::pair{"fastchat_dummy_conversation_sharegpt.json", 500},
        std::pair{"llamafactory_v1_sft_demo.jsonl", 500}}) {
    const PrepareSummary summary = run(options({data + "sft/" + name}));
    EXPECT_EQ(summary.num_records, records);
    EXPECT_EQ(summary.num_rejects(), 0);
    EXPECT_TRUE(summary.files[0].checks.passed());
  }
  // Conversations with calls of tools are named one by one; the rest is used.
  const PrepareSummary tools = run(options({data + "sft/llamafactory_glaive_toolcall_en_demo.json"}));
  EXPECT_EQ(tools.num_records, 300);
  EXPECT_EQ(rejects.size(), static_cast<size_t>(tools.num_rejects()));
  EXPECT_GT(tools.num_rejects(), 100);
  EXPECT_LT(tools.num_rejects(), 300);
}

}  // namespace
}  // namespace dslite
