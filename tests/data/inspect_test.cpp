// What people are shown of a token file: marked text, counts, differences, overlap, a page of HTML.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "src/base/random.h"
#include "src/data/dataset_diff.h"
#include "src/data/held_out.h"
#include "src/data/html_report.h"
#include "src/data/statistics.h"
#include "src/data/token_text.h"
#include "tests/data/prepare_fixture.h"
#include "tests/data/token_files.h"

namespace dslite {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string chat_line(const std::string& user, const std::string& reply, float weight = 1) {
  return Json{
             {"messages",
              {{{"role", "user"}, {"content", user}}, {{"role", "assistant"}, {"content", reply}, {"weight", weight}}}}}
             .dump() +
         "\n";
}

using InspectTest = PrepareTest;

TEST_F(InspectTest, TextIsMarkedByWhatIsTrained) {
  run(options({input("in.jsonl", chat_line("hi", "there") + chat_line("\x1b[31m\u202E", "x", 0.5f))}));
  const auto marked = [&](uint64_t d, TextColors colors) {
    return marked_text(text_runs(document(d), *tokenizer, 1000), colors);
  };
  EXPECT_EQ(marked(0, TextColors::kNone), with_tokens("<bos>User: hi\n\nAssistant:⟦ there<eos>⟧"));
  EXPECT_EQ(marked(0, TextColors::kTerminal),
            with_tokens("\x1b[36m<bos>\x1b[0m\x1b[2mUser: hi\n\nAssistant:\x1b[0m\x1b[32m there\x1b[0m\x1b[1;32m<eos>"
                        "\x1b[0m"));
  // What a document holds must not steer the terminal; other weights than 1 are said.
  EXPECT_EQ(marked(1, TextColors::kNone), with_tokens("<bos>User: \\x1b[31m\\u{202e}\n\nAssistant:⟦0.5×  x<eos>⟧"));
  EXPECT_THAT(marked_text(text_runs(document(0), *tokenizer, 1), TextColors::kNone), with_tokens("<bos>"));
  EXPECT_EQ(printable("a\n\tb\x7f\u0085\u2066é你"), "a\n\tb\\x7f\\x85\\u{2066}é你");
  run(options({input("t.txt", "some text")}));
  EXPECT_EQ(marked(0, TextColors::kNone), with_tokens("<bos>⟦some text<eos>⟧"));
}

// Every token is shown once, as itself.
TEST_F(InspectTest, RunsHoldEveryToken) {
  std::string file;
  for (int i = 0; i < 50; ++i)
    file += chat_line(fmt::format("what is {}? 你好", i), fmt::format("the answer {}", i),
                      0.25f * static_cast<float>(1 + i % 5));
  PrepareOptions o = options({input("in.jsonl", file)});
  for (const std::string& format : ChatFormat::names()) {
    o.chat_format = format;
    run(o);
    for (uint64_t d = 0; d < 50; ++d) {
      const StoredDocument stored = document(d);
      std::string text, trained;
      for (const TextRun& run : text_runs(stored, *tokenizer, 1000)) {
        text += run.text;
        if (run.weight > 0) trained += run.text;
      }
      EXPECT_EQ(text, decoded(stored.tokens));
      EXPECT_EQ(trained, trained_text(stored));
    }
  }
}

TEST(Inspect, SamplesAreSpreadOverTheFile) {
  EXPECT_THAT(sample_documents(10, 3), ElementsAre(0, 3, 6));
  EXPECT_THAT(sample_documents(2, 5), ElementsAre(0, 1));
  EXPECT_THAT(sample_documents(5, 0), ElementsAre());
  EXPECT_EQ(sample_documents(int64_t{1} << 48, 3)[2], (uint64_t{1} << 49) / 3);
}

TEST(Inspect, CountsAgreeWithTheDocuments) {
  const TempFolder folder(TempFolder::memory());
  const auto documents = random_documents(TokenFileKind::kSft, 400, 3000, 5);
  write_token_file(folder / "a.h5", TokenFileKind::kSft, documents);
  const TokenStore store(folder / "a.h5");
  std::vector<uint64_t> lengths;
  for (const TestDocument& document : documents) lengths.push_back(document.tokens.size());
  std::sort(lengths.begin(), lengths.end());
  uint64_t number = 0, tokens = 0;
  for (const LengthBin& bin : length_histogram(store)) {
    EXPECT_EQ(bin.documents, static_cast<uint64_t>(std::ranges::count_if(
                                 lengths, [&](uint64_t l) { return l >= bin.from && l <= bin.to; })));
    number += bin.documents;
    tokens += bin.tokens;
  }
  EXPECT_GT(length_histogram(store).front().documents, 0u);
  EXPECT_EQ(number, 400u);
  EXPECT_EQ(tokens, static_cast<uint64_t>(store.info().num_tokens));
  const LengthQuantiles q = length_quantiles(store);
  EXPECT_EQ(q.least, lengths[0]);
  EXPECT_EQ(q.p10, lengths[39]);
  EXPECT_EQ(q.median, lengths[199]);
  EXPECT_EQ(q.p90, lengths[359]);
  EXPECT_EQ(q.p99, lengths[395]);
  EXPECT_EQ(q.most, lengths[399]);
  for (const Fit& fit : fits(store)) {
    uint64_t cut = 0, behind = 0;
    for (const uint64_t length : lengths) {
      cut += length > static_cast<uint64_t>(fit.sequence_tokens) + 1;
      for (uint64_t i = 0; i < length; ++i) behind += i > static_cast<uint64_t>(fit.sequence_tokens);
    }
    EXPECT_EQ(fit.documents_cut, cut);
    EXPECT_EQ(fit.tokens_behind_cut, behind);
  }
  EXPECT_EQ(fits(store).back().documents_cut, 0u);
  uint64_t in_turns = 0;
  for (const RoleCount& count : count_roles(store)) in_turns += count.tokens;
  EXPECT_EQ(in_turns, static_cast<uint64_t>(store.info().num_tokens) - 400);  // all but bos
}

TEST_F(InspectTest, FertilityCountsWords) {
  run(options({input("in.jsonl", chat_line("the answer", "你好 this  that") + chat_line("q", "w"))}));
  const TokenStore store(folder / "out.h5");
  const Fertility f = fertility(store, *tokenizer);
  const std::string text = "User: the answer\n\nAssistant: 你好 this  thatUser: q\n\nAssistant: w";
  EXPECT_EQ(f.bytes, text.size());
  EXPECT_EQ(f.characters, text.size() - 4);
  EXPECT_EQ(f.words, 7u + 4u);
  EXPECT_EQ(f.tokens, static_cast<uint64_t>(store.info().num_tokens) - 4);
}

TEST_F(InspectTest, DifferencesAreFound) {
  std::string file;
  for (int i = 0; i < 20; ++i) file += chat_line(fmt::format("q{}", i), fmt::format("a{}", i));
  PrepareOptions o = options({input("in.jsonl", file)});
  const auto made = [&](const std::string& name, const std::string& text, const std::string& format = "") {
    o.inputs = {input("in.jsonl", text)};
    o.output = folder / name;
    o.chat_format = format;
    run(o);
    return TokenStore(folder / name);
  };
  const TokenStore a = made("a.h5", file), same = made("same.h5", file);
  DatasetDiff diff = compare_datasets(a, same);
  EXPECT_TRUE(diff.equal());
  EXPECT_TRUE(diff.attributes.empty());
  EXPECT_EQ(diff.num_both, 20);

  std::string other = file.substr(file.find('\n') + 1) + chat_line("new", "one") + chat_line("q3", "a3");
  diff = compare_datasets(a, made("other.h5", other));
  EXPECT_FALSE(diff.equal());
  EXPECT_EQ(diff.num_only_a, 1);
  EXPECT_THAT(diff.only_a, ElementsAre(0));
  EXPECT_EQ(diff.num_only_b, 2);  // one is there twice
  EXPECT_THAT(diff.only_b, ElementsAre(19, 20));
  EXPECT_EQ(diff.num_both, 19);
  EXPECT_FALSE(diff.same_order);
  EXPECT_EQ(diff.num_other_tokens, 0);

  diff = compare_datasets(a, made("plain.h5", file, "plain"));
  EXPECT_EQ(diff.num_other_tokens, 20);
  EXPECT_EQ(diff.other_tokens.size(), 5u);
  EXPECT_TRUE(std::ranges::any_of(diff.attributes, [](const auto& x) { return x.name == "chat_format"; }));

  std::string weighted;
  for (int i = 0; i < 20; ++i) weighted += chat_line(fmt::format("q{}", i), fmt::format("a{}", i), i == 7 ? 0.5f : 1);
  diff = compare_datasets(a, made("weighted.h5", weighted));
  EXPECT_EQ(diff.num_other_tokens, 0);
  EXPECT_EQ(diff.num_other_weights, 1);
  EXPECT_THAT(diff.other_weights, ElementsAre(std::pair<uint64_t, uint64_t>(7, 7)));
  EXPECT_FALSE(diff.equal());
}

TEST_F(InspectTest, HeldOutFilesOfAnyFormatAreCompared) {
  const std::string file =
      chat_line("q1", "a1") + chat_line("q2", "a2") + chat_line("q3", "a3") + chat_line("q1", "a1");
  run(options({input("in.jsonl", file)}));
  const TokenStore store(folder / "out.h5");
  EXPECT_THAT(overlapping(store, read_held_out(folder / "out.h5")), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(overlapping(store, read_held_out(input("held.jsonl", chat_line("q1", "a1") + "{damaged\n"))),
              ElementsAre(0, 3));
  EXPECT_EQ(read_held_out(folder / "held.jsonl").num_unreadable, 1);
  EXPECT_THAT(overlapping(store, read_held_out(input("qa.json", R"([{"question":"q2","answer":"a2"}])"))),
              ElementsAre(1));
  EXPECT_THAT(overlapping(store, read_held_out(input("held.txt", "q1"))), ElementsAre());
  EXPECT_THROW(read_held_out(folder / "missing.jsonl"), UserError);
  EXPECT_THAT(duplicates(store, 5), ElementsAre(std::pair<uint64_t, uint64_t>(0, 3)));
  EXPECT_THAT(duplicates(store, 0), ElementsAre());
}

TEST_F(InspectTest, TheTokenizerIsFoundByTheFileThatNamesIt) {
  run(options({input("in.jsonl", chat_line("q", "a"))}));
  const TokenStore store(folder / "out.h5");
  const auto refused = [&](const std::string& folder_option, const std::string& what) {
    try {
      tokenizer_of(store, folder_option);
      ADD_FAILURE() << what;
    } catch (const UserError& error) {
      EXPECT_THAT(error.what(), HasSubstr(what));
    }
  };
  refused("", "--tokenizer is needed");
  for (const char* origin : {"[]", "{}", R"({"command_line":7})", R"({"command_line":["--tokenizer"]})",
                             R"({"command_line":["--tokenizer",7]})"}) {
    input("out.h5.json", origin);
    refused("", "--tokenizer is needed");
  }
  for (const Json& arguments :
       {Json{"dslite", "--tokenizer", folder / "tokenizer"}, Json{"--tokenizer=" + (folder / "tokenizer")}}) {
    input("out.h5.json", Json{{"command_line", arguments}}.dump());
    EXPECT_EQ(tokenizer_of(store, "")->sha256(), tokenizer->sha256());
  }
  std::filesystem::copy(folder / "tokenizer", folder / "other");
  Json json = read_json_file(folder / "other/tokenizer.json");
  json["added_tokens"].erase(json["added_tokens"].size() - 1);
  input("other/tokenizer.json", json.dump());
  refused(folder / "other", "another tokenizer");
}

TEST_F(InspectTest, PagesEscapeWhatTheyShow) {
  std::string file;
  for (int i = 0; i < 60; ++i) file += chat_line(fmt::format("<script>{}</script>", i), "a & \"b\"");
  run(options({input("<in>.jsonl", file)}));
  const TokenStore store(folder / "out.h5");
  const std::string page = html_report(store, *tokenizer, 50);
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;0&lt;/script&gt;"));
  EXPECT_THAT(page, HasSubstr("<span class=\"t\" title=\"weight 1\"> a &amp; &quot;b&quot;</span>"));
  EXPECT_THAT(page, HasSubstr("&lt;in&gt;.jsonl"));
  size_t samples = 0;
  for (size_t at = 0; (at = page.find("<h3>", at)) != std::string::npos; ++at) ++samples;
  EXPECT_EQ(samples, 50u);
  const std::string svg = histogram_svg(length_histogram(store), "a<b");
  EXPECT_THAT(svg, HasSubstr("a&lt;b"));
  EXPECT_THAT(page, HasSubstr("<svg"));
  for (const std::string tag : {"svg", "table", "pre", "span", "tr", "text", "rect"}) {
    const auto count = [&](const std::string& text, const std::string& what) {
      size_t n = 0;
      for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; ++at) ++n;
      return n;
    };
    EXPECT_EQ(count(page, "<" + tag + " ") + count(page, "<" + tag + ">"), count(page, "</" + tag + ">")) << tag;
  }
}

}  // namespace
}  // namespace dslite
