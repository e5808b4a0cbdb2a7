// Why a record is not used.
#pragma once
#include <fmt/format.h>

#include <stdexcept>
#include <string>

namespace dslite {

enum class RejectReason {
  kInvalidUtf8,
  kNul,
  kDamagedJson,
  kWrongSchema,
  kEmpty,
  kNoTrainedToken,
  kRoleOrder,
  kUnknownRole,
  kTools,
  kOverlong,
  kTooLarge
};
const char* reject_reason_name(RejectReason reason);  // "invalid_utf8", ...: the keys of the attribute `dropped`

// Thrown for one record, caught where records are counted; never ends the program.
class RejectError : public std::runtime_error {
 public:
  RejectError(RejectReason reason, const std::string& what) : std::runtime_error(what), reason_(reason) {}
  RejectReason reason() const { return reason_; }

 private:
  RejectReason reason_;
};

template <class... Args>
[[noreturn]] void reject(RejectReason reason, fmt::format_string<Args...> format, Args&&... args) {
  throw RejectError(reason, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace dslite
