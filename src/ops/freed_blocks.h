// Memory of freed tensors for the next ones. A large block comes from the system and goes back to it at once, so that
// each step of a training would have the same gigabytes cleared again by the kernel (a twelfth of its time).
#pragma once
namespace dslite::ops {

// From now on LibTorch's CPU tensors of at least 1 MiB take a freed block of about their size, if one is kept. Tensors
// and kept blocks together never take more than a 32nd above what the tensors alone took at their most: the oldest
// blocks make room for a new one. Once in a process, before its second thread.
void keep_freed_blocks();

}  // namespace dslite::ops
