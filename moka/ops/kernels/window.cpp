// Geometry of sliding windows.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/window.h"

namespace moka {

int64_t window_outputs(const Frame& f, const char* axis, const Axis& a, bool ceil) {
  int64_t reach = checked_add(checked_mul(a.dilation, a.kernel - 1, "window"), 1, "window");
  int64_t padded = checked_add(a.in, checked_mul(2, a.padding, "padding"), "padding");
  MOKA_CHECK(reach <= padded, f.name(), ": the window reaches over ", reach, " places in ", axis,
             " but the input with its padding has only ", padded, " (input ", a.in, ", padding ", a.padding,
             ", kernel ", a.kernel, ", dilation ", a.dilation, ")");
  int64_t steps = padded - reach;
  if (!ceil) return steps / a.stride + 1;
  int64_t out = steps / a.stride + (steps % a.stride != 0) + 1;
  if ((out - 1) * a.stride >= a.in + a.padding) out--;
  return out;
}

}  // namespace moka
