// Runs programs in tests, above all the dslite binary.
#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

namespace dslite::testing {

struct ProcessResult {
  int exit_code = -1;      // 128 + signal when a signal ended it
  std::string out, err;
};

// Runs argv[0] with the rest as arguments; `input` is its standard input.
ProcessResult run_program(const std::vector<std::string>& arguments, const std::string& input = {});

// A program that runs beside the test; stdout and stderr go to `log_path`. Killed on destruction.
class ChildProcess {
 public:
  ChildProcess(const std::vector<std::string>& arguments, const std::string& log_path);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  void send(int signal) const;
  bool running();
  int wait();              // the exit code, as in ProcessResult

 private:
  pid_t pid_ = -1;
  int exit_code_ = -1;
};

}  // namespace dslite::testing
