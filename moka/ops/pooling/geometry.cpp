// Reading the arguments of pooling operators.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/pooling/geometry.h"

namespace moka {

Pool pool_planes(const Frame& f, std::span<const int64_t> sizes, int rank) {
  const size_t axes = static_cast<size_t>(rank);
  MOKA_CHECK(sizes.size() == axes + 1 || sizes.size() == axes + 2, f.name(), ": input must have ", rank + 2,
             " dimensions [batch, channels, ...], or ", rank + 1, " without batch, got ", sizes);
  checked_numel(sizes, "pooling");
  Pool p;
  p.g.rank = rank;
  p.leading = Dims(sizes.first(sizes.size() - axes));
  p.g.planes = checked_numel(p.leading, "pooling");
  set_inputs(p.g, sizes);
  bool empty = false;  // only the batch may be
  for (size_t d = sizes.size() - axes - 1; d < sizes.size(); d++) empty |= sizes[d] == 0;
  MOKA_CHECK(!empty, f.name(), ": only the batch of input may be empty, got shape ", sizes);
  return p;
}

void set_windows(const Frame& f, Pool& p, int first) {
  read_axes(f, first, 1, p.g, &Axis::kernel);
  read_axes(f, ints_argument(f, first + 1).empty() ? first : first + 1, 1, p.g, &Axis::stride);
  read_axes(f, first + 2, 0, p.g, &Axis::padding);
}

void finish_windows(const Frame& f, Pool& p, bool ceil) {
  for (int k = p.g.first(); k < 3; k++) {
    Axis& a = p.g.axis(k);
    int64_t reach = checked_add(checked_mul(a.kernel - 1, a.dilation, "pooling"), 1, "pooling");
    MOKA_CHECK(a.padding <= reach / 2, f.name(), ": padding must be at most half of the window, got ",
               a.padding, " for a window of ", reach);
    a.out = window_outputs(f, axis_name(k), a, ceil);
  }
}

Dims output_size_argument(const Frame& f, int i, int rank, int dims) {
  Dims v = ints_argument(f, i);
  const size_t axes = static_cast<size_t>(rank);
  MOKA_CHECK(v.size() == 1 || v.size() == axes || (static_cast<int>(v.size()) == dims && dims > rank),
             f.name(), ": ", argument_name(f, i), " must be one integer, ", rank, " or the whole shape, got ",
             f.args[i]);
  Dims out;
  for (size_t k = 0; k < axes; k++) {
    out.push_back(v[v.size() == 1 ? 0 : v.size() - axes + k]);
    MOKA_CHECK(out.back() >= 0, f.name(), ": ", argument_name(f, i), " must not be negative, got ",
               f.args[i]);
  }
  return out;
}

}  // namespace moka
