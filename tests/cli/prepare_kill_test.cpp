// A `prepare` that is killed at random instants leaves what was there before or what an undisturbed one writes, and the
// next one clears up after it.
#include <gtest/gtest.h>
#include <signal.h>
#include <time.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <set>

#include "src/base/random.h"
#include "src/data/token_store.h"
#include "tests/support/process.h"
#include "tests/support/temp_folder.h"

namespace dslite {
namespace {

using dslite::testing::ChildProcess;
using dslite::testing::run_program;

class PrepareKill : public ::testing::Test {
 protected:
  static constexpr const char* kFiles[] = {"out.h5", "out.validation.h5", "rejects.jsonl"};
  void SetUp() override {
    std::string text, chat;
    for (int i = 0; i < 40000; ++i) {
      const std::string question = "what is the answer to the question number " + std::to_string(i * i) + "?";
      if (i < 200) text += question + "\n";
      chat += i % 100 == 7
                  ? "{damaged\n"
                  : R"({"messages":[{"role":"user","content":")" + question +
                        R"("},{"role":"assistant","content":"the answer is that of )" + std::to_string(i) + "\"}]}\n";
    }
    write_text(folder / "text.txt", text);
    write_text(folder / "chat.jsonl", chat);
    write_text(folder / "old.jsonl", chat.substr(0, chat.size() / 100));
    ASSERT_EQ(run_program({binary, "tokenizer", "train", "--vocab-size", "270", "--output", folder / "tokenizer",
                           folder / "text.txt"})
                  .exit_code,
              0);
  }
  std::vector<std::string> arguments(const std::string& input, const std::string& work) const {
    return {binary,           "prepare",   "--tokenizer",           folder / "tokenizer", "--output",
            work + "/out.h5", "--rejects", work + "/rejects.jsonl", "--max-rejects",      "5%",
            "--validation",   "10%",       folder / input};
  }
  std::map<std::string, std::string> run(const std::string& input, const std::string& work) const {
    std::filesystem::create_directories(work);
    const auto result = run_program(arguments(input, work));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return contents(work);
  }
  static std::map<std::string, std::string> contents(const std::string& work) {
    std::map<std::string, std::string> bytes;
    for (const char* name : kFiles) bytes[name] = read_text(work + "/" + name);
    return bytes;
  }
  TempFolder folder;
  const std::string binary = DSLITE_BINARY_DIR "/src/dslite";
};

TEST_F(PrepareKill, LeavesTheOldFileOrTheWholeNewOneAndNoLitter) {
  const auto start = std::chrono::steady_clock::now();
  const auto expected = run("chat.jsonl", folder / "whole");
  const double whole = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const auto old = run("old.jsonl", folder / "old");
  const RandomStream random(9, RandomPurpose::kTest);
  const std::string work = folder / "work";
  std::set<std::string> seen;
  for (uint64_t kill = 0; kill < 12; ++kill) {
    std::filesystem::remove_all(work);
    if (kill % 3 == 2) {
      std::filesystem::create_directories(work);  // nothing was there before
    } else {
      std::filesystem::copy(folder / "old", work);
    }
    {
      ChildProcess child(arguments("chat.jsonl", work), folder / "log");
      const auto nanoseconds = static_cast<long>(1e9 * whole * random.uniform(kill));
      const timespec instant{nanoseconds / 1000000000, nanoseconds % 1000000000};
      ::nanosleep(&instant, nullptr);
      child.send(SIGKILL);
      child.wait();
    }
    for (const char* name : kFiles) {
      const std::string path = work + "/" + name;
      if (std::filesystem::exists(path)) {
        const std::string bytes = read_text(path);
        EXPECT_TRUE(bytes == expected.at(name) || (kill % 3 != 2 && bytes == old.at(name))) << path;
      }
      // What is left under the temporary name is refused, unless nothing but the renaming was missing.
      if (std::filesystem::exists(path + ".tmp")) {
        const bool sound = std::string(name).ends_with(".h5") && verify_token_file(path + ".tmp").empty();
        EXPECT_TRUE(!sound || read_text(path + ".tmp") == expected.at(name)) << path;
        seen.insert(sound ? "whole" : "part");
      }
    }
    EXPECT_TRUE(run("chat.jsonl", work) == expected) << "after kill " << kill;
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(work)) names.insert(entry.path().filename());
    EXPECT_EQ(names, (std::set<std::string>{"out.h5", "out.h5.json", "out.validation.h5", "out.validation.h5.json",
                                            "rejects.jsonl"}));
  }
  EXPECT_TRUE(seen.contains("part"));  // some were killed at work
}

}  // namespace
}  // namespace dslite
