// A run that is killed at random instants, or stopped by a signal, ends with the bits of an undisturbed one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <time.h>

#include <chrono>

#include "src/base/random.h"
#include "tests/cli/tiny_run.h"

namespace dslite::testing {
namespace {

using ::testing::HasSubstr;

std::vector<std::string> with_binary(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), dslite_binary());
  return arguments;
}

void expect_equal(const RunResult& a, const RunResult& b) {
  EXPECT_EQ(a.newest_checkpoint, b.newest_checkpoint);
  EXPECT_EQ(a.metrics, b.metrics);
  ASSERT_EQ(a.tensor_files.size(), b.tensor_files.size());
  for (size_t i = 0; i < a.tensor_files.size(); ++i) {
    EXPECT_EQ(a.tensor_files[i].first, b.tensor_files[i].first);
    EXPECT_TRUE(a.tensor_files[i].second == b.tensor_files[i].second) << a.tensor_files[i].first;
  }
}

// Lets the child live for a random part of `whole`, then kills it.
void kill_within(ChildProcess& child, double whole_seconds, double part) {
  const double seconds = whole_seconds * part;
  timespec instant{static_cast<time_t>(seconds),
                   static_cast<long>((seconds - static_cast<double>(static_cast<time_t>(seconds))) * 1e9)};
  ::nanosleep(&instant, nullptr);
  child.send(SIGKILL);
  child.wait();
}

void kill_and_compare(const TinyRunOptions& options, int kills) {
  const TinyRun tiny(options);
  const auto start = std::chrono::steady_clock::now();
  const ProcessResult undisturbed = dslite(tiny.train_arguments(tiny.path("whole")));
  const double whole = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  ASSERT_EQ(undisturbed.exit_code, 0) << undisturbed.err;
  const RunResult expected = run_result(tiny.path("whole"));
  const RandomStream random(7, RandomPurpose::kTest);
  for (int i = 0; i < kills; ++i) {
    const std::string folder = tiny.path("killed-" + std::to_string(i));
    const std::vector<std::string> threads =
        i % 2 ? std::vector<std::string>{"--threads", "1"} : std::vector<std::string>{};
    ChildProcess child(with_binary(tiny.train_arguments(folder, threads)), tiny.path("log"));
    kill_within(child, whole, random.uniform(static_cast<uint64_t>(i)));
    const ProcessResult again = dslite(tiny.train_arguments(folder, threads));
    ASSERT_EQ(again.exit_code, 0) << again.err;
    expect_equal(expected, run_result(folder));
  }
}

TEST(Resume, KilledAtRandomInstantsFloat32) { kill_and_compare({}, 12); }
TEST(Resume, KilledAtRandomInstantsBfloat16) {
  kill_and_compare({.dtype = "bfloat16", .moments = "bfloat16", .q_lora = true}, 8);
}

TEST(Resume, SigtermSavesAndExits75) {
  const TinyRun tiny;
  ASSERT_EQ(dslite(tiny.train_arguments(tiny.path("whole"))).exit_code, 0);
  const std::string folder = tiny.path("stopped");
  ChildProcess child(with_binary(tiny.train_arguments(folder, {"run.save_every=0"})), tiny.path("log"));
  while (child.running() && !std::filesystem::exists(folder + "/metrics.jsonl")) ::sched_yield();
  while (child.running() && std::filesystem::file_size(folder + "/metrics.jsonl") == 0) ::sched_yield();
  child.send(SIGTERM);
  ASSERT_EQ(child.wait(), 75) << read_text(tiny.path("log"));
  EXPECT_THAT(read_text(tiny.path("log")), HasSubstr("the same command goes on"));
  ASSERT_EQ(dslite(tiny.train_arguments(folder)).exit_code, 0);
  expect_equal(run_result(tiny.path("whole")), run_result(folder));
}

TEST(Resume, AFinishedRunStaysAndALargerTotalGoesOn) {
  const TinyRun tiny;
  const std::string folder = tiny.path("run");
  ASSERT_EQ(dslite(tiny.train_arguments(folder, {"schedule.kind=constant"})).exit_code, 0);
  const RunResult first = run_result(folder);
  const ProcessResult again = dslite(tiny.train_arguments(folder, {"schedule.kind=constant"}));
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_THAT(again.err, HasSubstr("complete"));
  expect_equal(first, run_result(folder));
  ASSERT_EQ(dslite(tiny.train_arguments(folder, {"schedule.kind=constant", "run.total_tokens=10240"})).exit_code, 0);
  EXPECT_EQ(run_result(folder).newest_checkpoint, "step-40");
}

TEST(Resume, AnotherRecipeIsRefused) {
  const TinyRun tiny;
  const std::string folder = tiny.path("run");
  ASSERT_EQ(dslite(tiny.train_arguments(folder)).exit_code, 0);
  const ProcessResult other = dslite(tiny.train_arguments(folder, {"optimizer.learning_rate=1e-3"}));
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("optimizer.learning_rate"));
  EXPECT_THAT(other.err, HasSubstr("0.003"));
  EXPECT_THAT(other.err, HasSubstr("0.001"));
}

TEST(Resume, ADamagedNewestCheckpointFallsBack) {
  const TinyRun tiny;
  const std::string folder = tiny.path("run");
  ASSERT_EQ(dslite(tiny.train_arguments(folder)).exit_code, 0);
  const RunResult expected = run_result(folder);
  const std::string newest =
      folder + "/checkpoints/" + expected.newest_checkpoint + "/" + expected.tensor_files[0].first;
  std::string bytes = read_text(newest);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x10);
  write_text(newest, bytes);
  const ProcessResult again = dslite(tiny.train_arguments(folder));
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr(expected.newest_checkpoint + " is rejected"));
  expect_equal(expected, run_result(folder));
}

TEST(Train, CheckPrintsThePlanAndWritesNothing) {
  const TinyRun tiny;
  const ProcessResult check = dslite(tiny.train_arguments(tiny.path("none"), {"--check"}));
  EXPECT_EQ(check.exit_code, 0) << check.err;
  for (const char* part : {"parameters", "30 steps", "memory"}) EXPECT_THAT(check.out, HasSubstr(part));
  EXPECT_FALSE(std::filesystem::exists(tiny.path("none")));
}

TEST(Train, NotARunFolder) {
  const TinyRun tiny;
  std::filesystem::create_directories(tiny.path("mine"));
  write_text(tiny.path("mine/thesis.txt"), "precious");
  const ProcessResult refused = dslite(tiny.train_arguments(tiny.path("mine")));
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("not empty"));
  EXPECT_EQ(read_text(tiny.path("mine/thesis.txt")), "precious");
}

}  // namespace
}  // namespace dslite::testing
