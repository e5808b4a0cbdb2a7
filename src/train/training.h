// A training run from recipe to summary: start or continue, step, validate, sample, save.
#pragma once
#include <string>

#include "src/train/run_config.h"

namespace dslite {

enum class RunOutcome { kDone, kStopped };  // kStopped: by a signal, after saving

// Starts the run of the recipe, or continues it when its folder holds one.
RunOutcome run_training(const RunConfig& recipe);

// Validates everything that run_training would read and tells what the run would do: parameters, tokens, steps, memory.
// Writes nothing.
std::string check_training(const RunConfig& recipe);

}  // namespace dslite
