// What can go wrong, by cause, and how it is said: every error is one sentence that carries the operation and the
// values, and its kind decides the exit code of the process. Libraries throw; only main catches.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace smartbird {

enum class ErrorKind { Config, Data, Io, Environment, Device, Memory, NonFinite, Comm, Shape };

// Exit codes: 2 usage or configuration, 3 data or files, 4 environment or device, 5 out of memory, 6 non-finite values,
// 7 peer lost, 70 a broken internal contract (a shape). A preempted but resumable run ends with kExitResumable.
[[nodiscard]] int exit_code(ErrorKind kind);
inline constexpr int kExitResumable = 75;

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  [[nodiscard]] ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

// "a", 3, "b" -> "a3b"
template <class... Parts>
[[nodiscard]] std::string join(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

template <class... Parts>
[[noreturn]] void fail(ErrorKind kind, const Parts&... parts) {
  throw Error(kind, join(parts...));
}

}  // namespace smartbird

// SB_CHECK(condition, kind, message parts...): throws smartbird::Error unless the condition holds.
#define SB_CHECK(condition, kind, ...)                                              \
  do {                                                                              \
    if (!(condition)) ::smartbird::fail(::smartbird::ErrorKind::kind, __VA_ARGS__); \
  } while (false)
