// `dslite tokenizer`: training, encoding and decoding through the binary, exit codes and messages.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/base/json.h"
#include "tests/support/process.h"
#include "tests/support/temp_folder.h"

namespace dslite {
namespace {

using ::testing::HasSubstr;
using testing::ProcessResult;

const std::string kDslite = DSLITE_BINARY_DIR "/src/dslite";
const std::string kTokenizer = DSLITE_SOURCE_DIR "/tests/golden/text/small_tokenizer";

ProcessResult run(std::vector<std::string> arguments, const std::string& input = {}) {
  arguments.insert(arguments.begin(), {kDslite, "tokenizer"});
  return testing::run_program(arguments, input);
}

TEST(TokenizerCommand, EncodeAndDecodeAreInverse) {
  const std::string text = "Hello, Größe 12\n模型\r\n\n  end";
  const ProcessResult encoded = run({"encode", "--tokenizer", kTokenizer}, text);
  EXPECT_EQ(encoded.exit_code, 0) << encoded.err;
  EXPECT_TRUE(parse_json(encoded.out, "out").is_array());
  const ProcessResult decoded = run({"decode", "--tokenizer", kTokenizer}, encoded.out);
  EXPECT_EQ(decoded.exit_code, 0) << decoded.err;
  EXPECT_EQ(decoded.out, text);
}

TEST(TokenizerCommand, LinesAreEncodedAndDecodedOneByOne) {
  const ProcessResult encoded = run({"encode", "--tokenizer", kTokenizer, "--lines"}, "one\n\nthree");
  EXPECT_EQ(std::count(encoded.out.begin(), encoded.out.end(), '\n'), 3);
  EXPECT_EQ(run({"decode", "--tokenizer", kTokenizer, "--lines"}, encoded.out).out, "one\n\nthree\n");
  EXPECT_EQ(run({"encode", "--tokenizer", kTokenizer, "--lines"}, "").out, "");
  EXPECT_EQ(run({"encode", "--tokenizer", kTokenizer}, "").out, "[]\n");
}

TEST(TokenizerCommand, SpecialTokensOnlyWhereAskedFor) {
  const std::string eos = "<｜end▁of▁sentence｜>";
  const Json plain = parse_json(run({"encode", "--tokenizer", kTokenizer}, eos).out, "out");
  const Json parsed = parse_json(run({"encode", "--tokenizer", kTokenizer, "--parse-special"}, eos).out, "out");
  const Json added =
      parse_json(run({"encode", "--tokenizer", kTokenizer, "--parse-special", "--add-special"}, eos).out, "out");
  EXPECT_GT(plain.size(), 1u);
  ASSERT_EQ(parsed.size(), 1u);
  ASSERT_EQ(added.size(), 2u);
  EXPECT_EQ(added[1], parsed[0]);
  EXPECT_EQ(run({"decode", "--tokenizer", kTokenizer}, added.dump()).out, "<｜begin▁of▁sentence｜>" + eos);
  EXPECT_EQ(run({"decode", "--tokenizer", kTokenizer, "--skip-special"}, added.dump()).out, "");
}

TEST(TokenizerCommand, BadInputNamesItsPlace) {
  const struct {
    std::vector<std::string> arguments;
    std::string input, message;
  } cases[] = {
      {{"encode", "--tokenizer", kTokenizer}, "ab\xff", "stdin: not UTF-8 at byte 2"},
      {{"encode", "--tokenizer", kTokenizer, "--lines"}, "ab\ncd\xc3\n", "stdin: line 2: not UTF-8 at byte 2"},
      {{"encode", "--tokenizer", "/nowhere"}, "", "/nowhere/tokenizer.json: no such file"},
      {{"encode"}, "", "--tokenizer"},
      {{"decode", "--tokenizer", kTokenizer}, "[1, 2", "stdin:1:"},
      {{"decode", "--tokenizer", kTokenizer}, "", "stdin:1:"},
      {{"decode", "--tokenizer", kTokenizer}, "{}", "expected a JSON list of ids"},
      {{"decode", "--tokenizer", kTokenizer}, "[1] [2]", "stdin:1:"},
      {{"decode", "--tokenizer", kTokenizer, "--lines"}, "[1]\n[\"a\"]\n", "stdin:2: found"},
      {{"decode", "--tokenizer", kTokenizer, "--lines"},
       "[1]\n[99999]\n",
       "stdin:2: token id 99999 is not in the vocabulary"},
      {{"decode", "--tokenizer", kTokenizer, "--lines"}, "[1]\n\n[2]\n", "stdin:2:"},
      {{"decode", "--tokenizer", kTokenizer}, "[18446744073709551616]", "expected a token id"},
      {{"decode", "--tokenizer", kTokenizer}, "[18446744073709551615]", "expected a token id"},
      {{}, "", "subcommand"},
      {{"split"}, "", "subcommand"},
  };
  for (const auto& [arguments, input, message] : cases) {
    const ProcessResult result = run(arguments, input);
    EXPECT_EQ(result.exit_code, 2) << message;
    EXPECT_THAT(result.err, HasSubstr(message));
  }
}

TEST(TokenizerCommand, TrainWritesAFolderThatEncodes) {
  const TempFolder folder;
  write_text(folder / "corpus.txt", "the cat sat on the mat\nthe dog sat on the log\n模型 训练\n");
  const ProcessResult trained =
      run({"train", "--vocab-size", "260", "--output", folder / "out", folder / "corpus.txt"});
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_EQ(trained.out, "");
  const Json config = read_json_file(folder / "out/tokenizer_config.json");
  EXPECT_EQ(config["tokenizer_class"], "PreTrainedTokenizerFast");
  EXPECT_EQ(config["clean_up_tokenization_spaces"], false);
  EXPECT_EQ(config["chat_template"], read_text(folder / "out/chat_template.jinja"));
  const Json added = read_json_file(folder / "out/tokenizer.json")["added_tokens"];
  EXPECT_EQ(added[0]["id"], 258);
  EXPECT_EQ(added[1]["id"], 259);
  const std::string first = read_text(folder / "out/tokenizer.json");
  const ProcessResult encoded = run({"encode", "--tokenizer", folder / "out", "--add-special"}, "the cat ü");
  EXPECT_EQ(parse_json(encoded.out, "out")[0], 258);
  ASSERT_EQ(run({"train", "--threads", "2", "--vocab-size", "260", "--output", folder / "out", folder / "corpus.txt"})
                .exit_code,
            0);
  EXPECT_EQ(read_text(folder / "out/tokenizer.json"), first);
}

TEST(TokenizerCommand, TrainRefusesWhatItCannotDo) {
  const TempFolder folder;
  write_text(folder / "short.txt", "abab ab\n");
  write_text(folder / "bad.txt", "good\n\xff\n");
  const auto train = [&](const std::string& size, const std::string& text) {
    return run({"train", "--vocab-size", size, "--output", folder / "out", folder / text});
  };
  EXPECT_THAT(train("300", "short.txt").err, HasSubstr("these texts give at most 248 tokens"));
  EXPECT_THAT(train("244", "short.txt").err, HasSubstr("--vocab-size"));
  EXPECT_THAT(train("260", "bad.txt").err, HasSubstr("bad.txt: not UTF-8 at byte 5"));
  EXPECT_THAT(train("260", "absent.txt").err, HasSubstr("absent.txt"));
  for (const char* text : {"short.txt", "bad.txt", "absent.txt"}) EXPECT_EQ(train("300", text).exit_code, 2) << text;
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
  EXPECT_EQ(train("248", "short.txt").exit_code, 0);
}

}  // namespace
}  // namespace dslite
