// fork, exec, wait. Output goes through unnamed files, so that no pipe can fill up.
#include "tests/support/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <stdexcept>

namespace dslite::testing {
namespace {

int exit_code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

pid_t spawn(const std::vector<std::string>& arguments, int in, int out, int err) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid < 0) throw std::runtime_error("fork failed");
  if (pid == 0) {
    if (in >= 0) ::dup2(in, STDIN_FILENO);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(err, STDERR_FILENO);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  return pid;
}

int wait_for(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return exit_code_of(status);
}

std::string contents(std::FILE* file) {
  std::rewind(file);
  std::string text;
  char buffer[1 << 16];
  for (size_t n; (n = std::fread(buffer, 1, sizeof buffer, file)) > 0;) text.append(buffer, n);
  return text;
}

}  // namespace

ProcessResult run_program(const std::vector<std::string>& arguments, const std::string& input) {
  std::FILE *in = std::tmpfile(), *out = std::tmpfile(), *err = std::tmpfile();
  if (!in || !out || !err) throw std::runtime_error("no temporary file");
  std::fwrite(input.data(), 1, input.size(), in);
  std::rewind(in);
  ProcessResult result;
  result.exit_code = wait_for(spawn(arguments, fileno(in), fileno(out), fileno(err)));
  result.out = contents(out);
  result.err = contents(err);
  for (std::FILE* file : {in, out, err}) std::fclose(file);
  return result;
}

ChildProcess::ChildProcess(const std::vector<std::string>& arguments, const std::string& log_path) {
  const int log = ::open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  pid_ = spawn(arguments, -1, log, log);
  ::close(log);
}
ChildProcess::~ChildProcess() {
  if (pid_ > 0) {
    send(SIGKILL);
    wait();
  }
}
void ChildProcess::send(int signal) const {
  if (pid_ > 0) ::kill(pid_, signal);
}
bool ChildProcess::running() {
  if (pid_ <= 0) return false;
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return true;
  exit_code_ = exit_code_of(status);
  pid_ = -1;
  return false;
}
int ChildProcess::wait() {
  if (pid_ > 0) {
    exit_code_ = wait_for(pid_);
    pid_ = -1;
  }
  return exit_code_;
}

}  // namespace dslite::testing
