// The dslite binary.
#include "src/cli/cli.h"

int main(int argc, char** argv) {
  dslite::prepare_memory();
  return dslite::run_command_line(argc, argv);
}
