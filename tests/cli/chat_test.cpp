// dslite chat: turns, commands, errors that do not end it, Ctrl-C.
#include <gtest/gtest.h>

#include "tests/cli/model_folder_fixture.h"

namespace dslite::testing {
namespace {

// What the chat prints for these user messages, by the training forward: replies keep their ids, an unfinished one is
// ended by eos.
std::string expected_replies(const ModelFolderFixture& fixture, const std::vector<std::string>& said,
                             int64_t max_new_tokens, const std::string& system = {}) {
  std::vector<int32_t> tokens;
  std::string out;
  for (size_t turn = 0; turn < said.size(); ++turn) {
    std::vector<Message> messages;
    if (turn == 0 && !system.empty()) messages.push_back({Role::kSystem, system});
    messages.push_back({Role::kUser, said[turn]});
    auto more = tokenize_chat(fixture.tokenizer(), fixture.chat_format().render(messages, true)).tokens;
    if (turn > 0) more.erase(more.begin());  // bos
    tokens.insert(tokens.end(), more.begin(), more.end());
    const auto reply = fixture.greedy(tokens, max_new_tokens);
    out += fixture.tokenizer().decode(reply, true) + "\n";
    tokens.insert(tokens.end(), reply.begin(), reply.end());
    if (reply.back() != fixture.eos()) tokens.push_back(fixture.eos());
  }
  return out;
}

TEST(Chat, TurnsResetSystemAndQuit) {
  const ModelFolderFixture fixture;
  const auto run = [&](const std::string& input) { return fixture.run("chat", {"--max-new-tokens", "7"}, input); };
  const auto one = run("what is 1 + 2?\n/quit\nnever read\n");
  EXPECT_EQ(one.exit_code, 0) << one.err;
  EXPECT_EQ(one.out, expected_replies(fixture, {"what is 1 + 2?"}, 7));
  EXPECT_EQ(run("the fox\nand the dog\n\nover\n").out,
            expected_replies(fixture, {"the fox", "and the dog", "over"}, 7));
  EXPECT_EQ(run("the fox\n/reset\nthe dog\n").out,
            expected_replies(fixture, {"the fox"}, 7) + expected_replies(fixture, {"the dog"}, 7));
  EXPECT_EQ(run("the fox\n/system Be brief.\nthe dog\n/reset\nthe dog\n").out,
            expected_replies(fixture, {"the fox"}, 7) + expected_replies(fixture, {"the dog"}, 7, "Be brief.") +
                expected_replies(fixture, {"the dog"}, 7, "Be brief."));
}

TEST(Chat, AMistakeDoesNotEndTheConversation) {
  const ModelFolderFixture fixture;
  const auto result = fixture.run("chat", {"--max-new-tokens", "7"},
                                  "/resett\nthe fox\nbad \xff bytes\n" + std::string(3000, 'x') + "\nand the dog\n");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, expected_replies(fixture, {"the fox", "and the dog"}, 7));
  EXPECT_NE(result.err.find("/reset"), std::string::npos);
  EXPECT_NE(result.err.find("max_position_embeddings"), std::string::npos) << result.err;
}

TEST(Chat, WrongUsageIsExit2) {
  const ModelFolderFixture fixture({.chat_template = false});
  EXPECT_EQ(fixture.run("chat", {}, "hello\n").exit_code, 2);
  EXPECT_EQ(fixture.run("chat", {"--temperature", "-3"}, "").exit_code, 2);
  EXPECT_EQ(run_program({dslite_program(), "chat"}).exit_code, 2);
}

TEST(Chat, InterruptStopsTheReplyOnly) {
  const ModelFolderFixture fixture({.max_position_embeddings = 30000});
  // The signal comes after the reply's first character; then the chat must still take the next message and /quit.
  const std::string script = R"sh(
coproc CHAT { exec "$@"; }
pid=$CHAT_PID
exec 3<&"${CHAT[0]}" 4>&"${CHAT[1]}"
echo 'the fox' >&4
IFS= read -r -N 1 -u 3 first
kill -INT "$pid"
printf '/reset\n/quit\n' >&4
exec 4>&-
size=$(wc -c <&3)
wait "$pid"
echo "exit $? size $size"
)sh";
  const ProcessResult result =
      run_program({"/bin/bash", "-c", script, "bash", dslite_program(), "chat", "--model", fixture.folder(),
                   "--threads", "1", "--max-new-tokens", "29000", "--temperature", "1", "--seed", "3"});
  ASSERT_EQ(result.out.rfind("exit 0 size ", 0), 0u) << result.out << result.err;
  EXPECT_LT(std::stol(result.out.substr(12)), 20000);  // 29,000 random tokens would be more
}

}  // namespace
}  // namespace dslite::testing
