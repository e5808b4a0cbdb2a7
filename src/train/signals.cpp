// A handler can only reach variables of static storage: these two are the run's only ones.
#include "src/train/signals.h"

#include <csignal>

namespace dslite {
namespace {

volatile std::sig_atomic_t stop_flag = 0;
volatile std::sig_atomic_t save_flag = 0;

void on_stop(int signal) {
  stop_flag = 1;
  std::signal(signal, SIG_DFL);  // the second one ends fast
}
void on_save(int) { save_flag = 1; }

void install(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

}  // namespace

SignalGuard::SignalGuard() {
  stop_flag = 0;
  save_flag = 0;
  install(SIGTERM, on_stop);
  install(SIGINT, on_stop);
  install(SIGUSR1, on_save);
}
SignalGuard::~SignalGuard() {
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) install(signal, SIG_DFL);
}
bool SignalGuard::stop_requested() const { return stop_flag != 0; }
bool SignalGuard::take_save_request() {
  const bool requested = save_flag != 0;
  save_flag = 0;
  return requested;
}

}  // namespace dslite
