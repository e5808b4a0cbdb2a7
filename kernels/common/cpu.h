// Which instruction set this process uses.
#pragma once
#include "kernels/common/context.h"

namespace dslite::kernels {

// In rising order.
constexpr InstructionSet kInstructionSets[] = {InstructionSet::kScalar, InstructionSet::kAvx2, InstructionSet::kAvx512,
                                               InstructionSet::kAvx512Bf16};

// The best set that this processor has and this binary was built for.
InstructionSet best_instruction_set();
bool has_instruction_set(InstructionSet set);
const char* instruction_set_name(InstructionSet set);  // "scalar", "avx2", "avx512", "avx512bf16"

// The set to use: the environment variable DSLITE_INSTRUCTION_SET when it is set, else the best. Throws std::runtime_error (with both the name found and
// the names expected) for an unknown name or a set that the processor lacks.
InstructionSet chosen_instruction_set();

}  // namespace dslite::kernels
