// Progress line.
#include "src/base/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

namespace dslite {

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole < 60) return fmt::format("{}s", whole);
  if (whole < 3600) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  if (whole < 48 * 3600) return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
  return fmt::format("{}d{:02}h", whole / 86400, whole / 3600 % 24);
}
std::string count_text(double count) {
  const char* suffixes[] = {"", "K", "M", "B", "T"};
  int i = 0;
  while (std::abs(count) >= 1000 && i < 4) count /= 1000, ++i;
  if (i == 0) return fmt::format("{:.{}f}", count, count == std::floor(count) ? 0 : 1);
  return fmt::format("{:.{}f}{}", count, count < 10 ? 2 : count < 100 ? 1 : 0, suffixes[i]);
}
std::string bytes_text(double bytes) {
  const char* suffixes[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int i = 0;
  while (std::abs(bytes) >= 1024 && i < 4) bytes /= 1024, ++i;
  return fmt::format("{:.{}f} {}", bytes, i == 0 ? 0 : 2, suffixes[i]);
}

Progress::Progress(std::string label, int64_t total, std::string unit)
    : label_(std::move(label)), unit_(std::move(unit)), total_(total), terminal_(isatty(STDERR_FILENO)), start_(std::chrono::steady_clock::now()), last_print_(start_) {}
Progress::~Progress() { finish(); }

void Progress::update(int64_t done, const std::string& details) {
  done_ = done;
  details_ = details;
  const auto now = std::chrono::steady_clock::now();
  const auto interval = terminal_ ? std::chrono::milliseconds(200) : std::chrono::milliseconds(5000);
  if (now - last_print_ < interval) return;
  last_print_ = now;
  print(done, details, false);
}

void Progress::finish() {
  if (finished_) return;
  finished_ = true;
  print(done_, details_, true);
}

void Progress::print(int64_t done, const std::string& details, bool last) {
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(done - first_done_) / seconds : 0;
  std::string line = label_ + " " + count_text(static_cast<double>(done));
  if (total_ >= 0) line += fmt::format("/{} {:3.0f} %", count_text(static_cast<double>(total_)), total_ > 0 ? 100.0 * static_cast<double>(done) / static_cast<double>(total_) : 100.0);
  line += fmt::format(" {}/s {}", count_text(rate), unit_);
  if (last) {
    line += " in " + duration_text(seconds);
  } else if (total_ >= 0) {
    line += ", " + (rate > 0 ? duration_text(static_cast<double>(total_ - done) / rate) : std::string("?")) + " left";
  }
  if (!details.empty()) line += ", " + details;
  const size_t width = line.size();
  if (terminal_ && width < printed_width_) line.append(printed_width_ - width, ' ');
  printed_width_ = width;
  std::fprintf(stderr, terminal_ ? (last ? "\r%s\n" : "\r%s") : "%s\n", line.c_str());
}

}  // namespace dslite
