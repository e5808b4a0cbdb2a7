// prepare and data as a user runs them: exit codes, messages, results on stdout, and files that survive failure.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "src/base/json.h"
#include "tests/support/process.h"
#include "tests/support/temp_folder.h"

namespace dslite {
namespace {

using dslite::testing::ProcessResult;
using dslite::testing::run_program;
using ::testing::HasSubstr;
using ::testing::Not;

class DataCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string text, chat;
    for (int i = 0; i < 50; ++i) {
      text += "what is the answer to the question number " + std::to_string(i) + "?\n";
      chat += R"({"messages":[{"role":"user","content":"what is )" + std::to_string(i) +
              R"(?"},{"role":"assistant","content":"the answer"}]})" + "\n";
    }
    write_text(folder / "text.txt", text);
    write_text(folder / "chat.jsonl", chat);
    ASSERT_EQ(
        dslite({"tokenizer", "train", "--vocab-size", "270", "--output", tokenizer, folder / "text.txt"}).exit_code, 0);
  }
  ProcessResult dslite(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), DSLITE_BINARY_DIR "/src/dslite");
    return run_program(arguments);
  }
  ProcessResult prepare(std::vector<std::string> rest) const {
    rest.insert(rest.begin(), {"prepare", "--tokenizer", tokenizer, "--output", output});
    return dslite(rest);
  }
  TempFolder folder;
  const std::string tokenizer = folder / "tokenizer", output = folder / "out.h5";
};

TEST_F(DataCommand, PrepareCheckShowStats) {
  ProcessResult result = prepare({"--json", "--validation", "20%", folder / "chat.jsonl"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json summary = parse_json(result.out, "stdout");
  EXPECT_EQ(summary["records"], 50);
  EXPECT_EQ(summary["files"].size(), 2u);
  const std::string bytes = read_text(output);
  EXPECT_EQ(prepare({"--threads", "1", "--validation", "20%", folder / "chat.jsonl"}).exit_code, 0);
  EXPECT_TRUE(read_text(output) == bytes);
  EXPECT_TRUE(read_json_file(output + ".json").contains("created_utc"));
  EXPECT_EQ(read_json_file(output + ".json")["command_line"][1], "prepare");

  const std::string validation = folder / "out.validation.h5";
  result = dslite({"data", "check", output, "--held-out", validation});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("true"));
  EXPECT_EQ(dslite({"data", "check", output, "--held-out", output}).exit_code, 2);
  result = dslite({"data", "show", output, "2", "--tokenizer", tokenizer});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("Assistant:⟦ the answer<｜end▁of▁sentence｜>⟧"));
  EXPECT_THAT(result.out, Not(HasSubstr("\x1b")));
  EXPECT_THAT(dslite({"data", "show", output, "--tokenizer", tokenizer, "--color", "always"}).out,
              HasSubstr("\x1b[32m the answer"));
  result = dslite({"data", "stats", output, "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(parse_json(result.out, "stdout")["num_documents"], summary["files"][0]["documents"]);
  result = dslite({"data", "stats", output, "--svg", folder / "lengths.svg"});
  EXPECT_THAT(result.out, HasSubstr("█"));
  EXPECT_THAT(result.out, HasSubstr("tokens a word"));
  EXPECT_THAT(read_text(folder / "lengths.svg"), HasSubstr("</svg>"));
}

TEST_F(DataCommand, ComparesAndReports) {
  ASSERT_EQ(prepare({folder / "chat.jsonl"}).exit_code, 0);
  ProcessResult result = dslite({"data", "show", output});  // the tokenizer that out.h5.json names
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '-'), 9) << result.out;
  result = dslite({"data", "check", output, "--samples", "2", "--held-out", folder / "text.txt"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("⟦ the answer"));
  result = dslite({"data", "check", output, "--held-out", folder / "text.txt", folder / "chat.jsonl"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("50 documents are in " + folder / "chat.jsonl" + " too, first: 0, 1, 2, 3, 4"));
  result = dslite({"data", "diff", output, output});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("\nequal\n"));
  EXPECT_EQ(parse_json(dslite({"data", "diff", output, output, "--json"}).out, "stdout")["both"], 50);
  result = dslite({"data", "report", output, "--output", folder / "r.html"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(read_text(folder / "r.html"), HasSubstr("Document 49 of 50"));
  EXPECT_EQ(dslite({"data", "diff", output}).exit_code, 2);
  EXPECT_EQ(dslite({"data", "report", output}).exit_code, 2);
  std::filesystem::remove(output + ".json");
  result = dslite({"data", "show", output});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("--tokenizer is needed"));
  EXPECT_THAT(dslite({"data", "stats", output}).out, HasSubstr("needs --tokenizer"));
}

TEST_F(DataCommand, RejectsAndTools) {
  write_text(
      folder / "tools.jsonl",
      read_text(folder / "chat.jsonl") +
          R"({"conversations":[{"from":"human","value":"x"},{"from":"function_call","value":"{\"name\":\"f\"}"}]})" +
          "\n");
  const std::string rejects = folder / "rejects.jsonl";
  ProcessResult result = prepare({"--rejects", rejects, "--max-rejects", "2%", folder / "tools.jsonl"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(read_json_file(rejects)["line"], 51);
  EXPECT_EQ(read_json_file(rejects)["reason"], "wrong_schema");  // the file's records are messages
  result = prepare({"--format", "sharegpt", "--tools", "json-text", "--max-rejects", "99%", folder / "tools.jsonl"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(dslite({"data", "show", output}).out, HasSubstr("tool_calls"));
}

TEST_F(DataCommand, RejectsArePrintedAndLimited) {
  write_text(folder / "bad.jsonl", read_text(folder / "chat.jsonl") + "{\"messages\": \n");
  ProcessResult result = prepare({folder / "bad.jsonl"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("bad.jsonl:51: damaged_json: 51:"));
  EXPECT_THAT(result.err, HasSubstr("--max-rejects"));
  EXPECT_FALSE(std::filesystem::exists(output));
  result = prepare({"--max-rejects", "2%", folder / "bad.jsonl"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("rejected for damaged_json: 1"));
}

TEST_F(DataCommand, DamagedTokenFilesAreExitTwoWithOneMessage) {
  ASSERT_EQ(prepare({folder / "chat.jsonl"}).exit_code, 0);
  std::string bytes = read_text(output);
  bytes[bytes.find("attributes_xxh3")] ^= 1;  // in the structure: HDF5 itself must stay silent
  write_text(output, bytes);
  for (const std::string command : {"check", "stats"}) {
    const ProcessResult result = dslite({"data", command, output});
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr(output));
    EXPECT_THAT(result.err, Not(HasSubstr("HDF5-DIAG")));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
}

TEST_F(DataCommand, FailureLeavesTheOldFile) {
  ASSERT_EQ(prepare({folder / "chat.jsonl"}).exit_code, 0);
  const std::string bytes = read_text(output);
  write_text(folder / "cut.json", R"([{"instruction":"a","output":"b"})");
  EXPECT_EQ(prepare({folder / "cut.json"}).exit_code, 2);
  EXPECT_EQ(prepare({folder / "missing.json"}).exit_code, 2);
  EXPECT_TRUE(read_text(output) == bytes);
  EXPECT_FALSE(std::filesystem::exists(output + ".tmp"));
  const auto to = [&](const std::string& path) {
    return dslite({"prepare", "--tokenizer", tokenizer, "--output", path, folder / "chat.jsonl"}).exit_code;
  };
  EXPECT_EQ(to(folder.path()), 2);
  EXPECT_EQ(to(folder / "no/such/out.h5"), 2);
  EXPECT_EQ(to("/proc/out.h5"), 1);
}

TEST_F(DataCommand, WrongCommandLines) {
  const std::string chat = folder / "chat.jsonl", text = folder / "text.txt";
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{}, "INPUT is required"},
      {{chat, "--validation", "1"}, "expected a percentage"},
      {{chat, "--validation", "100%"}, "expected a percentage"},
      {{chat, "--max-rejects", "-1%"}, "expected a percentage"},
      {{chat, "--format", "mesages"}, "did you mean \"messages\""},
      {{chat, "--chat-format", "deepseek"}, "chat format: found"},
      {{chat, "--overlong", "cut"}, "--overlong: found"},
      {{chat, "--overlong", "drop"}, "--max-document-tokens"},
      {{chat, "--max-document-tokens", "100"}, "--overlong"},
      {{chat, "--max-document-tokens", "many"}, "--max-document-tokens"},
      {{chat, "--train-on", "first"}, "--train-on: found"},
      {{chat, "--tools", "all"}, "--tools: found"},
      {{chat, "--rejects", output}, "is the output"},
      {{text, "--tools", "json-text"}, "for conversations"},
      {{text, "--format", "alpaca"}, "--format alpaca"},
      {{text, "--system", "x"}, "for conversations"},
      {{text, "--train-on", "last"}, "for conversations"},
      {{text, chat}, "files of their own"},
      {{chat, "--unknown"}, "--unknown"},
  };
  for (const auto& [arguments, expected] : cases) {
    const ProcessResult result = prepare(arguments);
    EXPECT_EQ(result.exit_code, 2) << expected;
    EXPECT_THAT(result.err + result.out, HasSubstr(expected));
  }
  EXPECT_EQ(dslite({"data"}).exit_code, 2);
  EXPECT_EQ(dslite({"data", "look", output}).exit_code, 2);
  EXPECT_EQ(dslite({"data", "check", chat}).exit_code, 2);
  EXPECT_EQ(dslite({"data", "show", output, "0", "--tokenizer", tokenizer}).exit_code, 2);
}

TEST_F(DataCommand, ShowRefusesAnotherTokenizer) {
  ASSERT_EQ(prepare({folder / "chat.jsonl"}).exit_code, 0);
  ASSERT_EQ(dslite({"tokenizer", "train", "--vocab-size", "260", "--output", folder / "other", folder / "text.txt"})
                .exit_code,
            0);
  const ProcessResult result = dslite({"data", "show", output, "--tokenizer", folder / "other"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("another tokenizer"));
}

}  // namespace
}  // namespace dslite
