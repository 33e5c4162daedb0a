// Images in other sizes: nearest, linear and cubic, with and without a filter against aliasing.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "moka/ops/define.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/kernels/memory_format.h"
#include "moka/ops/resample/resample.h"
#include "moka/ops/resample/taps.h"

namespace moka::ops {

namespace {
enum class Mode { Nearest, NearestExact, Linear, Cubic, Lanczos };
Mode mode_argument(const Frame& f, int i) {
  std::string_view m = f.string(i);
  if (m == "nearest") return Mode::Nearest;
  if (m == "nearest-exact") return Mode::NearestExact;
  if (m == "linear") return Mode::Linear;
  if (m == "cubic") return Mode::Cubic;
  if (m == "lanczos") return Mode::Lanczos;
  fail_kind(ErrorKind::Value, f.name(),
            ": mode must be 'nearest', 'nearest-exact', 'linear', 'cubic' or 'lanczos', got '", m, "'");
}

double cubic_near(double x, double a) { return ((a + 2) * x - (a + 3)) * x * x + 1; }
double cubic_far(double x, double a) { return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a; }

// The whole part of a place in [0, most]; what lies outside, for scales near 0 far outside, is brought to the ends.
int64_t whole_place(double place, int64_t most) {
  return static_cast<int64_t>(std::fmin(std::fmax(place, 0.0), double(most)));
}

// A filter as wide as `scale` inputs, so that every input counts where the result is smaller.
void add_antialiased(Taps& t, Mode mode, int64_t out, double scale) {
  const double half = mode == Mode::Linear ? 1 : mode == Mode::Cubic ? 2 : 3, wide = std::max(scale, 1.0);
  auto sinc = [](double x) { return x == 0 ? 1 : std::sin(x * 3.141592653589793) / (x * 3.141592653589793); };
  auto filter = [&](double x) {
    x = std::fabs(x);
    if (mode == Mode::Lanczos) return x < 3 ? sinc(x) * sinc(x / 3) : 0.0;
    if (mode == Mode::Linear) return x < 1 ? 1 - x : 0.0;
    return x < 1 ? cubic_near(x, -0.5) : x < 2 ? cubic_far(x, -0.5) : 0.0;
  };
  for (int64_t o = 0; o < out; o++) {
    const double center = scale * (double(o) + 0.5), support = half * wide;
    const int64_t first = whole_place(center - support + 0.5, t.in);
    const int64_t last = whole_place(center + support + 0.5, t.in);
    double total = 0;
    for (int64_t i = first; i < last; i++) total += filter((double(i) - center + 0.5) / wide);
    for (int64_t i = first; i < last; i++)
      t.add(i, filter((double(i) - center + 0.5) / wide) / (total == 0 ? 1 : total));
    t.finish_output();
  }
}

Taps resize_taps(Mode mode, int64_t in, int64_t out, bool align, double given, bool antialias) {
  Taps t;
  t.in = in;
  if (mode == Mode::Nearest || mode == Mode::NearestExact) {
    // In float, as everywhere else: which neighbour is nearest must not depend on the type of the elements.
    const float scale =
        given > 0 ? static_cast<float>(1 / given) : static_cast<float>(in) / static_cast<float>(out);
    for (int64_t o = 0; o < out; o++) {
      const float place = (static_cast<float>(o) + (mode == Mode::NearestExact ? 0.5f : 0.f)) * scale;
      t.add(whole_place(place, in - 1), 1);
      t.finish_output();
    }
    return t;
  }
  const double scale = align       ? out > 1 ? double(in - 1) / double(out - 1) : 0.0
                       : given > 0 ? 1 / given
                                   : double(in) / double(out);
  if (antialias) {
    add_antialiased(t, mode, out, scale);
    return t;
  }
  for (int64_t o = 0; o < out; o++) {
    double place = align ? scale * double(o) : scale * (double(o) + 0.5) - 0.5;
    if (mode == Mode::Linear) {
      place = std::max(place, 0.0);
      const int64_t i = whole_place(place, in - 1);
      const double u = std::clamp(place - double(i), 0.0, 1.0);
      t.add(i, 1 - u);
      t.add(std::min(i + 1, in - 1), u);
    } else {
      const double floor = std::floor(place), u = place - floor, a = -0.75;
      const double w[4] = {cubic_far(u + 1, a), cubic_near(u, a), cubic_near(1 - u, a), cubic_far(2 - u, a)};
      for (int k = 0; k < 4; k++) t.add(whole_place(floor - 1 + k, in - 1), w[k]);
    }
    t.finish_output();
  }
  return t;
}

struct Resize {
  std::vector<Taps> axes;
  int64_t outer = 1;
  Dims from, to;
};
// Arguments `first`..: mode, align_corners, scales, antialias. `size` is that of the last axes, or the whole shape.
// Shape functions need no taps.
Resize plan(const Frame& f, std::span<const int64_t> input, const Dims& size, int first, bool with_taps) {
  MOKA_CHECK(input.size() >= 3 && input.size() <= 5, f.name(),
             ": input must have shape [batch, channels, ...] with 1 to 3 more dimensions, got ", input);
  const size_t rank = input.size() - 2;
  MOKA_CHECK_KIND(Value, size.size() == rank || size.size() == rank + 2, f.name(), ": size must have ", rank,
                  " elements, got ", size);
  std::span<const double> scales;
  if (f.has(first + 2)) {
    scales = f.args[first + 2].as_floats();
    MOKA_CHECK_KIND(Value, scales.size() == rank, f.name(), ": scales must have ", rank, " elements");
  }
  const Mode mode = mode_argument(f, first);
  MOKA_CHECK_KIND(Value, mode != Mode::Lanczos || f.flag(first + 3), f.name(),
                  ": mode 'lanczos' needs antialias");
  Resize r;
  r.from = r.to = Dims(input);
  r.outer = checked_mul(input[0], input[1], "resample");
  for (size_t k = 0; k < rank; k++) {
    const int64_t in = input[k + 2], out = size[size.size() - rank + k];
    MOKA_CHECK(in > 0 && out > 0, f.name(), ": input and output sizes must be greater than 0, got ", input,
               " and ", size);
    r.to[k + 2] = out;
  }
  const int64_t elements = checked_numel(r.to, "resample");
  if (!with_taps || elements == 0) return r;
  for (size_t k = 0; k < rank; k++)
    r.axes.push_back(resize_taps(mode, input[k + 2], r.to[k + 2], f.flag(first + 1),
                                 scales.empty() ? 0 : scales[k], f.flag(first + 3)));
  return r;
}

void resample_shape(Frame& f) {
  const Tensor& x = tensor_argument(f, 0);
  const Mode mode = mode_argument(f, 2);
  if (mode != Mode::Nearest && mode != Mode::NearestExact) floating_argument(f, 0);
  f.output(0, plan(f, x.sizes(), ints_argument(f, 1), 2, false).to, x.dtype());
}
void resample_kernel(Frame& f) {
  Resize r = plan(f, f.tensor(0).sizes(), ints_argument(f, 1), 2, true);
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput y(f, 0);
  by_kernel_dtype(x.dtype(), [&]<class T>(T*) { apply_taps<T>(r.axes, r.outer, x.data<T>(), y.data<T>()); });
  y.finish();
  follow_format(f, f.tensor(0));
}
Dims output_axes(const Frame& f) {
  const Tensor& dy = floating_argument(f, 0);
  MOKA_CHECK(dy.dim() >= 3, f.name(), ": grad must have at least 3 dimensions, got ", dy.sizes());
  return Dims(dy.sizes().subspan(2));
}
void resample_backward_shape(Frame& f) {
  Dims sizes = ints_argument(f, 1);
  check_shape(f, 0, plan(f, sizes, output_axes(f), 2, false).to);
  f.output(0, sizes, f.tensor(0).dtype());
}
void resample_backward_kernel(Frame& f) {
  Resize r = plan(f, ints_argument(f, 1), output_axes(f), 2, true);
  Tensor dy = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput dx(f, 0);
  by_kernel_dtype(dy.dtype(), [&]<class T>(T*) {
    apply_taps_transposed<T>(r.axes, r.outer, dy.data<T>(), dx.data<T>());
  });
  dx.finish();
}
}  // namespace

constinit const Op resample_op{
    .schema =
        "resample(Tensor input, int[] size, str mode, bool align_corners=False, float[]? scales=None, bool "
        "antialias=False) -> Tensor",
    .doc =
        "[batch, channels, ...] in another size: mode 'nearest', 'nearest-exact', 'linear' or 'cubic' over "
        "all "
        "further dimensions. scales, where given, say how far apart the results lie; antialias widens the "
        "filter "
        "where the result is smaller.",
    .method = "function",
    .shape = resample_shape,
    .kernels = {KernelRow{.name = "taps", .run = resample_kernel}},
    .derivative = {wrt(
        "input",
        [](auto dy, auto input, auto, auto mode, auto align_corners, auto scales, auto antialias) {
          return resample_backward(dy, shape_of(input), mode, align_corners, scales, antialias);
        })},
    .onnx = none("written as Resize by an adapter"),
    .netdef = none("ResizeNearest of Caffe2 takes scales alone; written by hand"),
    .samples = {shape(1, 2, 3, 4).with("size", {5, 6}).with("mode", "linear"),
                shape(1, 2, 4, 5).with("size", {3, 7}).with("mode", "cubic").with("align_corners", true),
                shape(2, 1, 5).with("size", {3}).with("mode", "nearest"),
                shape(1, 1, 2, 3, 2).with("size", {3, 2, 4}).with("mode", "nearest-exact"),
                shape(1, 1, 7, 6).with("size", {3, 2}).with("mode", "linear").with("antialias", true),
                shape(0, 1, 2).with("size", {3}).with("mode", "linear")},
};
constinit const Op resample_backward_op{
    .schema =
        "resample_backward(Tensor grad, int[] sizes, str mode, bool align_corners=False, float[]? "
        "scales=None, "
        "bool antialias=False) -> Tensor",
    .doc = "Gradient of resample with respect to its input, whose shape is `sizes`.",
    .method = "function",
    .shape = resample_backward_shape,
    .kernels = {KernelRow{.name = "taps", .run = resample_backward_kernel}},
    .derivative = {wrt(
        "grad",
        [](auto dy, auto grad, auto, auto mode, auto align_corners, auto scales, auto antialias) {
          return resample(dy, shape_of(grad), mode, align_corners, scales, antialias);
        })},
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shape(1, 2, 5, 6).with("sizes", {1, 2, 3, 4}).with("mode", "linear"),
                shape(2, 1, 3).with("sizes", {2, 1, 5}).with("mode", "cubic")},
};

}  // namespace moka::ops

MOKA_OP_TABLE(resample, MOKA_RESAMPLE_OPS)
