// The dslite binary.
#include <unistd.h>

#include <cstdlib>

#include "src/cli/cli.h"
#include "src/ops/freed_blocks.h"

int main(int argc, char** argv) {
  // LibTorch reads this before its first allocation: large tensors on huge pages, where the system leaves the choice to
  // programs. Products that walk down the rows of a weight otherwise wait for address translation.
  setenv("THP_MEM_ALLOC_ENABLE", "1", 0);
  dslite::ops::keep_freed_blocks(int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE) / 16);
  return dslite::run_command_line(argc, argv);
}
