// The kinds of error. A UserError names the file, line or key, what was found and what was expected, and ends the program with exit code 2;
// any other Error is work that failed (exit code 1). Our own bugs throw std::logic_error through DSLITE_ASSERT.
#pragma once
#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace dslite {

// The work failed: a full disk, an I/O error, a non-finite loss.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The user's mistake: bad input, a wrong recipe, a wrong command line.
class UserError : public Error {
 public:
  using Error::Error;
};

template <class... Args>
[[noreturn]] void fail_input(fmt::format_string<Args...> format, Args&&... args) {
  throw UserError(fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
[[noreturn]] void fail_work(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

// " (did you mean "name"?)" for the known name within a third of the word's length in edits; else an empty string.
std::string suggestion(std::string_view word, const std::vector<std::string>& known);

// The value for an error message: quoted, control characters escaped, at most 80 bytes.
std::string shown(std::string_view text);

[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);

}  // namespace dslite

// A condition that only a bug of ours can break; checked in every build.
#define DSLITE_ASSERT(condition) \
  do { \
    if (!(condition)) ::dslite::assertion_failed(#condition, __FILE__, __LINE__); \
  } while (false)
