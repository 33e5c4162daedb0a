// Padding that repeats the input: mirrored at its border, its last element again, or from its other end.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/ops/define.h"
#include "moka/ops/kernels/differentiable.h"
#include "moka/ops/kernels/memory_format.h"
#include "moka/ops/resample/resample.h"
#include "moka/ops/resample/taps.h"

namespace moka::ops {

namespace {
struct Border {
  std::vector<Taps> axes;
  int64_t outer = 1;
  Dims to;
};
// Arguments `first`..: pad (pairs from the last dimension on), mode. Shape functions need no taps.
Border plan(const Frame& f, std::span<const int64_t> sizes, int first, bool with_taps) {
  Dims pad = ints_argument(f, first);
  std::string_view mode = f.string(first + 1);
  const bool reflect = mode == "reflect", circular = mode == "circular";
  MOKA_CHECK_KIND(NotImplemented, reflect || circular || mode == "replicate", f.name(),
                  ": mode must be 'reflect', 'replicate' or 'circular', got '", mode, "'");
  const size_t count = pad.size() / 2;
  MOKA_CHECK(pad.size() % 2 == 0 && count >= 1 && count <= sizes.size(), f.name(),
             ": pad must hold pairs for at most ", sizes.size(), " dimensions, got ", pad);
  Border b;
  b.to = Dims(sizes);
  b.outer = checked_numel(sizes.first(sizes.size() - count), "padding");
  for (size_t k = 0; k < count; k++) {
    const size_t d = sizes.size() - 1 - k;
    b.to[d] = checked_add(checked_add(sizes[d], pad[2 * k], "padding"), pad[2 * k + 1], "padding");
    MOKA_CHECK(b.to[d] >= 0, f.name(), ": the pads (", pad[2 * k], ", ", pad[2 * k + 1],
               ") remove more than dimension ", d, " of shape ", sizes, " has");
  }
  const bool empty = checked_numel(b.to, "padding") == 0;
  for (size_t k = count; k-- > 0;) {
    const size_t d = sizes.size() - 1 - k;
    const int64_t in = sizes[d], before = pad[2 * k], after = pad[2 * k + 1];
    MOKA_CHECK(in > 0, f.name(), ": dimension ", d, " of shape ", sizes, " is empty");
    if (reflect)
      MOKA_CHECK(before < in && after < in, f.name(),
                 ": Padding size should be less than the corresponding input dimension for reflection, got (",
                 before, ", ", after, ") for dimension ", d, " of shape ", sizes);
    if (circular)
      MOKA_CHECK(before <= in && after <= in, f.name(),
                 ": circular padding must not wrap around more than once, got (", before, ", ", after,
                 ") for dimension ", d, " of shape ", sizes);
    const int64_t out = b.to[d];
    Taps t;
    t.in = in;
    for (int64_t o = 0; o < out && with_taps && !empty; o++) {
      int64_t i = o - before;
      if (reflect) i = i < 0 ? -i : i >= in ? 2 * (in - 1) - i : i;
      else if (circular) {
        // What a negative pad removes is not wrapped to.
        const int64_t low = std::max<int64_t>(-before, 0), high = in - std::max<int64_t>(-after, 0);
        const int64_t kept = std::max<int64_t>(high - low, 1);
        i = low + ((i - low) % kept + kept) % kept;
      }
      t.add(std::clamp<int64_t>(i, 0, in - 1), 1);
      t.finish_output();
    }
    b.axes.push_back(std::move(t));
  }
  return b;
}

void pad_shape(Frame& f) {
  const Tensor& x = tensor_argument(f, 0);
  f.output(0, plan(f, x.sizes(), 1, false).to, x.dtype());
}
void pad_kernel(Frame& f) {
  Border b = plan(f, f.tensor(0).sizes(), 1, true);
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput y(f, 0);
  by_kernel_dtype(x.dtype(), [&]<class T>(T*) { apply_taps<T>(b.axes, b.outer, x.data<T>(), y.data<T>()); });
  y.finish();
  follow_format(f, f.tensor(0));
}
void pad_backward_shape(Frame& f) {
  differentiable_argument(f, 0);
  Dims sizes = ints_argument(f, 1);
  check_shape(f, 0, plan(f, sizes, 2, false).to);
  f.output(0, sizes, f.tensor(0).dtype());
}
void pad_backward_kernel(Frame& f) {
  Border b = plan(f, ints_argument(f, 1), 2, true);
  Tensor dy = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput dx(f, 0);
  by_kernel_dtype(dy.dtype(), [&]<class T>(T*) {
    apply_taps_transposed<T>(b.axes, b.outer, dy.data<T>(), dx.data<T>());
  });
  dx.finish();
}
}  // namespace

constinit const Op pad_border_op{
    .schema = "pad_border(Tensor input, int[] pad, str mode) -> Tensor",
    .doc =
        "Pads with the input itself: mode 'reflect' mirrors it at its border, 'replicate' repeats its last "
        "element, "
        "'circular' goes on at its other end. pad lists (before, after) from the last dimension on; negative "
        "numbers "
        "remove.",
    .method = "function",
    .shape = pad_shape,
    .kernels = {KernelRow{.name = "taps", .run = pad_kernel}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto pad, auto mode) {
                         return pad_border_backward(dy, shape_of(input), pad, mode);
                       })},
    .onnx = none("written as Pad by an adapter"),
    .netdef = none("PadImage of Caffe2 pads images"),
    .autocast = Autocast::Float32,
    .piecewise_linear = true,
    .samples = {shape(2, 3, 4).with("pad", {1, 2}).with("mode", "reflect"),
                shape(2, 3, 4).with("pad", {3, -1, 0, 4}).with("mode", "replicate"),
                shape(3, 4).with("pad", {4, 1, 2, 0}).with("mode", "circular"),
                shape(0, 3).with("pad", {1, 1}).with("mode", "reflect")},
};
constinit const Op pad_border_backward_op{
    .schema = "pad_border_backward(Tensor grad, int[] sizes, int[] pad, str mode) -> Tensor",
    .doc = "Gradient of pad_border with respect to its input, whose shape is `sizes`.",
    .method = "function",
    .shape = pad_backward_shape,
    .kernels = {KernelRow{.name = "taps", .run = pad_backward_kernel}},
    .derivative = {wrt("grad",
                       [](auto dy, auto, auto, auto pad, auto mode) { return pad_border(dy, pad, mode); })},
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shape(2, 7).with("sizes", {2, 4}).with("pad", {1, 2}).with("mode", "reflect"),
                shape(6, 2).with("sizes", {3, 2}).with("pad", {0, 0, 1, 2}).with("mode", "circular")},
};

}  // namespace moka::ops
