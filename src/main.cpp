// The dslite binary.
#include "src/cli/cli.h"

int main(int argc, char** argv) { return dslite::run_command_line(argc, argv); }
