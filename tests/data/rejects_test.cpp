// Every damage of raw input is a counted reject with its line, or ends with exit code 2.
#include "src/data/reject_file.h"

#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "src/data/input_file.h"
#include "tests/data/prepare_fixture.h"

namespace dslite {
namespace {

using ::testing::HasSubstr;

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
  expect_refused(options({input("in.jsonl.gz", "\x1f\x8b\x08")}), "cut off");
  expect_refused(options({folder / "missing.jsonl"}), "cannot open");
  expect_refused(options({folder.path()}), "is a folder");
  EXPECT_FALSE(std::filesystem::exists(folder / "out.h5"));
  EXPECT_FALSE(std::filesystem::exists(folder / "out.h5.tmp"));
}

TEST_F(PrepareTest, NulIsRejectedAndCrLfIsNot) {
  std::string crlf = kGood + "\r\n\r\n" + kGood + "\r\n";
  EXPECT_EQ(run(options({input("in.jsonl", "\xEF\xBB\xBF" + crlf)})).num_records, 2);
  EXPECT_EQ(rejects.size(), 0u);
  run(options({input("in.jsonl", kGood + "\n" +
                                     messages(turn("user", R"("content":"a\u0000b")") + "," +
                                              turn("assistant", R"("content":"x")")))}));
  ASSERT_EQ(rejects.size(), 1u);
  EXPECT_THAT(rejects[0], HasSubstr(":2: nul: message 0: NUL at byte 1"));
  run(options({input("in.jsonl", kGood + "\n" + std::string("\0{}", 3))}));
  EXPECT_THAT(rejects[0], HasSubstr(":2: damaged_json: "));
  run(options({input("a.txt", "sound"), input("b.txt", std::string("a\0b", 3))}));
  EXPECT_THAT(rejects[0], HasSubstr("b.txt:1: nul: text: NUL at byte 1"));
  // Files that were put together may hold marks of the encoding in front of a record.
  EXPECT_EQ(run(options({input("in.jsonl", kGood + "\n\xEF\xBB\xBF" + kGood)})).num_rejects(), 0);
  run(options({input("in.jsonl", kGood + "\n" + kGood + "\xEF\xBB\xBF")}));
  EXPECT_THAT(rejects[0], HasSubstr(":2: damaged_json: "));
}

TEST_F(PrepareTest, DeepNestingIsDamage) {
  for (const size_t depth : {65, 10000, 1000000}) {
    const std::string deep = R"({"messages":)" + std::string(depth, '[') + std::string(depth, ']') + "}";
    run(options({input("in.json", "[" + kGood + "," + deep + "," + kGood + "]")}));
    ASSERT_EQ(rejects.size(), 1u);
    EXPECT_THAT(rejects[0], HasSubstr("(element 1): damaged_json: 1:"));
    EXPECT_THAT(rejects[0], HasSubstr("nesting deeper than 64"));
  }
}

TEST_F(PrepareTest, OnlyMaskedTokensAndNumbersAsStrings) {
  const std::string user = turn("user", R"("content":"hi")");
  std::string text = kGood + "\n";
  text += messages(user + "," + turn("assistant", R"("content":[{"type":"text","text":"x","weight":0}])")) + "\n";
  text += messages(user + "," + turn("assistant", R"("content":"x","weight":"1")")) + "\n";
  text += messages(user + "," + turn("assistant", R"("content":[{"type":"text","text":"x","weight":"1"}])")) + "\n";
  text += messages(user + "," + turn("assistant", R"("content":[{"type":"text","text":7}])")) + "\n";
  text += messages(user + "," + turn("assistant", R"("content":[{"type":"text","text":"x","value":"x"}])")) + "\n";
  text += messages(turn("user", R"("content":[{"type":"text","text":"x","weight":1}])")) + "\n";
  run(options({input("in.jsonl", text)}));
  const std::vector<std::string> expected = {"no_trained_token: ",
                                             "wrong_schema: message 1: weight: found string \"\\\"1\\\"\"",
                                             "wrong_schema: message 1: part: weight: found string",
                                             "wrong_schema: message 1: part: key \"text\": found number \"7\"",
                                             "wrong_schema: message 1: part with both",
                                             "wrong_schema: message 0: part with weight 1"};
  ASSERT_EQ(rejects.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_THAT(rejects[i], HasSubstr(expected[i]));
}

TEST_F(PrepareTest, DamagedToolsAreNamed) {
  PrepareOptions o = options({});
  o.policies.tools = ToolPolicy::kJsonText;
  const std::string user = turn("user", R"("content":"hi")"), reply = turn("assistant", R"("content":"x")");
  std::string text = kGood + "\n";
  text += R"({"tools":"no json","messages":[)" + user + "," + reply + "]}\n";
  text += R"({"tools":{"name":"f"},"messages":[)" + user + "," + reply + "]}\n";
  text += messages(user + "," + turn("assistant", R"("content":null,"tool_calls":[{"id":"1"}])")) + "\n";
  text += messages(user + "," + turn("assistant", R"("content":null,"tool_calls":7)")) + "\n";
  text += messages(turn("user", R"("content":"hi","tool_calls":[{"name":"f"}])") + "," + reply) + "\n";
  text += messages(turn("tool", R"("content":"hi")") + "," + reply) + "\n";
  o.inputs = {input("in.jsonl", text)};
  run(o);
  const std::vector<std::string> expected = {"tools: key \"tools\":1:",
                                             "tools: key \"tools\": found object",
                                             "wrong_schema: message 1: key \"tool_calls\": key \"name\" is missing",
                                             "tools: message 1: key \"tool_calls\": found number",
                                             "tools: message 0: \"tool_calls\" on a message of role \"user\"",
                                             "role_order: message 0: role tool, expected user"};
  ASSERT_EQ(rejects.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_THAT(rejects[i], HasSubstr(expected[i]));
}

std::string gzipped(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

TEST_F(PrepareTest, GzipIsReadAndItsDamageRefused) {
  std::string text;
  for (int i = 0; i < 2000; ++i)
    text += fmt::format(R"({{"question":"what is {}?","answer":"the answer {}"}})", i, i * i) + "\n";
  run(options({input("in.jsonl", text)}));
  const std::string plain = text_of(1999), packed = gzipped(text);
  for (const std::string& bytes : {packed, gzipped(text.substr(0, 5000)) + gzipped(text.substr(5000))}) {
    EXPECT_EQ(run(options({input("in.jsonl.gz", bytes)})).num_records, 2000);
    EXPECT_EQ(text_of(1999), plain);
  }
  run(options({input("one.txt.gz", gzipped("some text"))}));
  EXPECT_EQ(text_of(0), with_tokens("<bos>some text<eos>"));
  std::filesystem::remove(folder / "out.h5");
  for (const size_t size : {size_t{3}, size_t{12}, packed.size() / 2, packed.size() - 9, packed.size() - 1})
    expect_refused(options({input("in.jsonl.gz", packed.substr(0, size))}), "in.jsonl.gz: the gzip data is cut off");
  std::string damaged = packed;
  damaged[damaged.size() / 2] ^= 0x55;
  expect_refused(options({input("in.jsonl.gz", damaged)}), "in.jsonl.gz: damaged gzip data before byte");
  damaged = packed;
  damaged[damaged.size() - 6] ^= 1;  // the checksum
  expect_refused(options({input("in.jsonl.gz", damaged)}), "damaged gzip data");
  expect_refused(options({input("in.jsonl.gz", packed + "tail")}), "damaged gzip data");
  for (const auto& [bytes, what] : {std::pair<std::string, std::string>{"\x28\xb5\x2f\xfd....", "found packed by zstd"},
                                    {"BZh9....", "found packed by bzip2"},
                                    {"PK\x03\x04....", "found a zip archive"},
                                    {"PAR1....", "found a Parquet file"},
                                    {std::string("\xff\xfe{\0", 4), "found UTF-16"}})
    expect_refused(options({input("in.jsonl", bytes)}), what);
  EXPECT_FALSE(std::filesystem::exists(folder / "out.h5"));
}

// Reading in pieces gives what reading at once gives, wherever the pieces end: records of all sizes around them, many
// blank lines, and a line that is larger than a batch.
TEST_F(PrepareTest, RecordsAreCutAlikeWhateverTheirSize) {
  for (const bool array : {false, true}) {
    std::string file = array ? "[" : "", separator = array ? ",\n \n" : "\n \n";
    std::vector<std::string> expected;
    for (const size_t size : {1, 5, 1 << 20, (1 << 20) - 30, 3, 9 << 20, 7, 5 << 20, 5 << 20, 2}) {
      std::string one = "{\"text\":\"" + std::string(size, 'a') + "\\\" ],}\"}";
      expected.push_back(one);
      file += (expected.size() > 1 ? separator : "") + one;
      if (expected.size() == 4) separator = (array ? "," : "\n") + std::string(3 << 20, ' ') + std::string(40000, '\n');
    }
    if (array) file += "\n]\n";
    InputFile records(input("in.json", file), std::nullopt);
    size_t i = 0;
    for (RecordBatch batch; records.next(batch);) {
      EXPECT_LT(batch.text.size(), size_t{22} << 20);
      for (const RawRecord& record : batch.records) {
        ASSERT_LT(i, expected.size());
        EXPECT_TRUE(record.bytes.substr(0, expected[i].size()) == expected[i]) << i;
        EXPECT_EQ(record.bytes.find_first_not_of(" \n", expected[i].size()), std::string_view::npos) << i;
        const auto lines = static_cast<int64_t>(i < 4 ? 2 * i : 6 + 40000 * (i - 3) + (array ? 0 : i - 3));
        EXPECT_EQ(record.line, 1 + lines) << i;
        EXPECT_EQ(record.index, array ? static_cast<int64_t>(i) : -1);
        ++i;
      }
    }
    EXPECT_EQ(i, expected.size());
    EXPECT_EQ(records.sha256(), sha256_hex(file));
  }
}

TEST_F(PrepareTest, LargeLinesAreUsedAndTooLargeOnesRejected) {
  const std::string path = folder / "in.jsonl";
  {
    std::ofstream file(path);
    file << R"({"text":"small"})"
         << "\n"
         << R"({"text":")";
    const std::string part(1 << 20, ' ');
    for (size_t i = 0; i <= kMaxJsonBytes >> 20; ++i) file << part;
    file << "\"}\n"
         << R"({"text":"last"})"
         << "\n";
  }
  InputFile records(path, std::nullopt);
  std::vector<RawRecord> all;
  for (RecordBatch batch; records.next(batch);) {
    EXPECT_LT(batch.text.size(), kMaxJsonBytes + (size_t{4} << 20));
    for (const RawRecord& record : batch.records) {
      EXPECT_EQ(record.too_large, record.line == 2);
      all.push_back(record);
    }
  }
  EXPECT_EQ(all.size(), 3u);
  PrepareOptions o = options({path});
  o.rejects = folder / "rejects.jsonl";
  run(o);
  ASSERT_EQ(rejects.size(), 1u);
  EXPECT_THAT(rejects[0], HasSubstr("in.jsonl:2: too_large: more than 268435456 bytes"));
  EXPECT_TRUE(read_json_file(o.rejects)["record"].is_null());
  EXPECT_EQ(text_of(1), with_tokens("<bos>last<eos>"));
}

// Gigabytes of something else are not parsed line by line to the end before anybody hears of it.
TEST_F(PrepareTest, RefusesAFileThatIsNotJsonLinesEarly) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "2026-11-24 12:00:00 GET /\n";
  PrepareOptions o = options({input("log.jsonl", text + kGood + "\n")});
  expect_refused(o, "none of its first 100 records is a JSON object");
  EXPECT_TRUE(rejects.empty());
  o.format = RawFormat::kMessages;
  o.max_reject_fraction = 1;
  EXPECT_EQ(run(o).num_rejects(), 100);
  o = options({input("short.jsonl", text)});
  expect_refused(o, "all 100 records were rejected");
}

TEST_F(PrepareTest, RejectsAreWrittenWithTheirLines) {
  const std::string bad = R"({"messages": "a \"quoted\" one"})";
  PrepareOptions o =
      options({input("a.jsonl", kGood + "\n" + bad + "\n\xff{}\n"), input("b.json", "[7,\n" + kGood + "]")});
  o.format = RawFormat::kMessages;
  o.rejects = folder / "rejects.jsonl";
  run(o);
  std::vector<Json> lines;
  std::istringstream file(read_text(o.rejects));
  for (std::string line; std::getline(file, line);) lines.push_back(parse_json(line, "rejects"));
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0]["file"], folder / "a.jsonl");
  EXPECT_EQ(lines[0]["line"], 2);
  EXPECT_TRUE(lines[0]["element"].is_null());
  EXPECT_EQ(lines[0]["reason"], "wrong_schema");
  EXPECT_EQ(lines[0]["record"], bad);
  EXPECT_EQ(lines[1]["record"], "\xEF\xBF\xBD{}");
  EXPECT_EQ(lines[2]["element"], 0);
  EXPECT_EQ(rejects[2], fmt::format("{}:1 (element 0): {}: {}", folder / "b.json", "wrong_schema",
                                    lines[2]["message"].get<std::string>()));
  // They are most needed when they were too many; after a damaged container the old file stays.
  const std::string before = read_text(o.rejects);
  o.max_reject_fraction = 0;
  o.inputs = {input("a.jsonl", kGood + "\n{\n")};
  expect_refused(o, "--max-rejects");
  EXPECT_THAT(read_text(o.rejects), HasSubstr("damaged_json"));
  EXPECT_FALSE(read_text(o.rejects) == before);
  const std::string after = read_text(o.rejects);
  o.inputs = {input("a.json", "[{,")};
  expect_refused(o, "it ends within element");
  EXPECT_EQ(read_text(o.rejects), after);
  o.rejects = o.inputs[0];
  expect_refused(o, "would replace an input");
  o.rejects = o.output;
  expect_refused(o, "is the output");
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    EXPECT_EQ(entry.path().string().find(".tmp"), std::string::npos) << entry.path();
}

TEST_F(PrepareTest, SourceTreesAreDocumentsInTheOrderOfTheirPaths) {
  std::filesystem::create_directories(folder / "tree/sub/.git");
  const std::vector<std::pair<std::string, std::string>> files = {
      {"tree/b.c", "int b;"},       {"tree/a.c", "int a;"},        {"tree/sub/z", std::string("\0ELF", 4)},
      {"tree/sub/y.py", "print()"}, {"tree/sub/.git/x", "hidden"}, {"tree/.hidden", "hidden"}};
  for (const auto& [name, text] : files) input(name, text);
  std::filesystem::create_symlink(folder / "tree", folder / "tree/loop");
  expect_refused(options({folder / "tree"}), "is a folder: --format text");
  PrepareOptions o = options({folder / "tree"});
  o.format = RawFormat::kText;
  const PrepareSummary summary = run(o);
  EXPECT_EQ(summary.num_records, 4);
  ASSERT_EQ(rejects.size(), 1u);
  EXPECT_THAT(rejects[0], HasSubstr("/tree/sub/z:1: nul: "));
  for (const auto& [index, text] : {std::pair{0, "int a;"}, {1, "int b;"}, {2, "print()"}})
    EXPECT_EQ(text_of(static_cast<uint64_t>(index)), with_tokens("<bos>" + std::string(text) + "<eos>"));
  EXPECT_EQ(TokenStore(folder / "out.h5").sources()[0].name, "tree");
  std::filesystem::create_directories(folder / "empty");
  o.inputs = {folder / "empty"};
  expect_refused(o, "found no files");
}

}  // namespace
}  // namespace dslite
