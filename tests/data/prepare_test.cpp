// From raw files to token files: masks that never train a user's token, splits, and failures that change nothing.
#include "src/data/prepare.h"

#include <algorithm>
#include <filesystem>

#include "src/base/parallel_for.h"
#include "src/base/random.h"
#include "src/data/held_out.h"
#include "tests/data/prepare_fixture.h"

namespace dslite {
namespace {

using ::testing::HasSubstr;

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
  for (const std::string& format : ChatFormat::names()) {
    const int32_t end = turn_end_id(ChatFormat::named(format), *tokenizer);
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
          EXPECT_EQ(stored.tokens[t.end - 1], end);
          EXPECT_EQ(stored.loss_weight[t.end - 1], all[c][m].weight);
        }
        Message expected_message = all[c][m];
        if (format == "llama3") expected_message.strip();
        if (assistant && all[c][m].weight > 0)
          expected += (format == "deepseek-v2" ? " " : "") + expected_message.text + tokenizer->token_bytes(end);
        for (int64_t i = t.begin; i < t.end; ++i)
          EXPECT_TRUE(stored.loss_weight[i] == 0 || (assistant && stored.loss_weight[i] == all[c][m].weight));
      }
      EXPECT_EQ(trained_text(stored), expected);
    }
    EXPECT_EQ(canonical_json(check_token_file(store).verdict()), canonical_json(store.info().checked));
  }
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
  EXPECT_TRUE(overlapping(TokenStore(folder / "out.h5"), read_held_out(folder / "out.validation.h5")).empty());
  EXPECT_EQ(overlapping(TokenStore(folder / "out.h5"), read_held_out(folder / "out.h5")).size(), train.size());
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
