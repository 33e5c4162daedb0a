// unwritten: an operator that has a derivative which nobody wrote, as opposed to one that has none.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/define.h"

namespace moka {

#ifdef MOKA_PREDICTOR
constexpr Nothing unwritten(std::string_view) { return {}; }
#else
// Results are recorded, and a backward that comes to them is an error.
constexpr Derivative unwritten(std::string_view why) { return constants("", why); }

// The gradient of one argument where others have theirs: whoever asks for it gets an error. `what` is "operator:
// argument".
template <class T>
T unwritten_gradient(T dy, std::string_view what) {
  if constexpr (!std::is_same_v<T, Uses>)
    fail_kind(ErrorKind::NotImplemented, what.substr(0, what.find(':')), ": derivative for '", what,
              "' is not implemented; detach() it, or leave its requires_grad False");
  return dy;
}
#endif

}  // namespace moka
