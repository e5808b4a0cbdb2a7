// dslite train RECIPE.toml [--check] [section.key=value ...]
#include <cstdio>

#include "src/cli/cli.h"
#include "src/train/training.h"

namespace dslite {

Command add_train(CLI::App& app) {
  struct Options {
    std::string recipe;
    std::vector<std::string> overrides;
    bool check = false;
  };
  auto options = std::make_shared<Options>();
  app.add_option("recipe", options->recipe, "the recipe (TOML; recipes/README.md lists the keys)")->required();
  app.add_option("overrides", options->overrides, "section.key=value: replaces a key of the recipe");
  app.add_flag("--check", options->check,
               "only validate, and print parameters, tokens, steps and the memory that the run will need");
  app.footer(
      "Example: dslite train recipes/pretrain/tiny.toml run.folder=runs/first optimizer.learning_rate=1e-3\nThe same "
      "command again continues the run. Exit code 75: stopped by a signal after saving.");
  return [options] {
    const RunConfig recipe = read_recipe(options->recipe, options->overrides);
    if (options->check) {
      std::fputs(check_training(recipe).c_str(), stdout);
      return 0;
    }
    constexpr int kStoppedBySignal = 75;
    return run_training(recipe) == RunOutcome::kDone ? 0 : kStoppedBySignal;
  };
}

}  // namespace dslite
