// Memory of freed tensors for the next ones. A large block comes from the system and goes back to it at once, so that
// each step of a training would have the same gigabytes cleared again by the kernel (a twelfth of its time).
#pragma once
#include <cstdint>

namespace dslite::ops {

// From now on LibTorch's CPU tensors of at least 1 MiB take a freed block of about their size, if one is kept; at most
// `most_bytes` of freed blocks are kept, the latest freed. Once in a process, before its second thread.
void keep_freed_blocks(int64_t most_bytes);

}  // namespace dslite::ops
