// Processor features at run time.
#include "kernels/common/cpu.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace dslite::kernels {

bool has_instruction_set(InstructionSet set) {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  const bool dot_products = avx512 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
#else
  const bool avx2 = false, avx512 = false, dot_products = false;
#endif
  switch (set) {
    case InstructionSet::kScalar:
      return true;
    case InstructionSet::kAvx2:
      return avx2;
    case InstructionSet::kAvx512:
      return avx512;
    case InstructionSet::kAvx512Bf16:
      return dot_products;
  }
  return false;
}

InstructionSet best_instruction_set() {
  InstructionSet best = InstructionSet::kScalar;
  for (const InstructionSet set : kInstructionSets)
    if (has_instruction_set(set)) best = set;
  return best;
}

const char* instruction_set_name(InstructionSet set) {
  switch (set) {
    case InstructionSet::kAvx2:
      return "avx2";
    case InstructionSet::kAvx512:
      return "avx512";
    case InstructionSet::kAvx512Bf16:
      return "avx512bf16";
    case InstructionSet::kScalar:
      break;
  }
  return "scalar";
}

InstructionSet chosen_instruction_set() {
  const char* forced = std::getenv("DSLITE_INSTRUCTION_SET");
  if (!forced || !*forced) return best_instruction_set();
  std::string names;
  for (const InstructionSet set : kInstructionSets) {
    names += (names.empty() ? "" : ", ") + std::string(instruction_set_name(set));
    if (std::string(forced) != instruction_set_name(set)) continue;
    if (has_instruction_set(set)) return set;
    throw std::runtime_error("DSLITE_INSTRUCTION_SET=" + std::string(forced) +
                             ": this processor does not have it; its best is " +
                             instruction_set_name(best_instruction_set()));
  }
  throw std::runtime_error("DSLITE_INSTRUCTION_SET=" + std::string(forced) + ": unknown; expected one of " + names);
}

}  // namespace dslite::kernels
