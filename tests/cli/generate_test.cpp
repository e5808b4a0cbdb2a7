// dslite generate: prompts, messages and files of them; what is printed; wrong usage.
#include <gtest/gtest.h>

#include "tests/cli/model_folder_fixture.h"

namespace dslite::testing {
namespace {

class Generate : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { fixture_ = std::make_unique<ModelFolderFixture>().release(); }
  static void TearDownTestSuite() {
    delete fixture_;
    fixture_ = nullptr;
  }
  static const ModelFolderFixture& fixture() { return *fixture_; }
  static std::vector<Json> lines(const ProcessResult& result) {
    EXPECT_EQ(result.exit_code, 0) << result.err;
    std::vector<Json> all;
    for (size_t begin = 0; begin < result.out.size();) {
      const size_t end = result.out.find('\n', begin);
      all.push_back(parse_json(result.out.substr(begin, end - begin), "stdout"));
      begin = end + 1;
    }
    return all;
  }
  static std::vector<int32_t> ids(const Json& json) { return json.get<std::vector<int32_t>>(); }

 private:
  static ModelFolderFixture* fixture_;
};
ModelFolderFixture* Generate::fixture_ = nullptr;

TEST_F(Generate, GreedyJsonHasPromptReplyTextAndReason) {
  const auto result = lines(fixture().run("generate", {"--prompt", "the dog", "--max-new-tokens", "12", "--json"}));
  ASSERT_EQ(result.size(), 1u);
  const auto prompt = fixture().tokenizer().encode("the dog", {.add_special = true});
  const auto reply = fixture().greedy(prompt, 12);
  EXPECT_EQ(ids(result[0]["prompt_ids"]), prompt);
  EXPECT_EQ(prompt.front(), fixture().tokenizer().bos_id());
  EXPECT_EQ(ids(result[0]["reply_ids"]), reply);
  EXPECT_EQ(result[0]["text"], fixture().tokenizer().decode(reply, true));
  EXPECT_EQ(result[0]["finish_reason"], reply.back() == fixture().eos() ? "stop" : "length");

  const auto text = fixture().run("generate", {"--prompt", "the dog", "--max-new-tokens", "12"});
  EXPECT_EQ(text.out, result[0]["text"].get<std::string>() + "\n");
  const auto no_bos = lines(fixture().run("generate", {"--prompt", "the dog", "--no-bos", "--json"}));
  EXPECT_EQ(ids(no_bos[0]["prompt_ids"]), fixture().tokenizer().encode("the dog"));
}

TEST_F(Generate, MessagesAreRenderedByTheModelsFormat) {
  const std::string list =
      R"([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "what is 1 + 2?"}])";
  write_text(fixture().path("list.json"), list);
  write_text(fixture().path("object.json"), R"({"messages": )" + list + "}");
  const std::vector<Message> messages{{Role::kSystem, "Be brief."}, {Role::kUser, "what is 1 + 2?"}};
  const auto prompt = tokenize_chat(fixture().tokenizer(), fixture().chat_format().render(messages, true)).tokens;
  for (const char* name : {"list.json", "object.json"}) {
    const auto result =
        lines(fixture().run("generate", {"--messages", fixture().path(name), "--max-new-tokens", "5", "--json"}));
    ASSERT_EQ(result.size(), 1u);
    EXPECT_EQ(ids(result[0]["prompt_ids"]), prompt);
    EXPECT_EQ(ids(result[0]["reply_ids"]), fixture().greedy(prompt, 5));
  }
  const auto no_bos =
      lines(fixture().run("generate", {"--messages", fixture().path("list.json"), "--no-bos", "--json"}));
  EXPECT_EQ(ids(no_bos[0]["prompt_ids"]), std::vector<int32_t>(prompt.begin() + 1, prompt.end()));
}

TEST_F(Generate, AFileGivesOneReplyALineInOrder) {
  std::string input;
  for (int i = 0; i < 40; ++i) {
    input += i % 3 == 0 ? R"({"messages": [{"role": "user", "content": "dog )" + std::to_string(i) +
                              R"("}], "answer": "x"})" + "\n"
                        : R"({"prompt": "fox )" + std::string(i, 'a') + "\"}\n";
  }
  write_text(fixture().path("input.jsonl"), input + "\n");
  const std::vector<std::string> arguments{"--input",
                                           fixture().path("input.jsonl"),
                                           "--max-new-tokens",
                                           "6",
                                           "--temperature",
                                           "1",
                                           "--top-p",
                                           "0.9",
                                           "--seed",
                                           "7",
                                           "--json"};
  const ProcessResult result = fixture().run("generate", arguments);
  const auto all = lines(result);
  ASSERT_EQ(all.size(), 40u);
  EXPECT_NE(result.err.find("answer"), std::string::npos) << "keys without a use are named";
  EXPECT_EQ(ids(all[4]["prompt_ids"]), fixture().tokenizer().encode("fox aaaa", {.add_special = true}));
  EXPECT_EQ(lines(fixture().run("generate", arguments)), all);

  // A line's random numbers follow from its place in the file, not from what else is in it.
  write_text(fixture().path("first.jsonl"), input.substr(0, input.find('\n') + 1));
  auto first = arguments;
  first[1] = fixture().path("first.jsonl");
  EXPECT_EQ(lines(fixture().run("generate", first))[0], all[0]);
  auto other_seed = arguments;
  other_seed[9] = "8";
  EXPECT_NE(lines(fixture().run("generate", other_seed)), all);

  auto text = arguments;
  text.pop_back();
  std::string expected;
  for (const Json& line : all) expected += line["text"].get<std::string>() + "\n";
  EXPECT_EQ(fixture().run("generate", text).out, expected);
}

TEST_F(Generate, WrongUsageIsExit2AndNamesThePlace) {
  const auto file = [&](const std::string& name, const std::string& text) {
    write_text(fixture().path(name), text);
    return fixture().path(name);
  };
  struct Wrong {
    std::vector<std::string> arguments;
    std::string message;
  };
  const std::vector<Wrong> table = {
      {{}, "prompt"},
      {{"--prompt", "a", "--input", "b"}, "prompt"},
      {{"--prompt", "a", "--temperature", "-1"}, "--temperature"},
      {{"--prompt", "a", "--temperature", "nan"}, "--temperature"},
      {{"--prompt", "a", "--top-p", "0"}, "--top-p"},
      {{"--prompt", "a", "--top-p", "1.5"}, "--top-p"},
      {{"--prompt", "a", "--max-new-tokens", "0"}, "--max-new-tokens"},
      {{"--prompt", "a", "--max-new-tokens", "many"}, "--max-new-tokens"},
      {{"--prompt", "a", "--seed", "-1"}, "--seed"},
      {{"--prompt", "a", "--dtype", "float16"}, "--dtype"},
      {{"--prompt", "a", "--beam", "3"}, "--beam"},
      {{"--prompt", "", "--no-bos"}, "no tokens"},
      {{"--prompt", "\xff"}, "--prompt"},
      {{"--prompt", std::string(2000, 'x')}, "max_position_embeddings"},
      {{"--input", fixture().path("absent.jsonl")}, "absent.jsonl"},
      {{"--input", file("empty.jsonl", "\n\n")}, "empty.jsonl"},
      {{"--input", file("damaged.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": \"b\"\n")}, "damaged.jsonl:2"},
      {{"--input", file("number.jsonl", "{\"prompt\": 3}\n")}, "number.jsonl:1"},
      {{"--input", file("list.jsonl", "[1]\n")}, "list.jsonl:1"},
      {{"--input", file("both.jsonl", R"({"prompt": "a", "messages": []})")}, "both"},
      {{"--input", file("neither.jsonl", R"({"text": "a"})")}, "neither"},
      {{"--messages", file("role.json", R"([{"role": "robot", "content": "a"}])")}, "robot"},
      {{"--messages", file("nothing.json", "[]")}, "nothing.json"},
      {{"--messages", file("string.json", "\"hello\"")}, "string.json"},
      {{"--messages",
        file("answered.json", R"([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])")},
       "assistant"},
  };
  for (const Wrong& wrong : table) {
    const ProcessResult result = fixture().run("generate", wrong.arguments);
    EXPECT_EQ(result.exit_code, 2) << wrong.message << ": " << result.err;
    EXPECT_NE(result.err.find(wrong.message), std::string::npos) << wrong.message << " is not in: " << result.err;
    EXPECT_EQ(result.out, "") << wrong.message;
  }
}

TEST_F(Generate, MissingPartsOfTheFolderAreNamed) {
  const ModelFolderFixture no_template({.chat_template = false});
  write_text(no_template.path("messages.json"), R"([{"role": "user", "content": "a"}])");
  const ProcessResult result = no_template.run("generate", {"--messages", no_template.path("messages.json")});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("chat template"), std::string::npos) << result.err;
  EXPECT_EQ(no_template.run("generate", {"--prompt", "the", "--max-new-tokens", "2"}).exit_code, 0);
  std::filesystem::remove(no_template.folder() + "/tokenizer.json");
  const ProcessResult no_tokenizer = no_template.run("generate", {"--prompt", "the"});
  EXPECT_EQ(no_tokenizer.exit_code, 2);
  EXPECT_NE(no_tokenizer.err.find("tokenizer.json"), std::string::npos) << no_tokenizer.err;
}

}  // namespace
}  // namespace dslite::testing
