// The command line: one file per subcommand registers itself here by name.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>

namespace dslite {

// How large tensors get their memory; before the first of them, once in a process.
void prepare_memory();

// Parses and runs; returns the exit code: 0 done, 1 the work failed, 2 wrong usage or bad input, 75 stopped by a signal after saving.
int run_command_line(int argc, char** argv);

// A subcommand adds its options to the CLI::App and returns what runs after parsing; that function returns the exit code.
// Errors are thrown (src/base/error.h); results go to stdout, everything else to stderr (spdlog).
using Command = std::function<int()>;
Command add_init(CLI::App& app);
Command add_tokenizer(CLI::App& app);
Command add_prepare(CLI::App& app);
Command add_data(CLI::App& app);
Command add_train(CLI::App& app);
Command add_eval(CLI::App& app);
Command add_generate(CLI::App& app);
Command add_chat(CLI::App& app);
Command add_export(CLI::App& app);
Command add_verify(CLI::App& app);
Command add_inspect(CLI::App& app);
Command add_probe(CLI::App& app);
Command add_bench(CLI::App& app);

}  // namespace dslite
