// Parts of a tensor named by strides over its elements in order: what writing in place into views means for gradients.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "moka/ops/define.h"
#include "moka/ops/kernels/add_in_order.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/shaping/shaping.h"

namespace moka {

namespace {
// The part of a contiguous tensor; errors name the operator.
void check_part(const Frame& f, std::span<const int64_t> sizes, std::span<const int64_t> strides) {
  MOKA_CHECK(sizes.size() == strides.size(), f.name(), ": ", sizes.size(), " sizes but ", strides.size(),
             " strides");
  for (size_t d = 0; d < sizes.size(); d++)
    MOKA_CHECK(sizes[d] >= 0 && strides[d] >= 0, f.name(), ": negative numbers in sizes ", sizes,
               " or strides ", strides);
}
Tensor part_view(const Frame& f, const Tensor& whole, std::span<const int64_t> sizes,
                 std::span<const int64_t> strides, int64_t offset) {
  check_part(f, sizes, strides);
  MOKA_CHECK(offset >= 0, f.name(), ": negative offset ", offset);
  int64_t last = offset;
  bool empty = false;
  for (size_t d = 0; d < sizes.size(); d++) {
    empty |= sizes[d] == 0;
    if (sizes[d] > 1) last = checked_add(last, checked_mul(sizes[d] - 1, strides[d], "part"), "part");
  }
  MOKA_CHECK(empty || last < whole.numel(), f.name(), ": sizes ", sizes, ", strides ", strides,
             " and offset ", offset, " reach past the ", whole.numel(), " elements of shape ", whole.sizes());
  return strided_view(whole, sizes, strides, empty ? 0 : whole.impl()->offset + offset);
}

void shape_part(Frame& f) { f.output(0, f.ints(1), f.tensor(0).dtype()); }
void run_part(Frame& f) {
  Tensor whole = as_contiguous(f.tensor(0));
  copy_elements(part_view(f, whole, f.ints(1), f.ints(2), f.integer(3)), f.outs[0]);
}

void shape_part_backward(Frame& f) {
  check_shape(f, 0, f.ints(2));
  f.output(0, f.ints(1), f.tensor(0).dtype());
}
void run_part_backward(Frame& f) {
  check_part(f, f.ints(2), f.ints(3));
  if (is_non_overlapping(f.ints(2), f.ints(3))) {
    std::memset(f.outs[0].raw_data(), 0, f.outs[0].bytes());
    return copy_elements(f.tensor(0), part_view(f, f.outs[0], f.ints(2), f.ints(3), f.integer(4)));
  }
  // Elements that the part shows several times get the sum of their gradients.
  Tensor dy = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput out(f, 0);
  std::memset(out.tensor().raw_data(), 0, out.tensor().bytes());
  Tensor part = part_view(f, out.tensor(), f.ints(2), f.ints(3), f.integer(4));
  if (dy.dtype() == DType::F64) add_in_order<double>(dy, part);
  else add_in_order<float>(dy, part);
  out.finish();
}

void shape_put(Frame& f) { f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype()); }
void run_put(Frame& f) {
  copy_elements(f.tensor(0), f.outs[0]);
  Tensor part = part_view(f, f.outs[0], f.ints(2), f.ints(3), f.integer(4));
  if (f.args[1].tag == Tag::Tensor) return copy_elements(f.tensor(1), part);
  double value = f.number(1);
  Tensor one = new_tensor({}, part.dtype());
  convert_elements(&value, DType::F64, one.raw_data(), one.dtype(), 1);
  copy_elements(one, part);
}
}  // namespace

namespace ops {

constinit const Op strided_part_op{
    .schema = "strided_part(Tensor input, int[] size, int[] stride, int offset) -> Tensor",
    .doc = "A copy of the elements that sizes, strides and offset show of input's elements in order.",
    .method = "none",
    .shape = shape_part,
    .kernels = {KernelRow{"copy", run_part}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto size, auto stride, auto offset) {
                         return strided_part_backward(dy, shape_of(input), size, stride, offset);
                       })},
    .onnx = none("graphs have no memory to share"),
    .netdef = none("graphs have no memory to share"),
    .samples = {shape(3, 4).with("size", {2, 2}).with("stride", {4, 2}).with("offset", 1),
                shape(4).with("size", {3, 2}).with("stride", {1, 0}).with("offset", 1),
                shape(5).with("size", {0}).with("stride", {1}).with("offset", 0)},
};
constinit const Op strided_part_backward_op{
    .schema = "strided_part_backward(Tensor dy, int[] shape, int[] size, int[] stride, int offset) -> Tensor",
    .doc = "Zeros of the given shape to which dy is added where strided_part read.",
    .method = "none",
    .shape = shape_part_backward,
    .kernels = {KernelRow{"add", run_part_backward}},
    .derivative = {wrt("dy", [](auto ddx, auto, auto, auto size, auto stride,
                                auto offset) { return strided_part(ddx, size, stride, offset); })},
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples =
        {shape(2, 2).with("shape", {3, 4}).with("size", {2, 2}).with("stride", {4, 2}).with("offset", 1),
         shape(3, 2).with("shape", {4}).with("size", {3, 2}).with("stride", {1, 0}).with("offset", 1)},
};
constinit const Op strided_put_op{
    .schema = "strided_put(Tensor input, Operand part, int[] size, int[] stride, int offset) -> Tensor",
    .doc = "input with `part` at the elements that sizes, strides and offset show.",
    .method = "none",
    .shape = shape_put,
    .kernels = {KernelRow{"copy", run_put}},
    .derivative = {wrt("input", [](auto dy, auto, auto, auto size, auto stride,
                                   auto offset) { return strided_put(dy, 0, size, stride, offset); }),
                   wrt("part", [](auto dy, auto, auto, auto size, auto stride,
                                  auto offset) { return strided_part(dy, size, stride, offset); })},
    .onnx = none("graphs have no memory to share"),
    .netdef = none("graphs have no memory to share"),
    .samples = {shapes({3, 4}, {2, 2}).with("size", {2, 2}).with("stride", {4, 2}).with("offset", 1),
                shapes({4}, {}).with("size", {2}).with("stride", {2}).with("offset", 0)},
};

}  // namespace ops
}  // namespace moka
