// Copies, conversions and the gradients of views.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "moka/ops/creation/creation.h"
#include "moka/ops/define.h"
#include "moka/ops/kernels/memory_format.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/tensor/meta.h"

namespace moka {

namespace {
void zero(const Tensor& t) { std::memset(t.raw_data(), 0, t.bytes()); }

// ---- gradients of views: zeros of the whole shape with dy in the part that was shown
template <void (*View)(Frame&)>
void scatter_view(Frame& f) {
  const Tensor& out = f.outs[0];
  zero(out);
  // The view of the result is made by the forward operator itself, with `out` in place of its input.
  Arg args[6];
  args[0] = out;
  for (int i = 2; i < f.count; i++) args[i - 1] = f.args[i];
  Frame forward(f.op, args, f.count - 1);
  View(forward);
  copy_elements(f.tensor(0), forward.outs[0]);
}
void shape_scatter(Frame& f) { f.output(0, f.ints(1), f.tensor(0).dtype()); }
void view_with(Frame& f, const Op& op) {
  Frame g(op, f.args, f.count);
  op.view(g);
  f.outs = std::move(g.outs);
}
void slice_view(Frame& f) { view_with(f, ops::slice_op); }
void select_view(Frame& f) { view_with(f, ops::select_op); }
void narrow_view(Frame& f) { view_with(f, ops::narrow_op); }

// ---- copies
void shape_clone(Frame& f) { output_in_format(f, 1, f.tensor(0), f.tensor(0).dtype(), f.tensor(0).device()); }
void run_copy(Frame& f) { copy_elements(f.tensor(0), f.outs[0]); }

void view_contiguous(Frame& f) {
  f.outs.resize(1);
  const Tensor& x = f.tensor(0);
  if (!f.infer && f.has(1)) {
    MOKA_CHECK(f.string(1) != "preserve_format",
               "contiguous: preserve memory format is unsupported by the contiguous "
               "operator");
    f.outs[0] = x;
    if (is_in_format(f.string(1), x)) return;
    f.outs[0] =
        new_strided_tensor(x.sizes(), format_strides(f.string(1), x, "contiguous"), x.dtype(), x.device());
    return copy_elements(x, f.outs[0]);
  }
  f.outs[0] = f.infer ? shape_only(x.sizes(), x.dtype()) : as_contiguous(x);
}
void view_to(Frame& f) {
  const Tensor& x = f.tensor(0);
  f.outs.resize(1);
  DType dtype = f.has(1) ? f.args[1].dtype : x.dtype();
  Device device = f.has(2) ? f.args[2].device : x.device();
  bool copy = f.flag(3);
  if (f.infer) {
    f.outs[0] = shape_only(x.sizes(), dtype);
    return;
  }
  if (device.type != meta_device_type) check_has_values(x, "to");
  MOKA_CHECK(device == x.device() || device.type == meta_device_type, "to: copies between ", x.device(),
             " and ", device, " are not available in this build");
  const bool formatted = f.has(4);
  // Where sizes of 1 leave the order open, strides tell which one is meant.
  const auto lies = [&](std::string_view format) {
    return format == "preserve_format" ||
           (is_in_format(format, x) && has_channels_last(x) == (format != "contiguous_format"));
  };
  if (dtype == x.dtype() && !copy && device == x.device() && (!formatted || lies(f.string(4)))) {
    f.outs[0] = x;
    return;
  }
  const std::string_view order = formatted ? f.string(4) : "preserve_format";
  f.outs[0] = !formatted && has_plain_strides(x)
                  ? new_tensor(x.sizes(), dtype, device)
                  : new_strided_tensor(x.sizes(), format_strides(order, x, "to"), dtype, device);
  copy_elements(x, f.outs[0]);
}

void shape_copy_into(Frame& f) {
  Dims shape = broadcast_shape(f.tensor(0).sizes(), f.tensor(1).sizes(), "copy_");
  MOKA_CHECK(std::equal(shape.begin(), shape.end(), f.tensor(0).sizes().begin(), f.tensor(0).sizes().end()),
             "copy_: shape ", f.tensor(1).sizes(), " does not broadcast to ", f.tensor(0).sizes());
  if (f.given & 1 && f.outs[0] == f.tensor(0)) return;  // written without a detour
  f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype());
}
void run_copy_into(Frame& f) {
  const Tensor &src = f.tensor(1), &out = f.outs[0];
  if (src.impl()->storage != out.impl()->storage) return copy_elements(src, out);
  Tensor apart = new_tensor(src.sizes(), src.dtype(), src.device());  // the two may overlap
  copy_elements(src, apart);
  copy_elements(apart, out);
}

void shape_of_shape(Frame& f) {
  const int64_t n[] = {f.tensor(0).dim()};
  f.output(0, n, DType::I64);
}
void run_shape(Frame& f) {
  const Tensor& x = f.tensor(0);
  std::copy(x.sizes().begin(), x.sizes().end(), f.outs[0].data<int64_t>());
}
}  // namespace

namespace ops {

constinit const Op slice_backward_op{
    .schema = "slice_backward(Tensor dy, int[] shape, int dim, int? start, int? end, int step) -> Tensor",
    .doc = "Zeros of the given shape with dy in the slice.",
    .method = "none",
    .shape = shape_scatter,
    .kernels = {KernelRow{"copy", scatter_view<slice_view>}},
    .derivative = {wrt("dy", [](auto ddx, auto, auto, auto dim, auto start, auto end,
                                auto step) { return slice(ddx, dim, start, end, step); })},
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {},
};
constinit const Op select_backward_op{
    .schema = "select_backward(Tensor dy, int[] shape, int dim, int index) -> Tensor",
    .doc = "Zeros of the given shape with dy at the index.",
    .method = "none",
    .shape = shape_scatter,
    .kernels = {KernelRow{"copy", scatter_view<select_view>}},
    .derivative = {wrt("dy",
                       [](auto ddx, auto, auto, auto dim, auto index) { return select(ddx, dim, index); })},
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {},
};
constinit const Op narrow_backward_op{
    .schema = "narrow_backward(Tensor dy, int[] shape, int dim, int start, int length) -> Tensor",
    .doc = "Zeros of the given shape with dy in the narrowed part.",
    .method = "none",
    .shape = shape_scatter,
    .kernels = {KernelRow{"copy", scatter_view<narrow_view>}},
    .derivative = {wrt("dy", [](auto ddx, auto, auto, auto dim, auto start,
                                auto length) { return narrow(ddx, dim, start, length); })},
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {},
};
constinit const Op contiguous_op{
    .schema = "contiguous(Tensor input, *, str? memory_format=None) -> Tensor",
    .doc = "input itself if its elements lie in order, else a copy that does.",
    .method = "method",
    .view = view_contiguous,
    .derivative = {wrt("input", [](auto dy) { return dy; })},
    .batch = as_it_is(),
    .onnx = none("no computation in value graphs"),
    .netdef = none("no computation in value graphs"),
    .samples = {shape(2, 3), shape(0)},
};
constinit const Op clone_op{
    .schema = "clone(Tensor input, *, str? memory_format=None) -> Tensor",
    .doc = "A copy in memory of its own.",
    .shape = shape_clone,
    .kernels = {KernelRow{"copy", run_copy}},
    .derivative = {wrt("input", [](auto dy) { return dy; })},
    .batch = as_it_is(),
    .onnx = none("written as Identity"),
    .netdef = "Copy(input)",
    .samples = {shape(2, 3), shape(0)},
};
constinit const Op to_op{
    .schema =
        "to(Tensor input, DType? dtype=None, Device? device=None, bool copy=False, str? memory_format=None) "
        "-> Tensor",
    .doc = "input in another element type or on another device; input itself where nothing changes.",
    .method = "none",  // the Python method takes its arguments in many orders; the bindings spell it
    .view = view_to,
    .derivative = {wrt("input", [](auto dy) { return dy; })},
    .batch = as_it_is(),
    .onnx = "Cast(input, to=dtype_code(dtype), saturate?=1)",
    .netdef = "Cast(input, to=dtype_code(dtype))",
    .samples = {shape(2, 3).with("copy", true), shape(0)},
};
constinit const Op copy__op{
    .schema = "copy_(Tensor input, Tensor src) -> Tensor",
    .doc = "Writes the elements of src, broadcast and converted, into input.",
    .method = "method",
    .shape = shape_copy_into,
    .kernels = {KernelRow{"copy", run_copy_into}},
    .derivative = {wrt("input", [](auto dy) { return zeros_like(dy); }),
                   wrt("src", [](auto dy) { return dy; })},
    .onnx = none("an in-place write; graphs see its value"),
    .netdef = none("an in-place write; graphs see its value"),
    .samples = {shapes({2, 3}, {3}), shapes({0}, {1})},
};
constinit const Op sizes_op{
    .schema = "shape(Tensor input) -> Tensor",
    .doc = "The sizes of input as an int64 vector.",
    .method = "none",
    .shape = shape_of_shape,
    .kernels = {KernelRow{"read", run_shape}},
    .derivative = none("the result holds integers"),
    .onnx = "Shape(input, start?=0)",
    .netdef = "Shape(input)",
    .samples = {shape(2, 3).no_gradient(), shape().no_gradient()},
};

}  // namespace ops
}  // namespace moka

MOKA_OP_TABLE(shaping, MOKA_SHAPING_OPS)
