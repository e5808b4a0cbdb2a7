// A progress line on stderr: rate and time left, redrawn on a terminal, one line every few seconds elsewhere.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

namespace dslite {

class Progress {
 public:
  // total < 0: unknown. `unit`: "documents", "bytes", "tokens", "steps".
  Progress(std::string label, int64_t total, std::string unit);
  ~Progress();  // ends the line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  // `done` counts from 0; `details` is appended to the line ("loss 3.21").
  void update(int64_t done, const std::string& details = {});
  // What was done before this process began (a run that goes on): left out of the rate.
  void start_from(int64_t done) { first_done_ = done; }
  void finish();

 private:
  void print(int64_t done, const std::string& details, bool last);
  std::string label_, unit_, details_;
  int64_t total_, done_ = 0, first_done_ = 0;
  bool terminal_, finished_ = false;
  size_t printed_width_ = 0;
  std::chrono::steady_clock::time_point start_, last_print_;
};

// 83 -> "1m23s"; 3700 -> "1h01m".
std::string duration_text(double seconds);
// 1234567 -> "1.23M"
std::string count_text(double count);
// 1610612736 -> "1.50 GiB"
std::string bytes_text(double bytes);

}  // namespace dslite
