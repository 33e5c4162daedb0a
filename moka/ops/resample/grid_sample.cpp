// Reading images and volumes at given places.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <vector>

#include "moka/base/parallel.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/resample/grid_parts.h"
#include "moka/ops/resample/resample.h"

namespace moka::ops {

namespace {
enum class Mode { Nearest, Linear, Cubic };
enum class Outside { Zeros, Border, Reflection };

struct Sampler {
  int64_t batch, channels, in[3] = {1, 1, 1}, out_pixels = 1;  // in: (depth,) height, width
  int rank;
  Mode mode;
  Outside outside;
  bool align;
  Dims result;
  int64_t in_pixels() const { return in[0] * in[1] * in[2]; }
};
// Arguments `first`..: mode, padding_mode, align_corners.
Sampler read_sampler(const Frame& f, int input, int first) {
  const Tensor &x = floating_argument(f, input), &grid = floating_argument(f, input + 1);
  check_same_dtype(f, input + 1, input);
  MOKA_CHECK(x.dim() > 2 && grid.dim() > 0 && grid.size(0) == x.size(0), f.name(),
             ": expected grid and input to have same batch size, got grid ", grid.sizes(), " and input ",
             x.sizes());
  MOKA_CHECK(grid.size(-1) == x.dim() - 2, f.name(), ": expected grid to have size ", x.dim() - 2,
             " in last dimension, got ", grid.sizes());
  MOKA_CHECK(
      (x.dim() == 4 || x.dim() == 5) && grid.dim() == x.dim(), f.name(),
      ": expected 4D or 5D input [batch, channels, (depth,) height, width] and grid with the same number "
      "of dimensions, got input ",
      x.sizes(), " and grid ", grid.sizes());
  Sampler s{.batch = x.size(0), .channels = x.size(1), .rank = x.dim() - 2};
  s.result = Dims{s.batch, s.channels};
  for (int k = 0; k < s.rank; k++) {
    s.in[3 - s.rank + k] = x.size(k + 2);
    s.result.push_back(grid.size(k + 1));
    s.out_pixels *= grid.size(k + 1);
    MOKA_CHECK(x.size(k + 2) > 0, f.name(), ": expected input to have non-empty spatial dimensions, got ",
               x.sizes());
  }
  std::string_view mode = f.string(first), outside = f.string(first + 1);
  MOKA_CHECK_KIND(Value, mode == "bilinear" || mode == "nearest" || mode == "bicubic", f.name(),
                  ": mode must be 'bilinear', 'nearest' or 'bicubic', but got: '", mode, "'");
  MOKA_CHECK_KIND(Value, outside == "zeros" || outside == "border" || outside == "reflection", f.name(),
                  ": padding_mode must be 'zeros', 'border' or 'reflection', but got: '", outside, "'");
  s.mode = mode == "bilinear" ? Mode::Linear : mode == "nearest" ? Mode::Nearest : Mode::Cubic;
  MOKA_CHECK(s.mode != Mode::Cubic || s.rank == 2, f.name(),
             ": bicubic interpolation only supports 4D input, got ", x.sizes());
  s.outside = outside == "zeros"    ? Outside::Zeros
              : outside == "border" ? Outside::Border
                                    : Outside::Reflection;
  s.align = f.flag(first + 2);
  return s;
}

// A value and its derivative with respect to the coordinate in the grid.
template <class T>
struct Place {
  T at, slope;
};
template <class T>
Place<T> clipped(Place<T> p, int64_t n) {
  if (p.at <= 0) return {T(0), T(0)};
  const T most = static_cast<T>(n - 1);
  return p.at >= most ? Place<T>{most, T(0)} : p;
}
// Mirrored at low / 2 and high / 2 until it lies between them.
template <class T>
Place<T> reflected(Place<T> p, int64_t low, int64_t high) {
  if (low == high) return {T(0), T(0)};
  const T first = static_cast<T>(low) / 2, span = static_cast<T>(high - low) / 2;
  T at = p.at - first, slope = p.slope;
  if (at < 0) {
    at = -at;
    slope = -slope;
  }
  const T extra = std::fmod(at, span);
  const bool even = static_cast<int64_t>(std::floor(at / span)) % 2 == 0;
  return even ? Place<T>{extra + first, slope} : Place<T>{span - extra + first, -slope};
}
template <class T>
Place<T> inside(const Sampler& s, Place<T> p, int64_t n) {
  if (s.outside == Outside::Border) p = clipped(p, n);
  if (s.outside == Outside::Reflection)
    p = clipped(s.align ? reflected(p, 0, 2 * (n - 1)) : reflected(p, -1, 2 * n - 1), n);
  // What cannot be a place is far outside.
  if (!(p.at > T(-1e9) && p.at < T(1e9))) p = {T(-100), T(0)};
  return p;
}
template <class T>
Place<T> unnormalized(const Sampler& s, T x, int64_t n) {
  if (s.align) return {(x + 1) / 2 * static_cast<T>(n - 1), static_cast<T>(n - 1) / 2};
  return {((x + 1) * static_cast<T>(n) - 1) / 2, static_cast<T>(n) / 2};
}

// The taps of one axis: at most four places (-1: none) with weights and the weights' slopes.
template <class T>
struct AxisTaps {
  int64_t index[4];
  T weight[4], slope[4];
  int count;
};
template <class T>
AxisTaps<T> axis_taps(const Sampler& s, T x, int64_t n) {
  AxisTaps<T> t{};
  auto valid = [&](int64_t i) { return i >= 0 && i < n ? i : -1; };
  if (s.mode == Mode::Cubic) {
    Place<T> p = unnormalized(s, x, n);
    if (!(p.at > T(-1e9) && p.at < T(1e9))) p = {T(-100), T(0)};
    const T floor = std::floor(p.at), u = p.at - floor, a = T(-0.75);
    const T v[4] = {u + 1, u, 1 - u, 2 - u};
    t.count = 4;
    for (int k = 0; k < 4; k++) {
      const bool near = k == 1 || k == 2;
      t.weight[k] = near ? ((a + 2) * v[k] - (a + 3)) * v[k] * v[k] + 1
                         : ((a * v[k] - 5 * a) * v[k] + 8 * a) * v[k] - 4 * a;
      const T d = near ? (3 * (a + 2) * v[k] - 2 * (a + 3)) * v[k] : (3 * a * v[k] - 10 * a) * v[k] + 8 * a;
      t.slope[k] = (k < 2 ? d : -d) * p.slope;
      // Each tap by itself is brought inside.
      Place<T> q = inside(s, Place<T>{floor + static_cast<T>(k - 1), T(1)}, n);
      t.index[k] = valid(static_cast<int64_t>(q.at));
    }
    return t;
  }
  Place<T> p = inside(s, unnormalized(s, x, n), n);
  if (s.mode == Mode::Nearest) {
    t.count = 1;
    t.index[0] = valid(static_cast<int64_t>(std::nearbyint(p.at)));
    t.weight[0] = 1;
    return t;
  }
  const T floor = std::floor(p.at), u = p.at - floor;
  t.count = 2;
  for (int k = 0; k < 2; k++) {
    t.index[k] = valid(static_cast<int64_t>(floor) + k);
    t.weight[k] = k ? u : 1 - u;
    t.slope[k] = k ? p.slope : -p.slope;
  }
  return t;
}
// visit(pixel of the plane, weight, slopes of the weight along x, y, z) for all taps of one place of the grid.
template <class T, class F>
void each_tap(const Sampler& s, const T* place, F visit) {
  AxisTaps<T> x = axis_taps(s, place[0], s.in[2]), y = axis_taps(s, place[1], s.in[1]), z{};
  if (s.rank == 3) z = axis_taps(s, place[2], s.in[0]);
  else {
    z.count = 1;
    z.weight[0] = 1;
  }
  for (int k = 0; k < z.count; k++)
    for (int j = 0; j < y.count; j++)
      for (int i = 0; i < x.count; i++) {
        if (x.index[i] < 0 || y.index[j] < 0 || z.index[k] < 0) continue;
        const T slopes[3] = {x.slope[i] * y.weight[j] * z.weight[k], x.weight[i] * y.slope[j] * z.weight[k],
                             x.weight[i] * y.weight[j] * z.slope[k]};
        visit((z.index[k] * s.in[1] + y.index[j]) * s.in[2] + x.index[i],
              x.weight[i] * y.weight[j] * z.weight[k], slopes);
      }
}

template <class T>
void sample(const Sampler& s, const T* x, const T* grid, T* y) {
  parallel_for(0, s.batch * s.out_pixels, 2048 / (s.channels + 1) + 1, [&](int64_t first, int64_t last) {
    for (int64_t p = first; p < last; p++) {
      const int64_t image = p / s.out_pixels, pixel = p % s.out_pixels;
      const T* from = x + image * s.channels * s.in_pixels();
      T* to = y + image * s.channels * s.out_pixels + pixel;
      for (int64_t c = 0; c < s.channels; c++) to[c * s.out_pixels] = 0;
      each_tap(s, grid + p * s.rank, [&](int64_t at, T weight, const T*) {
        for (int64_t c = 0; c < s.channels; c++)
          to[c * s.out_pixels] += weight * from[c * s.in_pixels() + at];
      });
    }
  });
}
template <class T>
void sample_backward(const Sampler& s, const T* dy, const T* x, const T* grid, T* dx, T* dgrid) {
  std::fill_n(dx, s.batch * s.channels * s.in_pixels(), T(0));
  parallel_for(0, s.batch, 1, [&](int64_t first, int64_t last) {
    for (int64_t p = first * s.out_pixels; p < last * s.out_pixels; p++) {
      const int64_t image = p / s.out_pixels, pixel = p % s.out_pixels;
      const int64_t plane = image * s.channels * s.in_pixels();
      const T* grad = dy + image * s.channels * s.out_pixels + pixel;
      T sums[3] = {0, 0, 0};
      each_tap(s, grid + p * s.rank, [&](int64_t at, T weight, const T* slopes) {
        T dot = 0;
        for (int64_t c = 0; c < s.channels; c++) {
          const T g = grad[c * s.out_pixels];
          dx[plane + c * s.in_pixels() + at] += weight * g;
          dot += g * x[plane + c * s.in_pixels() + at];
        }
        for (int k = 0; k < s.rank; k++) sums[k] += dot * slopes[k];
      });
      std::copy_n(sums, s.rank, dgrid + p * s.rank);
    }
  });
}

void sample_shape(Frame& f) { f.output(0, read_sampler(f, 0, 2).result, f.tensor(0).dtype()); }
void sample_kernel(Frame& f) {
  Sampler s = read_sampler(f, 0, 2);
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0))), grid = as_contiguous(in_kernel_dtype(f.tensor(1)));
  KernelOutput y(f, 0);
  if (x.dtype() == DType::F64) sample(s, x.data<double>(), grid.data<double>(), y.data<double>());
  else sample(s, x.data<float>(), grid.data<float>(), y.data<float>());
  y.finish();
}
void sample_backward_shape(Frame& f) {
  floating_argument(f, 0);
  check_same_dtype(f, 0, 1);
  check_shape(f, 0, read_sampler(f, 1, 3).result);
  f.output(0, f.tensor(1).sizes(), f.tensor(1).dtype());
  f.output(1, f.tensor(2).sizes(), f.tensor(2).dtype());
}
void sample_backward_kernel(Frame& f) {
  Sampler s = read_sampler(f, 1, 3);
  Tensor dy = as_contiguous(in_kernel_dtype(f.tensor(0))), x = as_contiguous(in_kernel_dtype(f.tensor(1))),
         grid = as_contiguous(in_kernel_dtype(f.tensor(2)));
  KernelOutput dx(f, 0), dgrid(f, 1);
  if (x.dtype() == DType::F64)
    sample_backward(s, dy.data<double>(), x.data<double>(), grid.data<double>(), dx.data<double>(),
                    dgrid.data<double>());
  else
    sample_backward(s, dy.data<float>(), x.data<float>(), grid.data<float>(), dx.data<float>(),
                    dgrid.data<float>());
  dx.finish();
  dgrid.finish();
}
}  // namespace

constinit const Op grid_sample_op{
    .schema =
        "grid_sample(Tensor input, Tensor grid, str mode='bilinear', str padding_mode='zeros', bool "
        "align_corners=False) -> Tensor",
    .doc =
        "input [batch, channels, height, width] (or a volume) read at the places of grid [batch, h, w, 2], x "
        "before "
        "y, -1 to 1 over the image; mode 'bilinear', 'nearest' or 'bicubic'; outside lie zeros, the border "
        "or the "
        "image's reflection.",
    .method = "function",
    .shape = sample_shape,
    .kernels = {KernelRow{.name = "loop", .run = sample_kernel}},
    .derivative = {wrt("input grid",
                       [](auto dy, auto input, auto grid, auto mode, auto padding_mode, auto align_corners) {
                         auto g = op_results(grid_sample_backward, dy, input, grid, mode, padding_mode,
                                             align_corners);
                         return results(g[0], g[1]);
                       })},
    .onnx =
        {{.map = "GridSample(input, grid, mode='linear', padding_mode=padding_mode, "
                 "align_corners=align_corners, =mode:'bilinear')",
          .since = 20},
         {.map = "GridSample(input, grid, mode='cubic', padding_mode=padding_mode, "
                 "align_corners=align_corners, =mode:'bicubic')",
          .since = 20},
         {.map = "GridSample(input, grid, mode='nearest', padding_mode=padding_mode, "
                 "align_corners=align_corners, =mode:'nearest')",
          .since = 20},
         {.map = "GridSample(input, grid, mode=mode, padding_mode=padding_mode, align_corners=align_corners)",
          .since = 16,
          .until = 20}},
    .netdef = none("Caffe2 has no such operator"),
    .autocast = Autocast::Float32,
    .samples =
        {shapes({2, 2, 4, 5}, {2, 3, 2, 2}).in(Domain::Unit, 1),
         shapes({1, 2, 4, 5}, {1, 3, 2, 2})
             .in(Domain::Unit, 1)
             .with("mode", "bicubic")
             .with("padding_mode", "border")
             .with("align_corners", true),
         shapes({1, 1, 3, 4, 2}, {1, 2, 1, 3, 3}).in(Domain::Unit, 1).with("padding_mode", "reflection"),
         shapes({1, 1, 3, 4}, {1, 2, 3, 2}).in(Domain::Unit, 1).with("mode", "nearest")},
};
constinit const Op grid_sample_backward_op{
    .schema =
        "grid_sample_backward(Tensor grad, Tensor input, Tensor grid, str mode='bilinear', str "
        "padding_mode='zeros', "
        "bool align_corners=False) -> (Tensor input_grad, Tensor grid_grad)",
    .doc = "Gradients of grid_sample.",
    .method = "function",
    .shape = sample_backward_shape,
    .kernels = {KernelRow{.name = "loop", .run = sample_backward_kernel}},
    .body = eager_body(grid_gradient_parts),
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shapes({2, 2, 3, 2}, {2, 2, 4, 5}, {2, 3, 2, 2}).in(Domain::Unit, 2).no_gradient(),
                shapes({1, 1, 2, 3}, {1, 1, 3, 4}, {1, 2, 3, 2})
                    .in(Domain::Unit, 2)
                    .with("mode", "nearest")
                    .no_gradient()},
};

}  // namespace moka::ops
