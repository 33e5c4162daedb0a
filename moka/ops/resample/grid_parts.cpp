// The gradients of grid_sample, tap after tap in differentiable operators: for second derivatives.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/resample/grid_parts.h"

#include <vector>

#include "moka/ops/creation/creation.h"
#include "moka/ops/indexing/indexing.h"
#include "moka/ops/operators.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/selecting/selecting.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
struct Settings {
  bool cubic, nearest, border, reflection, align;
};
// A place along an axis, and how it moves with the coordinate in the grid (constant between kinks).
struct Place {
  Tensor at, slope;
};
Place clipped(const Place& p, double most) {
  Tensor low = le(p.at, 0), high = ge(p.at, most);
  return {where(low, 0, where(high, most, p.at)), where(logical_or(low, high), 0, p.slope)};
}
Place reflected(const Place& p, int64_t low, int64_t high) {
  if (low == high) return {zeros_like(p.at), zeros_like(p.slope)};
  const double first = double(low) / 2, span = double(high - low) / 2;
  const Tensor from = p.at - first, back = lt(from, 0);
  const Tensor at = where(back, neg(from), from), slope = where(back, neg(p.slope), p.slope);
  const Tensor turns = floor(detach(at) / span), extra = at - turns * span;
  const Tensor even = eq(turns - floor(turns / 2) * 2, 0);
  return {where(even, extra + first, span - extra + first), where(even, slope, neg(slope))};
}
Place inside(const Settings& s, Place p, int64_t n) {
  if (s.border) p = clipped(p, double(n - 1));
  if (s.reflection)
    p = clipped(s.align ? reflected(p, 0, 2 * (n - 1)) : reflected(p, -1, 2 * n - 1), double(n - 1));
  return p;
}

// The taps along an axis: indices, whether they lie in the image, weights, and the weights' slopes.
struct Tap {
  Tensor index, valid, weight, slope;
};
Tap tap_at(const Tensor& place, int64_t n, Tensor weight, Tensor slope) {
  Tensor index = to(detach(place), DType::I64);
  Tensor valid = logical_and(ge(index, 0), lt(index, n));
  return {clamp(index, 0, n - 1), valid, std::move(weight), std::move(slope)};
}
std::vector<Tap> axis_taps(const Settings& s, const Tensor& x, int64_t n) {
  Tensor given = s.align ? (x + 1) * (double(n - 1) / 2) : ((x + 1) * double(n) - 1) / 2;
  Tensor usable = logical_and(gt(given, -1e9), lt(given, 1e9));  // what cannot be a place is far outside
  Place p{where(usable, given, -100),
          full(Dims(x.sizes()), s.align ? double(n - 1) / 2 : double(n) / 2, x.dtype())};
  std::vector<Tap> taps;
  if (s.cubic) {
    const Tensor whole = floor(detach(p.at)), u = p.at - whole;
    const double a = -0.75;
    for (int k = 0; k < 4; k++) {
      const Tensor v = k == 0 ? u + 1 : k == 1 ? u : k == 2 ? 1 - u : 2 - u;
      const bool near = k == 1 || k == 2;
      Tensor weight = near ? (v * (a + 2) - (a + 3)) * v * v + 1 : ((v * a - 5 * a) * v + 8 * a) * v - 4 * a;
      Tensor d = near ? (v * (3 * (a + 2)) - 2 * (a + 3)) * v : (v * (3 * a) - 10 * a) * v + 8 * a;
      Place each = inside(s, {whole + (k - 1), p.slope}, n);
      taps.push_back(tap_at(each.at, n, weight, k < 2 ? d * p.slope : neg(d) * p.slope));
    }
    return taps;
  }
  p = inside(s, p, n);
  if (s.nearest) {
    taps.push_back(tap_at(round(detach(p.at)), n, full(Dims(x.sizes()), 1.0, x.dtype()), zeros_like(x)));
    return taps;
  }
  const Tensor whole = floor(detach(p.at)), u = p.at - whole;
  taps.push_back(tap_at(whole, n, 1 - u, neg(p.slope)));
  taps.push_back(tap_at(whole + 1, n, u, p.slope));
  return taps;
}
}  // namespace

void grid_gradient_parts(const Any* in, Any* out) {
  const Tensor &x = in[1].tensor(), &grid = in[2].tensor();
  const std::string_view mode = in[3].string(), padding = in[4].string();
  const Settings s{mode == "bicubic", mode == "nearest", padding == "border", padding == "reflection",
                   in[5].to_bool()};
  const int rank = x.dim() - 2;
  const int64_t batch = x.size(0), channels = x.size(1);
  const Tensor pixels = reshape(x, Dims{batch, channels, -1}),
               dy = reshape(in[0].tensor(), Dims{batch, channels, -1});
  // One list of taps an axis: x, y, z.
  std::vector<std::vector<Tap>> axes;
  for (int k = 0; k < rank; k++)
    axes.push_back(axis_taps(s, reshape(select(grid, -1, int64_t(k)), Dims{batch, -1}), x.size(-1 - k)));
  if (rank == 2) axes.push_back({Tap{}});

  Tensor dx = zeros_like(pixels);
  std::vector<Tensor> dgrid(static_cast<size_t>(rank),
                            zeros_like(reshape(select(grid, -1, 0), Dims{batch, -1})));
  for (const Tap& tz : axes[2])
    for (const Tap& ty : axes[1])
      for (const Tap& tx : axes[0]) {
        Tensor index = ty.index * x.size(-1) + tx.index, valid = logical_and(tx.valid, ty.valid);
        Tensor weight = tx.weight * ty.weight;
        if (rank == 3) {
          index = tz.index * (x.size(-1) * x.size(-2)) + index;
          valid = logical_and(valid, tz.valid);
          weight = weight * tz.weight;
        }
        const Tensor places = expand(unsqueeze(index, 1), dy.sizes());
        dx = scatter_add(dx, 2, places, dy * unsqueeze(where(valid, weight, 0), 1));
        const Tensor dot = where(valid, sum(dy * gather(pixels, 2, places), Dims{1}), 0);
        const Tensor along = rank == 3 ? dot * tz.weight : dot;
        dgrid[0] = dgrid[0] + along * tx.slope * ty.weight;
        dgrid[1] = dgrid[1] + along * tx.weight * ty.slope;
        if (rank == 3) dgrid[2] = dgrid[2] + dot * tx.weight * ty.weight * tz.slope;
      }
  out[0] = Any(reshape(dx, x.sizes()));
  out[1] = Any(reshape(stack(std::span<const Tensor>(dgrid), -1), grid.sizes()));
}

}  // namespace moka::ops
