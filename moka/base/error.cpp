// Raising errors, out of line so that checks stay small at their call sites.
// SPDX-License-Identifier: Apache-2.0
#include "moka/base/error.h"

namespace moka {

void raise(ErrorKind kind, std::string message, int system_code) {
  throw Error(kind, std::move(message), system_code);
}

}  // namespace moka
