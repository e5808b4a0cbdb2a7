// Signals of a training run: SIGTERM and SIGINT ask to finish the step, save and exit 75 (a second one ends the process
// at once); SIGUSR1 asks to save and go on.
#pragma once

namespace dslite {

// Installs the handlers for its lifetime; at most one at a time.
class SignalGuard {
 public:
  SignalGuard();
  ~SignalGuard();
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;
  bool stop_requested() const;
  bool take_save_request();  // true once per SIGUSR1
};

}  // namespace dslite
