// What the dispatcher and the instruction sets of latent decode share: the split of a cache and the sizes of scratch.
#pragma once
#include "kernels/latent_decode/latent_decode.h"

namespace dslite::kernels {

constexpr int64_t kLatentSplit = 384;  // cached tokens of a task

// Splits of all sequences together.
int64_t latent_decode_num_splits(const LatentDecode& arguments);
int64_t latent_decode_thread_floats(const LatentDecode& arguments);

}  // namespace dslite::kernels
