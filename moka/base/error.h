// The one exception type of Moka and the checks that raise it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <string>

#include "moka/base/text.h"

namespace moka {

// What went wrong; decides the Python exception type and the code of the C interface.
enum class ErrorKind {
  Runtime,         // shapes, states and values that do not fit together -> RuntimeError
  Value,           // an argument outside its range -> ValueError
  Type,            // an argument of the wrong type -> TypeError
  Index,           // out of range -> IndexError
  NotImplemented,  // valid, but no kernel or rule serves it -> NotImplementedError
  OutOfMemory,     // -> MemoryError
  File,            // a file whose content is damaged, refused or not understood -> ValueError
  System,          // what the system refuses, by its errno: no such file, no space left -> OSError
  Cancelled,       // deadline or cancellation -> TimeoutError
  Internal,        // a broken promise inside Moka: a bug -> RuntimeError
};

class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string message, int system_code = 0)
      : kind_(kind), system_code_(system_code), message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }
  ErrorKind kind() const { return kind_; }
  const std::string& message() const { return message_; }
  int system_code() const { return system_code_; }  // the errno of a System error
  // Adds where it happened ("in node conv1 of model.onnx") on the way up.
  void add_context(std::string_view context) {
    message_.append("\n  ");
    message_.append(context);
  }

 private:
  ErrorKind kind_;
  int system_code_;
  std::string message_;
};

[[noreturn]] void raise(ErrorKind kind, std::string message, int system_code = 0);

template <class... Parts>
[[noreturn, gnu::cold]] void fail(const Parts&... parts) {
  raise(ErrorKind::Runtime, cat(parts...));
}
template <class... Parts>
[[noreturn, gnu::cold]] void fail_kind(ErrorKind kind, const Parts&... parts) {
  raise(kind, cat(parts...));
}
// A System error; `code` is the errno.
template <class... Parts>
[[noreturn, gnu::cold]] void fail_system(int code, const Parts&... parts) {
  raise(ErrorKind::System, cat(parts...), code);
}

}  // namespace moka

// A condition that the user's input must meet; the parts say what was expected and what came.
#define MOKA_CHECK(condition, ...)                                    \
  do {                                                                \
    if (__builtin_expect(!(condition), 0)) ::moka::fail(__VA_ARGS__); \
  } while (0)
#define MOKA_CHECK_KIND(kind, condition, ...)                                                       \
  do {                                                                                              \
    if (__builtin_expect(!(condition), 0)) ::moka::fail_kind(::moka::ErrorKind::kind, __VA_ARGS__); \
  } while (0)
// A condition that only a bug in Moka can break.
#define MOKA_ASSERT(condition)                                                                            \
  do {                                                                                                    \
    if (__builtin_expect(!(condition), 0))                                                                \
      ::moka::fail_kind(::moka::ErrorKind::Internal, "internal error: ", #condition, " (", __FILE__, ":", \
                        __LINE__, "); please report this");                                               \
  } while (0)
