// What both a run and `train --check` open first: model folder, token files, lengths; all agree or a UserError says
// what does not.
#pragma once
#include <string>

#include "src/data/mixture.h"
#include "src/model_folder/model_folder.h"
#include "src/train/plan.h"
#include "src/train/run_config.h"

namespace dslite {

struct TrainingSetup {
  RunConfig config;  // with the model's defaults filled in
  OpenModel open;
  RunLength length;
  int64_t rows_per_epoch = 0;
  int64_t cut_tokens = 0;  // that packing leaves out
  ParameterCounts counts;
  MemoryPlan memory;
};
// `model_path`: the recipe's model.path, or RUN/model when a run goes on.
TrainingSetup set_up_training(const RunConfig& recipe, const std::string& model_path, const Mixture& mixture);
MixtureConfig mixture_config(const RunConfig& recipe);
MixtureConfig validation_config(const RunConfig& recipe);
std::string setup_text(const TrainingSetup& setup);

}  // namespace dslite
