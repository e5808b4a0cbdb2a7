// dslite bench: the slice it measures, its statistics, and wrong command lines.
#include "src/cli/bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>

namespace dslite {
namespace {

using ::testing::HasSubstr;

struct Outcome {
  int exit_code;
  std::string text;  // stdout and stderr
};

Outcome run(const std::string& arguments) {
  const std::string command = std::string(DSLITE_BINARY_DIR) + "/src/dslite " + arguments + " 2>&1";
  FILE* pipe = popen(command.c_str(), "r");
  Outcome outcome{-1, {}};
  for (int c; (c = std::fgetc(pipe)) != EOF;) outcome.text += static_cast<char>(c);
  outcome.exit_code = WEXITSTATUS(pclose(pipe));
  return outcome;
}

TEST(Bench, TheSliceHasTheWidthOfV2Lite) {
  const ParameterCounts counts = count_parameters(v2_lite_slice(3));
  EXPECT_EQ(counts.embedding, 32000 * 2048);
  EXPECT_EQ(counts.routed_experts, 2LL * 64 * 3 * 2048 * 1408);
  EXPECT_NEAR(static_cast<double>(counts.total), 1.38e9, 0.005e9);
  EXPECT_EQ(count_parameters(v2_lite_slice(1)).routed_experts, 0);
}

TEST(Bench, MedianAndFastest) {
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 3, 2}), 2.5);
  EXPECT_EQ(fastest({3, 1, 2}), 1);
  int calls = 0;
  const auto seconds = time_runs([&] { ++calls; });
  EXPECT_EQ(calls, static_cast<int>(seconds.size()) + 1);
  EXPECT_EQ(seconds.size(), 10u);
}

TEST(Bench, RefusesWrongCommandLines) {
  const struct {
    const char *arguments, *message;
  } cases[] = {
      {"bench trai", "did you mean \"train\"?"},
      {"bench gemm --steps 5", "--steps belongs to train"},
      {"bench decode --tokens 5", "--tokens belongs to train"},
      {"bench attention --layers 1", "--layers belongs to train and decode"},
      {"bench train --layers 0", "--layers"},
      {"bench train --tokens 1", "--tokens"},
      {"bench train --steps 1.5", "--steps"},
      {"bench gemm experts", "experts"},
      {"bench --jsn", "--jsn"},
  };
  for (const auto& one : cases) {
    const Outcome outcome = run(one.arguments);
    EXPECT_EQ(outcome.exit_code, 2) << one.arguments << "\n" << outcome.text;
    EXPECT_THAT(outcome.text, HasSubstr(one.message)) << one.arguments;
  }
}

}  // namespace
}  // namespace dslite
