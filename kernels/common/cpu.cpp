// Processor features at run time.
#include "kernels/common/cpu.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace dslite::kernels {

bool has_instruction_set(InstructionSet set) {
  switch (set) {
    case InstructionSet::kScalar:
      return true;
    case InstructionSet::kAvx2:
#if defined(__x86_64__)
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
      return false;
#endif
  }
  return false;
}

InstructionSet best_instruction_set() { return has_instruction_set(InstructionSet::kAvx2) ? InstructionSet::kAvx2 : InstructionSet::kScalar; }

const char* instruction_set_name(InstructionSet set) { return set == InstructionSet::kAvx2 ? "avx2" : "scalar"; }

InstructionSet chosen_instruction_set() {
  const char* forced = std::getenv("DSLITE_INSTRUCTION_SET");
  if (!forced || !*forced) return best_instruction_set();
  for (const InstructionSet set : {InstructionSet::kScalar, InstructionSet::kAvx2}) {
    if (std::string(forced) != instruction_set_name(set)) continue;
    if (has_instruction_set(set)) return set;
    throw std::runtime_error("DSLITE_INSTRUCTION_SET=" + std::string(forced) + ": this processor does not have it; its best is " + instruction_set_name(best_instruction_set()));
  }
  throw std::runtime_error("DSLITE_INSTRUCTION_SET=" + std::string(forced) + ": unknown; expected scalar or avx2");
}

}  // namespace dslite::kernels
