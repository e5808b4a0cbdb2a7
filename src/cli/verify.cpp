// dslite verify: is this checkpoint, run, dataset or model folder sound?
#include <cstdio>
#include <iostream>

#include "src/base/error.h"
#include "src/base/json.h"
#include "src/checkpoint/run_checkpoint.h"
#include "src/cli/cli.h"
#include "src/cli/path_kind.h"
#include "src/data/token_store.h"
#include "src/model_folder/model_folder.h"

namespace dslite {
namespace {

std::vector<std::string> verify_checkpoint(const std::string& folder) {
  try {
    const Checkpoint checkpoint(folder);
    return {};
  } catch (const Error& error) {
    return {error.what()};
  }
}

std::vector<std::string> verify_run(const std::string& path) {
  std::vector<std::string> problems;
  const std::vector<CheckpointInfo> checkpoints = list_checkpoints(path);
  if (checkpoints.empty()) problems.push_back(fmt::format("{}: the run has no checkpoint", path));
  for (const CheckpointInfo& info : checkpoints) {
    for (std::string& problem : verify_checkpoint(info.folder)) problems.push_back(std::move(problem));
  }
  return problems;
}

std::vector<std::string> problems_of(const std::string& path) {
  switch (kind_of_path(path)) {
    case PathKind::kConfigFile:
      try {
        read_model_config(path, nullptr);
        return {};
      } catch (const Error& error) {
        return {error.what()};
      }
    case PathKind::kTokenFile:
      return verify_token_file(path);
    case PathKind::kModelFolder:
      return verify_model_folder(path);
    case PathKind::kCheckpoint:
      return verify_checkpoint(path);
    case PathKind::kRun:
      return verify_run(path);
  }
  return {};
}

int run_verify(const std::string& path, bool as_json) {
  const std::vector<std::string> problems = problems_of(path);
  if (as_json) {
    std::cout << Json{{"path", path}, {"sound", problems.empty()}, {"problems", problems}}.dump(
                     -1, ' ', false, Json::error_handler_t::replace)
              << "\n";
  } else if (problems.empty()) {
    std::cout << path << ": sound\n";
  }
  std::cout.flush();
  if (!as_json) {
    for (const std::string& problem : problems) std::fprintf(stderr, "error: %s\n", problem.c_str());
  }
  return problems.empty() ? 0 : 2;
}

}  // namespace

Command add_verify(CLI::App& app) {
  const auto path = std::make_shared<std::string>();
  const auto as_json = std::make_shared<bool>(false);
  app.add_option("path", *path, "model folder, checkpoint, run, token file or config.json")->required();
  app.add_flag("--json", *as_json, "one JSON object");
  app.footer("Example: dslite verify runs/sft/checkpoints/step-1000");
  return [path, as_json] { return run_verify(*path, *as_json); };
}

}  // namespace dslite
