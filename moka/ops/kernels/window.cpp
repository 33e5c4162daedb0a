// Geometry of sliding windows.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/window.h"

namespace moka {

int declared_size(const Frame& f, int i) {
  return info(f.op).schema.args[static_cast<size_t>(i)].type.list_size;
}

void read_axes(const Frame& f, int i, int64_t lowest, Window& w, int64_t Axis::* field) {
  Dims v = ints_argument(f, i);
  MOKA_CHECK(v.size() == 1 || static_cast<int>(v.size()) == w.rank, f.name(), ": ", argument_name(f, i),
             " must be one integer or ", w.rank, ", got ", f.args[i]);
  for (int k = 0; k < w.rank; k++) {
    int64_t value = v[v.size() == 1 ? 0 : static_cast<size_t>(k)];
    MOKA_CHECK(value >= lowest, f.name(), ": ", argument_name(f, i), " must be at least ", lowest, ", got ",
               f.args[i]);
    w.axis(w.first() + k).*field = value;
  }
}

void read_padding(const Frame& f, int i, Window& w) {
  const Dims v = ints_argument(f, i);
  const auto rank = static_cast<size_t>(w.rank);
  if (v.size() != 2 * rank) return read_axes(f, i, 0, w, &Axis::padding);
  for (size_t k = 0; k < rank; k++) {
    MOKA_CHECK(v[k] >= 0 && v[rank + k] >= 0, f.name(), ": ", argument_name(f, i),
               " must be at least 0, got ", f.args[i]);
    Axis& a = w.axis(w.first() + static_cast<int>(k));
    a.padding = v[k];
    a.more = v[rank + k] - v[k];
  }
}

void set_inputs(Window& w, std::span<const int64_t> sizes) {
  for (int k = 0; k < w.rank; k++)
    w.axis(w.first() + k).in = sizes[sizes.size() - static_cast<size_t>(w.rank) + static_cast<size_t>(k)];
}

const char* axis_name(int i) { return i == 0 ? "depth" : i == 1 ? "height" : "width"; }

int64_t window_outputs(const Frame& f, const char* axis, const Axis& a, bool ceil) {
  int64_t reach = checked_add(checked_mul(a.dilation, a.kernel - 1, "window"), 1, "window");
  int64_t padded = checked_add(a.in, checked_mul(2, a.padding, "padding"), "padding");
  padded = checked_add(padded, a.more, "padding");
  // In ceil mode the last window may begin inside and end outside, and it may be the only one.
  MOKA_CHECK(reach <= padded || (ceil && reach - padded < a.stride), f.name(), ": the window reaches over ",
             reach, " places in ", axis, " but the input with its padding has only ", padded, " (input ",
             a.in, ", padding ", a.padding, ", kernel ", a.kernel, ", dilation ", a.dilation,
             "): Output size is too small");
  int64_t steps = padded - reach;
  if (!ceil) return steps / a.stride + 1;
  int64_t out = steps < 0 ? 1 : steps / a.stride + (steps % a.stride != 0) + 1;
  if ((out - 1) * a.stride >= a.in + a.padding) out--;
  return out;
}

}  // namespace moka
