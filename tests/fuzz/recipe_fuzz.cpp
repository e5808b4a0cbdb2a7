// Recipes as untrusted text; what is accepted is written resolved, read again and equal.
#include "src/base/config_schema.h"
#include "src/train/run_config.h"
#include "tests/fuzz/readers.h"

namespace dslite::fuzz {

void recipe(std::string_view input) {
  const std::string path = scratch_file("recipe.toml", take_until_nul(input));
  std::vector<std::string> overrides;
  while (!input.empty()) overrides.emplace_back(take_until_nul(input));
  accepts("", [&] {
    const RunConfig config = read_recipe(path, overrides);
    const std::string resolved = resolved_toml(config);
    const std::string again = scratch_file("resolved.toml", resolved);
    DSLITE_FUZZ_CHECK(resolved_toml(read_resolved_recipe(again)) == resolved);
    for (const int64_t rows : {1, 1000}) {
      const RunLength length = run_length(config, rows);
      DSLITE_FUZZ_CHECK(length.num_steps >= 0 && length.rows_per_step > 0 && length.rows_per_micro_batch > 0);
    }
    adamw_config(config);
    schedule_config(config);
  });
}

}  // namespace dslite::fuzz
