// Raw formats, found by their keys, and what each policy makes of each of them.
#include <algorithm>
#include <functional>
#include <map>

#include "src/base/random.h"
#include "tests/data/prepare_fixture.h"

namespace dslite {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

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

// A record of each format, and the conversation that it holds.
struct FormatCase {
  RawFormat format;
  std::string record;
  std::vector<Message> messages;
};

std::vector<FormatCase> format_cases() {
  const Message system{Role::kSystem, "be"}, a{Role::kUser, " a "}, b{Role::kAssistant, "b\n"}, c{Role::kUser, "c"},
      d{Role::kAssistant, "d"};
  const std::string two =
      R"({"role":"user","content":" a "},{"role":"assistant","content":"b\n"},{"role":"user","content":"c"},{"role":"assistant","content":"d")";
  return {
      {RawFormat::kMessages,
       R"({"id":3,"messages":[{"role":"system","content":"be"},)" + two + "}]}",
       {system, a, b, c, d}},
      {RawFormat::kMessages,  // weighted messages
       R"({"messages":[{"role":"user","content":[{"type":"text","text":" a"},{"type":"text","value":" "}],"loss_weight":0.0},{"role":"assistant","content":[{"type":"text","value":"b\n"}],"loss_weight":1.0},{"role":"user","content":"c"},{"role":"assistant","content":"d"}]})",
       {a, b, c, d}},
      {RawFormat::kShareGpt,
       R"({"system":"be","conversations":[{"from":"human","value":" a "},{"from":"gpt","value":"b\n"},{"from":"user","value":"c"},{"from":"assistant","value":"d"}]})",
       {system, a, b, c, d}},
      {RawFormat::kAlpaca,
       R"({"instruction":"c","input":"","output":"d","history":[[" a ","b\n"]],"system":"be"})",
       {system, a, b, c, d}},
      {RawFormat::kAlpaca, R"({"instruction":" a ","input":"c","output":"d"})", {{Role::kUser, " a \nc"}, d}},
      {RawFormat::kPromptCompletion, R"({"prompt":" a ","completion":"b\n"})", {a, b}},
      {RawFormat::kPromptCompletion,
       R"({"prompt":[{"role":"user","content":" a "},{"role":"assistant","content":"b\n","weight":0},{"role":"user","content":"c"}],"completion":[{"role":"assistant","content":"d"}]})",
       {a, {Role::kAssistant, "b\n", 0}, c, d}},
      {RawFormat::kQuestionAnswer, R"({"question":" a ","answer":"b\n"})", {a, b}},
      {RawFormat::kEsft,
       R"({"id":"1","dataset":"x","messages":[{"role":"user","content":" a ","mask":1},{"role":"assistant","content":"b\n","mask":1},{"role":"user","content":"c","mask":0},{"role":"assistant","content":"d","mask":0}]})",
       {a, {Role::kAssistant, "b\n", 0}, c, d}},
  };
}

// deepseek-v2, written again.
std::string rendered(const std::vector<Message>& messages) {
  std::string text = "<bos>";
  for (const Message& m : messages) {
    if (m.role == Role::kSystem) text += m.text + "\n\n";
    if (m.role == Role::kUser) text += "User: " + m.text + "\n\n";
    if (m.role == Role::kAssistant) text += "Assistant: " + m.text + "<eos>";
  }
  return with_tokens(text);
}
std::string rendered_trained(const std::vector<Message>& messages) {
  std::string text;
  for (const Message& m : messages) {
    if (m.role == Role::kAssistant && m.weight > 0) text += " " + m.text + "<eos>";
  }
  return with_tokens(text);
}

struct PolicyCase {
  const char* name;
  std::function<void(PrepareOptions&)> set;
  std::function<void(std::vector<Message>&)> apply;  // an empty conversation: rejected as overlong
  bool limited = false;                              // to one token less than the whole
};

std::vector<PolicyCase> policy_cases() {
  const auto nothing = [](std::vector<Message>&) {};
  const auto first_turn = [](const std::vector<Message>& m) { return m[0].role == Role::kSystem ? 1 : 0; };
  return {
      {"none", [](PrepareOptions&) {}, nothing},
      {"strip", [](PrepareOptions& o) { o.policies.strip = true; },
       [](std::vector<Message>& m) {
         for (Message& one : m) one.strip();
       }},
      {"system", [](PrepareOptions& o) { o.policies.system = "new"; },
       [](std::vector<Message>& m) {
         if (m[0].role != Role::kSystem) m.insert(m.begin(), {Role::kSystem, "new"});
       }},
      {"train-on last", [](PrepareOptions& o) { o.policies.train_last_turn_only = true; },
       [](std::vector<Message>& m) {
         for (size_t i = 0; i + 1 < m.size(); ++i) m[i].weight = 0;
       }},
      {"tools", [](PrepareOptions& o) { o.policies.tools = ToolPolicy::kJsonText; }, nothing},
      {"split", [](PrepareOptions&) {}, nothing},
      {"drop", [](PrepareOptions& o) { o.overlong = Overlong::kDrop; }, [](std::vector<Message>& m) { m.clear(); },
       true},
      {"truncate-left", [](PrepareOptions& o) { o.overlong = Overlong::kTruncateLeft; },
       [=](std::vector<Message>& m) {
         if (m.size() < 4) return m.clear();
         m.erase(m.begin() + first_turn(m), m.begin() + first_turn(m) + 2);
       },
       true},
      {"truncate-right", [](PrepareOptions& o) { o.overlong = Overlong::kTruncateRight; },
       [](std::vector<Message>& m) {
         if (m.size() < 4) return m.clear();
         m.resize(m.size() - 2);
       },
       true},
  };
}

TEST_F(PrepareTest, EveryFormatUnderEveryPolicy) {
  for (const FormatCase& format : format_cases()) {
    for (const PolicyCase& policy : policy_cases()) {
      SCOPED_TRACE(fmt::format("{} {}", format.record, policy.name));
      PrepareOptions o = options({input("in.jsonl", format.record + "\n" + format.record)});
      o.chat_format = "deepseek-v2";
      if (policy.limited) {
        run(o);
        o.max_document_tokens = static_cast<int64_t>(document(0).tokens.size()) - 1;
      }
      policy.set(o);
      std::vector<Message> expected = format.messages;
      policy.apply(expected);
      const bool untrained = rendered_trained(expected).empty();
      if (untrained) {
        expect_refused(o, "nothing is left");
        EXPECT_THAT(rejects[0], HasSubstr(expected.empty() ? ":1: overlong: " : ":1: no_trained_token: "));
        continue;
      }
      const PrepareSummary summary = run(o);
      EXPECT_EQ(rejects, std::vector<std::string>());
      EXPECT_EQ(text_of(0), rendered(expected));
      EXPECT_EQ(trained_text(document(1)), rendered_trained(expected));
      EXPECT_EQ(summary.num_truncated, policy.limited ? 2 : 0);
      EXPECT_EQ(summary.files[0].checks.num_duplicates, 1);
    }
  }
}

TEST_F(PrepareTest, TextUnderEveryPolicy) {
  for (const bool json : {false, true}) {
    const std::string path = json ? input("in.jsonl", R"({"text":" the answer is this and that\n"})")
                                  : input("in.txt", " the answer is this and that\n");
    run(options({path}));
    const std::vector<int32_t> whole = document(0).tokens;
    EXPECT_EQ(decoded(whole), with_tokens("<bos> the answer is this and that\n<eos>"));
    for (const PolicyCase& policy : policy_cases()) {
      SCOPED_TRACE(policy.name);
      PrepareOptions o = options({path});
      policy.set(o);
      if (policy.limited) o.max_document_tokens = static_cast<int64_t>(whole.size()) - 1;
      if (o.policies.system || o.policies.train_last_turn_only || o.policies.tools != ToolPolicy::kReject) {
        expect_refused(o, "for conversations");
      } else if (o.overlong == Overlong::kDrop) {
        expect_refused(o, "nothing is left");
      } else {
        EXPECT_EQ(run(o).num_truncated, policy.limited);
        std::vector<int32_t> expected = whole;
        if (o.overlong == Overlong::kTruncateRight) expected.pop_back();
        if (o.overlong == Overlong::kTruncateLeft) expected.erase(expected.begin() + 1);
        if (o.policies.strip) {
          EXPECT_EQ(text_of(0), with_tokens("<bos>the answer is this and that<eos>"));
        } else {
          EXPECT_EQ(document(0).tokens, expected);
        }
      }
    }
  }
}

TEST_F(PrepareTest, FormatNeedsAChoiceWhereKeysFitSeveral) {
  const std::string both = R"({"question":"q","answer":"a","instruction":"i","output":"o"})";
  expect_refused(options({input("in.jsonl", both)}),
                 "in.jsonl:1: the keys fit the formats alpaca and question-answer; choose one with --format");
  for (const auto& [format, text] : {std::pair{RawFormat::kAlpaca, "i"}, {RawFormat::kQuestionAnswer, "q"}}) {
    PrepareOptions o = options({input("in.jsonl", both)});
    o.format = format;
    run(o);
    EXPECT_THAT(text_of(0), HasSubstr("User: " + std::string(text)));
  }
  for (const std::string& name : raw_format_names()) EXPECT_EQ(raw_format_name(raw_format_named(name)), name);
  EXPECT_THROW(raw_format_named("share-gpt"), UserError);
}

// Calls, results and lists of tools as lines of JSON; OpenAI's spelling old and new, and ShareGPT's.
TEST_F(PrepareTest, ToolsAsJsonText) {
  const std::string list = R"([{"type":"function","function":{"name":"f","parameters":{}}}])";
  const std::string call = R"({"name":"f","arguments":{"x":1}})";
  const std::vector<std::string> records = {
      R"({"tools":)" + list +
          R"(,"messages":[{"role":"system","content":"be"},{"role":"user","content":"go"},{"role":"assistant","content":"so:","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\": 1}"}}]},{"role":"tool","tool_call_id":"c1","content":"7"},{"role":"assistant","content":"it is 7"}]})",
      R"({"system":"be","tools":"[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{}}}]","conversations":[{"from":"human","value":"go"},{"from":"function_call","value":"{\"name\": \"f\", \"arguments\": {\"x\": 1}}"},{"from":"observation","value":"7"},{"from":"gpt","value":"it is 7"}]})",
      R"({"messages":[{"role":"user","content":"go"},{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{\"x\":1}"}},{"role":"function","name":"f","content":"7"},{"role":"tool","name":"g","content":"8"},{"role":"assistant","content":"it is 7"}]})"};
  const std::string tools = "be\n{\"tools\":" + list + "}\n\n", calls = "{\"tool_calls\":[" + call + "]}";
  const std::vector<std::string> expected = {
      "<bos>" + tools + "User: go\n\nAssistant: so:\n" + calls +
          "<eos>User: {\"tool_result\":{\"name\":\"f\",\"content\":\"7\"}}\n\nAssistant: it is 7<eos>",
      "<bos>" + tools + "User: go\n\nAssistant: " + calls +
          "<eos>User: {\"tool_result\":{\"content\":\"7\"}}\n\nAssistant: it is 7<eos>",
      "<bos>User: go\n\nAssistant: " + calls +
          "<eos>User: "
          "{\"tool_result\":{\"name\":\"f\",\"content\":\"7\"}}\n{\"tool_result\":{\"name\":\"g\",\"content\":\"8\"}}"
          "\n\nAssistant: it is 7<eos>"};
  for (size_t i = 0; i < records.size(); ++i) {
    PrepareOptions o = options({input("in.jsonl", records[i])});
    expect_refused(o, "nothing is left");
    EXPECT_THAT(rejects[0], HasSubstr("--tools json-text"));
    o.policies.tools = ToolPolicy::kJsonText;
    run(o);
    EXPECT_EQ(text_of(0), with_tokens(expected[i]));
    EXPECT_THAT(trained_text(document(0)), HasSubstr(calls));
    EXPECT_THAT(trained_text(document(0)), ::testing::Not(HasSubstr("tool_result")));
    o.chat_format = "chatml";  // has a role for results
    run(o);
    EXPECT_THAT(text_of(0), HasSubstr("<|im_start|>tool\n{\"tool_result\""));
    EXPECT_EQ(document(0).turns[i < 2 ? 3 : 2].role, Role::kTool);
  }
}

TEST_F(PrepareTest, WeightsOfMessagesAndParts) {
  const std::string record = messages(
      turn("user", R"("content":"q","weight":0)") + "," + turn("assistant", R"("content":"one","weight":0.25)") + "," +
      turn("user", R"("content":"q")") + "," +
      turn(
          "assistant",
          R"("weight":0.5,"content":[{"type":"text","text":"given ","loss_weight":0},{"type":"text","text":"own"},{"type":"text","text":" much","weight":2}])"));
  run(options({input("in.jsonl", record)}));
  const StoredDocument d = document(0);
  std::map<float, std::vector<int32_t>> by_weight;
  for (size_t i = 0; i < d.tokens.size(); ++i) by_weight[d.loss_weight[i]].push_back(d.tokens[i]);
  EXPECT_EQ(decoded(by_weight[0.25f]), with_tokens(" one<eos>"));
  EXPECT_EQ(decoded(by_weight[0.5f]), "own");
  EXPECT_EQ(decoded(by_weight[2.0f]), with_tokens(" much<eos>"));
  EXPECT_THAT(decoded(by_weight[0.0f]), HasSubstr("Assistant: given "));
  EXPECT_EQ(d.turns[3].weight, 2.0f);
}

}  // namespace
}  // namespace dslite
