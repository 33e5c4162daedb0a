// Joins: cat and stack.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "moka/ops/define.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/kernels/memory_format.h"
#include "moka/ops/shaping/shaping.h"

namespace moka {

namespace {
DType joined_type(std::span<const Tensor> list, std::string_view op) {
  MOKA_CHECK_KIND(Value, !list.empty(), op, ": expected at least one tensor, got an empty list");
  DType d = list[0].dtype();
  for (const Tensor& t : list) d = promote(d, t.dtype());
  return d;
}
// An empty 1-d tensor joins with anything, as in PyTorch.
bool is_skipped(const Tensor& t) { return t.dim() == 1 && t.size(0) == 0; }

int cat_dim(std::span<const Tensor> list, int64_t dim) {
  for (const Tensor& t : list)
    if (!is_skipped(t)) {
      MOKA_CHECK(t.dim() > 0, "cat: 0-d tensors cannot be joined; use stack");
      return wrap_dim(dim, t.dim(), "cat");
    }
  return 0;
}
void shape_cat(Frame& f) {
  check_no_overlap(f, 0);
  std::span<const Tensor> list = f.tensors(0);
  DType dtype = joined_type(list, "cat");
  const Tensor* model = nullptr;
  for (const Tensor& t : list)
    if (!is_skipped(t) && !model) model = &t;
  if (!model) {
    const int64_t none[] = {0};
    return f.output(0, none, dtype, list[0].device());
  }
  int d = cat_dim(list, f.integer(1));
  Dims sizes(model->sizes());
  sizes[d] = 0;
  for (const Tensor& t : list) {
    if (is_skipped(t)) continue;
    MOKA_CHECK(t.dim() == model->dim(), "cat: tensors of ", model->dim(), " and ", t.dim(),
               " dimensions cannot be joined (shapes ", model->sizes(), " and ", t.sizes(), ")");
    for (int k = 0; k < t.dim(); k++)
      MOKA_CHECK(k == d || t.size(k) == model->size(k),
                 "cat: Sizes of tensors must match except in dimension ", d, ". Expected size ",
                 model->size(k), " but got size ", t.size(k), " for tensor number ", &t - list.data(),
                 " in the list: shapes ", model->sizes(), " and ", t.sizes(), " differ in dimension ", k);
    sizes[d] = checked_add(sizes[d], t.size(d), "cat");
  }
  f.output(0, sizes, dtype, list[0].device());
}
// Contiguous tensors of one type join as runs of bytes; work this small is not worth sharing among threads.
bool joins_as_bytes(std::span<const Tensor> list, const Tensor& out) {
  if (out.bytes() > (1 << 16) || !out.is_contiguous()) return false;
  return std::all_of(list.begin(), list.end(),
                     [&](const Tensor& t) { return t.dtype() == out.dtype() && t.is_contiguous(); });
}
void join_bytes(std::span<const Tensor> list, const Tensor& out, int dim) {
  size_t outer = 1;
  for (int k = 0; k < dim; k++) outer *= static_cast<size_t>(out.size(k));
  char* to = out.data<char>();
  for (size_t o = 0; o < outer; o++)
    for (const Tensor& t : list) {
      size_t run = t.bytes() / outer;
      if (run) std::memcpy(to, t.data<char>() + o * run, run);
      to += run;
    }
}
void join(Frame& f) {
  std::span<const Tensor> list = f.tensors(0);
  const Tensor& out = f.outs[0];
  if (out.numel() == 0) return;
  int d = cat_dim(list, f.integer(1));
  if (joins_as_bytes(list, out)) return join_bytes(list, out, d);
  int64_t at = 0;
  for (const Tensor& t : list) {
    if (t.numel() == 0) continue;
    copy_elements(t, strided_view(out, t.sizes(), out.strides(), out.impl()->offset + at * out.stride(d)));
    at += t.size(d);
  }
}
void run_cat(Frame& f) {
  join(f);
  std::span<const Tensor> list = f.tensors(0);
  if (std::all_of(list.begin(), list.end(), has_channels_last)) follow_format(f, list[0]);
}

void shape_stack(Frame& f) {
  std::span<const Tensor> list = f.tensors(0);
  DType dtype = joined_type(list, "stack");
  int d = wrap_dim(f.integer(1), list[0].dim() + 1, "stack");
  for (const Tensor& t : list)
    MOKA_CHECK(std::equal(t.sizes().begin(), t.sizes().end(), list[0].sizes().begin(), list[0].sizes().end()),
               "stack: stack expects each tensor to be equal size, but got ", list[0].sizes(),
               " at entry 0 and ", t.sizes(), " at entry ", &t - list.data());
  Dims sizes(list[0].sizes());
  sizes.insert(static_cast<size_t>(d), static_cast<int64_t>(list.size()));
  f.output(0, sizes, dtype, list[0].device());
}
void run_stack(Frame& f) {
  std::span<const Tensor> list = f.tensors(0);
  const Tensor& out = f.outs[0];
  int d = wrap_dim(f.integer(1), list[0].dim() + 1, "stack");
  if (out.numel() == 0) return;
  if (joins_as_bytes(list, out)) return join_bytes(list, out, d);
  Dims strides(out.strides());
  strides.erase(static_cast<size_t>(d));
  for (size_t i = 0; i < list.size(); i++)
    copy_elements(list[i], strided_view(out, list[i].sizes(), strides,
                                        out.impl()->offset + static_cast<int64_t>(i) * out.stride(d)));
}

// The parts of dy that belong to each tensor of a cat: tensors are given for their shapes.
void view_cat_backward(Frame& f) {
  const Tensor& dy = f.tensor(0);
  std::span<const Tensor> list = f.tensors(1);
  f.outs.resize(list.size());
  if (list.empty()) return;
  int d = cat_dim(list, f.integer(2));
  int64_t at = 0;
  for (size_t i = 0; i < list.size(); i++) {
    const Tensor& t = list[i];
    if (is_skipped(t)) {
      f.outs[i] = new_tensor(t.sizes(), dy.dtype(), dy.device());
      continue;
    }
    Tensor part =
        strided_view(dy, t.sizes(), dy.strides(), dy.impl()->offset + (t.numel() ? at * dy.stride(d) : 0));
    f.outs[i] = part.dtype() == t.dtype() ? part : to_dtype(part, t.dtype());
    at += t.size(d);
  }
}
}  // namespace

namespace ops {

constinit const Op concat_op{
    .schema = "cat(Tensor[] tensors, int dim=0) -> Tensor",
    .doc = "Joins tensors along an existing dimension.",
    .method = "function",
    .shape = shape_cat,
    .kernels = {KernelRow{"copy", run_cat}},
    .derivative = {wrt("tensors",
                       [](auto dy, auto tensors, auto dim) {
                         return op_list(cat_backward, dy, only_shapes(tensors), dim);
                       })},
    .batch = over_dims("dim"),
    .onnx = "Concat(*tensors, axis=dim)",
    .netdef = "Concat(*tensors, axis=dim) -> (output, split_info)",
    .autocast = Autocast::Widest,
    .samples = {shapes({2, 3}, {4, 3}).as_list(), shapes({2, 1}, {2, 3}).as_list().with("dim", -1),
                shapes({0, 2}, {1, 2}).as_list()},
};
constinit const Op cat_backward_op{
    .schema = "cat_backward(Tensor dy, Tensor[] tensors, int dim) -> Tensor[]",
    .doc = "The parts of dy that belong to each of the tensors that cat joined.",
    .method = "none",
    .view = view_cat_backward,
    .derivative = {wrt("dy", [](auto ddxs, auto, auto, auto dim) { return concat(ddxs, dim); })},
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {},
};
constinit const Op stack_op{
    .schema = "stack(Tensor[] tensors, int dim=0) -> Tensor",
    .doc = "Joins tensors of one shape along a new dimension.",
    .method = "function",
    .shape = shape_stack,
    .kernels = {KernelRow{"copy", run_stack}},
    .derivative = {wrt("tensors", [](auto dy, auto, auto dim) { return op_list(unbind, dy, dim); })},
    .batch = over_dims("dim+"),
    .onnx = none("written as Unsqueeze and Concat"),
    .netdef = none("written as ExpandDims and Concat"),
    .autocast = Autocast::Widest,
    .samples = {shapes({2, 3}, {2, 3}).as_list(), shapes({2}, {2}).as_list().with("dim", 1)},
};

}  // namespace ops
}  // namespace moka
