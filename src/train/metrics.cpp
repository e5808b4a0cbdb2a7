// metrics.jsonl and TensorBoard.
#include "src/train/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <numeric>

#include "src/base/error.h"
#include "src/base/files.h"

namespace dslite {
namespace {

std::vector<double> column(const std::vector<ExpertLoad>& load, double (*pick)(const ExpertLoad&)) {
  std::vector<double> values;
  for (const ExpertLoad& layer : load) values.push_back(pick(layer));
  return values;
}

// The lines whose step is at most last_step; what follows the first line that is not whole is dropped.
std::string kept_lines(const std::string& text, int64_t last_step) {
  std::string kept;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (json.is_discarded() || !json.contains("step")) break;
    if (json["step"].get<int64_t>() <= last_step) kept += line + "\n";
  }
  return kept;
}

}  // namespace

ExpertLoad expert_load(const std::vector<int64_t>& expert_tokens) {
  ExpertLoad load;
  const auto total = static_cast<double>(std::accumulate(expert_tokens.begin(), expert_tokens.end(), int64_t{0}));
  const auto num_experts = static_cast<double>(expert_tokens.size());
  for (const int64_t tokens : expert_tokens) {
    if (tokens == 0) {
      ++load.unused;
      continue;
    }
    const double share = static_cast<double>(tokens) / total;
    load.entropy -= share * std::log(share);
    load.max_over_mean = std::max(load.max_over_mean, share * num_experts);
  }
  load.entropy = num_experts > 1 ? load.entropy / std::log(num_experts) : 1;
  return load;
}

Json metrics_json(const StepMetrics& metrics) {
  Json json = {
      {"step", metrics.step},
      {"tokens", metrics.tokens},
      {"trained_tokens", metrics.trained_tokens},
      {"loss", metrics.loss},
      {"accuracy", metrics.accuracy},
      {"balance_loss", metrics.balance_loss},
      {"gradient_norm", metrics.gradient_norm},
      {"learning_rate", metrics.learning_rate},
      {"expert_load_entropy", column(metrics.load, [](const ExpertLoad& l) { return l.entropy; })},
      {"expert_load_max_over_mean", column(metrics.load, [](const ExpertLoad& l) { return l.max_over_mean; })},
      {"unused_experts", column(metrics.load, [](const ExpertLoad& l) { return static_cast<double>(l.unused); })}};
  json["timing"] = {
      {"seconds", metrics.seconds},
      {"tokens_per_second", metrics.seconds > 0 ? static_cast<double>(metrics.step_tokens) / metrics.seconds : 0.0},
      {"share_of_peak", metrics.share_of_peak},
      {"data_wait_seconds", metrics.data_wait_seconds},
      {"resident_bytes", metrics.resident_bytes}};
  return json;
}

MetricsLog::MetricsLog(const std::string& run_folder, int64_t last_step, bool tensorboard,
                       const std::vector<int64_t>& moe_layers)
    : path_(run_folder + "/metrics.jsonl"), moe_layers_(moe_layers) {
  if (std::filesystem::exists(path_)) {
    const std::string text = read_file(path_), kept = kept_lines(text, last_step);
    if (kept != text) write_file_atomically(path_, kept);
  }
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail_work("cannot open {}: {}", path_, std::strerror(errno));
  if (tensorboard)
    tensorboard_ = std::make_unique<TensorBoardWriter>(run_folder + "/tensorboard", last_step > 0 ? last_step + 1 : 0);
}
MetricsLog::~MetricsLog() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void MetricsLog::line(const Json& json) {
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  for (size_t done = 0; done < text.size();) {
    const ssize_t written = ::write(descriptor_, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail_work("cannot write {}: {}", path_, std::strerror(errno));
    done += static_cast<size_t>(written);
  }
}

void MetricsLog::write(const StepMetrics& metrics) {
  line(metrics_json(metrics));
  if (!tensorboard_) return;
  std::vector<std::pair<std::string, double>> values = {
      {"train/loss", metrics.loss},
      {"train/accuracy", metrics.accuracy},
      {"train/gradient_norm", metrics.gradient_norm},
      {"train/learning_rate", metrics.learning_rate},
      {"speed/tokens_per_second",
       metrics.seconds > 0 ? static_cast<double>(metrics.step_tokens) / metrics.seconds : 0.0},
      {"speed/share_of_peak", metrics.share_of_peak},
      {"speed/data_wait_seconds", metrics.data_wait_seconds},
      {"memory/resident_gib", static_cast<double>(metrics.resident_bytes) / 0x1p30}};
  double balance = 0;
  for (size_t i = 0; i < metrics.load.size(); ++i) {
    const std::string layer = fmt::format("layer_{:02d}", moe_layers_[i]);
    balance += metrics.balance_loss[i];
    values.emplace_back("balance_loss/" + layer, metrics.balance_loss[i]);
    values.emplace_back("expert_load_entropy/" + layer, metrics.load[i].entropy);
    values.emplace_back("expert_load_max_over_mean/" + layer, metrics.load[i].max_over_mean);
    values.emplace_back("unused_experts/" + layer, static_cast<double>(metrics.load[i].unused));
  }
  if (!metrics.load.empty()) values.emplace_back("train/balance_loss", balance);
  tensorboard_->scalars(metrics.step, values);
  tensorboard_->flush();
}

void MetricsLog::write(const ValidationMetrics& metrics, double seconds) {
  line({{"step", metrics.step},
        {"validation_loss", metrics.loss},
        {"validation_accuracy", metrics.accuracy},
        {"timing", {{"seconds", seconds}}}});
  if (!tensorboard_) return;
  tensorboard_->scalars(metrics.step, {{"validation/loss", metrics.loss}, {"validation/accuracy", metrics.accuracy}});
  tensorboard_->flush();
}

void MetricsLog::write_sample(int64_t step, const std::string& prompt, const std::string& completion) {
  line({{"step", step}, {"prompt", prompt}, {"completion", completion}});
  if (!tensorboard_) return;
  tensorboard_->text(step, "sample/" + prompt.substr(0, 40), completion);
  tensorboard_->flush();
}

void MetricsLog::sync() {
  if (::fsync(descriptor_) != 0) fail_work("cannot sync {}: {}", path_, std::strerror(errno));
}

}  // namespace dslite
