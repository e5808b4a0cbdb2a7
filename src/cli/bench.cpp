// dslite bench [NAME] [--json]: throughput with the share of the machine's peak measured in the same process.
#include "src/cli/bench.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>

#include "kernels/common/cpu.h"
#include "src/base/error.h"
#include "src/base/parallel_for.h"
#include "src/cli/cli.h"

namespace dslite {
namespace {

struct Benchmark {
  const char* name;
  const char* description;
  BenchResult (*run)(const BenchOptions&, MeasuredPeak&);
};

constexpr Benchmark kBenchmarks[] = {
    {"gemm", "products of the shared experts, 2,048 tokens", bench_gemm},
    {"experts", "routed experts at 192 rows each", bench_experts},
    {"attention", "MLA attention of 16 heads over 2,048 tokens", bench_attention},
    {"decode", "one token after another through the latent cache, on the slice of V2-Lite", bench_decode},
    {"train", "whole training steps of the slice of V2-Lite, AdamW included", bench_train},
};

struct Arguments {
  std::string name;
  BenchOptions options;
  bool json = false;
  std::string dtype = "bfloat16";
  CLI::Option *steps = nullptr, *tokens = nullptr, *layers = nullptr, *dtype_option = nullptr;
};

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const Benchmark& benchmark : kBenchmarks) all.emplace_back(benchmark.name);
  return all;
}

void check_name(const std::string& name) {
  const std::vector<std::string> known = names();
  if (name.empty() || std::find(known.begin(), known.end(), name) != known.end()) return;
  fail_input("bench: found {}, expected {}{}", shown(name), fmt::join(known, ", "), suggestion(name, known));
}

void refuse_ignored_options(const Arguments& arguments) {
  const std::string& name = arguments.name;
  const bool trains = name.empty() || name == "train", has_layers = trains || name == "decode";
  if (!trains && arguments.steps->count() > 0) fail_input("bench {}: --steps belongs to train", name);
  if (!trains && arguments.tokens->count() > 0) fail_input("bench {}: --tokens belongs to train", name);
  if (!trains && arguments.dtype_option->count() > 0) fail_input("bench {}: --dtype belongs to train", name);
  if (!has_layers && arguments.layers->count() > 0) fail_input("bench {}: --layers belongs to train and decode", name);
}

Json machine_json(const PeakRates& peak) {
  return {{"threads", num_threads()},
          {"instruction_set", kernels::instruction_set_name(kernels::chosen_instruction_set())},
          {"peak_flops_per_second", {{"float32", peak.flops_per_second}, {"bfloat16", peak.bf16_flops_per_second}}},
          {"read_bytes_per_second", peak.read_bytes_per_second}};
}

int run_bench(const Arguments& arguments) {
  check_name(arguments.name);
  refuse_ignored_options(arguments);
  MeasuredPeak peak;
  Json report = {{"machine", nullptr}};
  for (const Benchmark& benchmark : kBenchmarks) {
    if (!arguments.name.empty() && arguments.name != benchmark.name) continue;
    const BenchResult result = benchmark.run(arguments.options, peak);
    report[benchmark.name] = result.values;
    if (arguments.json) continue;
    std::printf("%-10s%s\n", benchmark.name, result.line.c_str());
    std::fflush(stdout);
  }
  report["machine"] = machine_json(peak.rates());
  if (arguments.json) {
    std::printf("%s\n", report.dump(2).c_str());
  } else {
    std::printf(
        "%-10s%s, %d threads: %.1f GF/s bf16 and %.1f GF/s fp32 multiply-adds, %.1f GB/s read, measured beside the "
        "work\n",
        "machine", kernels::instruction_set_name(kernels::chosen_instruction_set()), num_threads(),
        peak.rates().bf16_flops_per_second * 1e-9, peak.rates().flops_per_second * 1e-9,
        peak.rates().read_bytes_per_second * 1e-9);
  }
  return 0;
}

}  // namespace

void MeasuredPeak::measure_again() {
  const PeakRates now = measure_peak_rates();
  rates_.flops_per_second = std::max(rates_.flops_per_second, now.flops_per_second);
  rates_.bf16_flops_per_second = std::max(rates_.bf16_flops_per_second, now.bf16_flops_per_second);
  rates_.read_bytes_per_second = std::max(rates_.read_bytes_per_second, now.read_bytes_per_second);
}

std::vector<double> time_runs(const std::function<void()>& run) {
  run();
  std::vector<double> seconds;
  double total = 0;
  while (seconds.size() < 3 || (seconds.size() < 10 && total < 2)) {
    const auto start = std::chrono::steady_clock::now();
    run();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    total += seconds.back();
  }
  return seconds;
}

double fastest(const std::vector<double>& seconds) { return *std::min_element(seconds.begin(), seconds.end()); }

double median(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  const size_t half = seconds.size() / 2;
  return seconds.size() % 2 ? seconds[half] : (seconds[half - 1] + seconds[half]) / 2;
}

Command add_bench(CLI::App& app) {
  const auto arguments = std::make_shared<Arguments>();
  std::string help = "what to measure; all when left out\n";
  for (const Benchmark& benchmark : kBenchmarks)
    help += fmt::format("  {}: {}\n", benchmark.name, benchmark.description);
  app.add_option("name", arguments->name, help)->default_str("");
  app.add_flag("--json", arguments->json, "one JSON object");
  arguments->steps = app.add_option("--steps", arguments->options.steps, "train: timed steps, after one that warms up")
                         ->check(CLI::Range(1, 1'000'000));
  arguments->tokens = app.add_option("--tokens", arguments->options.tokens, "train: tokens a step, one segment")
                          ->check(CLI::Range(2, 163'840));
  arguments->layers =
      app.add_option("--layers", arguments->options.layers, "train, decode: layers of V2-Lite; the first is dense")
          ->check(CLI::Range(1, 27));
  arguments->dtype_option =
      app.add_option("--dtype", arguments->dtype, "train: bfloat16 (with split fp32 masters) or float32")
          ->check(CLI::IsMember({"bfloat16", "float32"}));
  app.footer("Example: dslite bench train --layers 2 --json");
  return [arguments] {
    arguments->options.bf16 = arguments->dtype == "bfloat16";
    return run_bench(*arguments);
  };
}

}  // namespace dslite
