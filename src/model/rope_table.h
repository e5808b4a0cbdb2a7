// The angles of rotary embedding: plain (arXiv:2104.09864) or YaRN (arXiv:2309.00071), whose frequencies hold at all
// lengths.
#pragma once
#include "src/model/config.h"
#include "src/ops/types.h"

namespace dslite {

// cos and sin [max_position_embeddings, qk_rope_head_dim / 2], times YaRN's multiplier. Frequencies and angles are fp32
// numbers, as in the published code.
RopeTable make_rope_table(const ModelConfig& config);

}  // namespace dslite
