// metrics.jsonl is cut back on continuing; expert load statistics; TensorBoard framing.
#include "src/train/metrics.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "src/base/files.h"

namespace dslite {
namespace {

class MetricsTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/metrics_" + std::to_string(::getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST_F(MetricsTest, CutsBackToTheCheckpoint) {
  std::ofstream(folder_ + "/metrics.jsonl")
      << "{\"step\":1}\n{\"step\":2}\n{\"step\":2,\"validation_loss\":1}\n{\"step\":3}\n{\"ste";
  { const MetricsLog log(folder_, 2, false, {}); }
  EXPECT_EQ(read_file(folder_ + "/metrics.jsonl"), "{\"step\":1}\n{\"step\":2}\n{\"step\":2,\"validation_loss\":1}\n");
}

TEST_F(MetricsTest, ATornLineGoesEvenWhenItsStepIsKept) {
  std::ofstream(folder_ + "/metrics.jsonl") << "{\"step\":1}\n{\"step\":2";
  { const MetricsLog log(folder_, 9, false, {}); }
  EXPECT_EQ(read_file(folder_ + "/metrics.jsonl"), "{\"step\":1}\n");
}

TEST_F(MetricsTest, SpeedStandsInTimingAlone) {
  StepMetrics slow{.step = 1, .loss = 2, .seconds = 3, .step_tokens = 9, .resident_bytes = 5}, fast = slow;
  fast.seconds = 1;
  fast.resident_bytes = 7;
  fast.share_of_peak = 0.5;
  Json a = metrics_json(slow), b = metrics_json(fast);
  EXPECT_NE(a.dump(), b.dump());
  a.erase("timing");
  b.erase("timing");
  EXPECT_EQ(a.dump(), b.dump());
}

TEST(ExpertLoadTest, UniformSkewedAndUnused) {
  EXPECT_DOUBLE_EQ(expert_load({5, 5, 5, 5}).entropy, 1);
  EXPECT_DOUBLE_EQ(expert_load({5, 5, 5, 5}).max_over_mean, 1);
  const ExpertLoad one = expert_load({8, 0, 0, 0});
  EXPECT_EQ(one.entropy, 0);
  EXPECT_EQ(one.max_over_mean, 4);
  EXPECT_EQ(one.unused, 3);
  EXPECT_DOUBLE_EQ(expert_load({4, 4, 0, 0}).entropy, 0.5);
}

// Reads the TFRecord framing back, with an independent CRC-32C (bit by bit).
uint32_t slow_crc32c(const std::string& bytes) {
  uint32_t crc = ~0u;
  for (const char c : bytes) {
    for (int bit = 0; bit < 8; ++bit) {
      const uint32_t in = (static_cast<unsigned char>(c) >> bit) & 1;
      crc = (crc >> 1) ^ (((crc ^ in) & 1) ? 0x82F63B78u : 0);
    }
  }
  return ~crc;
}

TEST_F(MetricsTest, TensorBoardRecordsAreFramed) {
  {
    TensorBoardWriter writer(folder_, 5);
    writer.scalars(5, {{"train/loss", 1.5}});
    writer.text(5, "sample", "hello");
  }
  std::string bytes;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) bytes = read_file(entry.path().string());
  std::vector<std::string> events;
  for (size_t at = 0; at < bytes.size();) {
    uint64_t length;
    uint32_t length_crc, event_crc;
    std::memcpy(&length, bytes.data() + at, 8);
    std::memcpy(&length_crc, bytes.data() + at + 8, 4);
    ASSERT_LE(at + 16 + length, bytes.size());
    events.push_back(bytes.substr(at + 12, length));
    std::memcpy(&event_crc, bytes.data() + at + 12 + length, 4);
    const auto masked = [](uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u; };
    EXPECT_EQ(length_crc, masked(slow_crc32c(bytes.substr(at, 8))));
    EXPECT_EQ(event_crc, masked(slow_crc32c(events.back())));
    at += 16 + length;
  }
  ASSERT_EQ(events.size(), 4u);  // version, session start, scalars, text
  EXPECT_NE(events[0].find("brain.Event:2"), std::string::npos);
  EXPECT_NE(events[2].find("train/loss"), std::string::npos);
  EXPECT_NE(events[3].find("hello"), std::string::npos);
}

}  // namespace
}  // namespace dslite
