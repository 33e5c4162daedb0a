// Operators that move elements: joins, copies, conversions and the gradients of views.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>

#include "moka/base/parallel.h"
#include "moka/ops/arranging/arranging.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/define.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/kernels/memory_format.h"
#include "moka/ops/shaping/shaping.h"

namespace moka {

namespace {
void zero(const Tensor& t) { std::memset(t.raw_data(), 0, t.bytes()); }

// ---- cat and stack
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
      MOKA_CHECK(k == d || t.size(k) == model->size(k), "cat: shapes ", model->sizes(), " and ", t.sizes(),
                 " differ in dimension ", k, "; only dimension ", d, " may");
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
void run_cat(Frame& f) {
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

void shape_stack(Frame& f) {
  std::span<const Tensor> list = f.tensors(0);
  DType dtype = joined_type(list, "stack");
  int d = wrap_dim(f.integer(1), list[0].dim() + 1, "stack");
  for (const Tensor& t : list)
    MOKA_CHECK(std::equal(t.sizes().begin(), t.sizes().end(), list[0].sizes().begin(), list[0].sizes().end()),
               "stack: all tensors must have one shape, got ", list[0].sizes(), " and ", t.sizes());
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
  int d = cat_dim(list, f.integer(2));
  f.outs.resize(list.size());
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
void shape_same(Frame& f) { f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype()); }
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
  MOKA_CHECK(device == x.device(), "to: copies between ", x.device(), " and ", device,
             " are not available in this build");
  bool formatted = f.has(4);
  if (dtype == x.dtype() && !copy &&
      (!formatted || f.string(4) == "preserve_format" || is_in_format(f.string(4), x))) {
    f.outs[0] = x;
    return;
  }
  const std::string_view order = formatted ? f.string(4) : "preserve_format";
  f.outs[0] = !formatted && x.is_contiguous()
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

// ---- repeats
void shape_repeat(Frame& f) {
  const Tensor& x = f.tensor(0);
  std::span<const int64_t> repeats = f.ints(1);
  int lead = static_cast<int>(repeats.size()) - x.dim();
  MOKA_CHECK(lead >= 0, "repeat: ", repeats.size(), " repeats given for a ", x.dim(),
             "-d tensor; expected at least as many");
  Dims sizes(repeats.size());
  for (size_t i = 0; i < repeats.size(); i++) {
    MOKA_CHECK(repeats[i] >= 0, "repeat: negative repeat ", repeats[i], " in ", repeats);
    int d = static_cast<int>(i) - lead;
    sizes[i] = checked_mul(d < 0 ? 1 : x.size(d), repeats[i], "repeat");
  }
  f.output(0, sizes, x.dtype());
}
void run_repeat(Frame& f) {
  const Tensor& x = f.tensor(0);
  const Tensor& out = f.outs[0];
  if (out.numel() == 0) return;
  std::span<const int64_t> repeats = f.ints(1);
  int n = out.dim(), lead = n - x.dim();
  // View the result as [r0, n0, r1, n1, ...] and broadcast the input into it, one repeat index at a time of the outer half.
  Dims sizes, strides, from_sizes;
  for (int i = 0; i < n; i++) {
    int64_t own = i < lead ? 1 : x.size(i - lead);
    sizes.push_back(repeats[static_cast<size_t>(i)]);
    strides.push_back(out.stride(i) * own);
    sizes.push_back(own);
    strides.push_back(out.stride(i));
    from_sizes.push_back(1);
    from_sizes.push_back(own);
  }
  MOKA_CHECK(sizes.size() <= max_dims, "repeat: at most ", max_dims / 2, " dimensions, got ", n);
  Tensor from = as_contiguous(x);
  copy_elements(strided_view(from, from_sizes, contiguous_strides(from_sizes), from.impl()->offset),
                strided_view(out, sizes, strides, out.impl()->offset));
}

template <class Word>
void reverse_words(const char* from, char* to, int64_t n) {
  const Word* a = reinterpret_cast<const Word*>(from);
  Word* b = reinterpret_cast<Word*>(to);
  for (int64_t i = 0; i < n; i++) b[i] = a[n - 1 - i];
}
void copy_backwards(const char* from, char* to, int64_t n, int64_t item) {
  switch (item) {
    case 1: return reverse_words<uint8_t>(from, to, n);
    case 2: return reverse_words<uint16_t>(from, to, n);
    case 4: return reverse_words<uint32_t>(from, to, n);
    case 8: return reverse_words<uint64_t>(from, to, n);
    default: return reverse_words<std::array<uint64_t, 2>>(from, to, n);
  }
}
void run_flip(Frame& f) {
  Tensor x = as_contiguous(f.tensor(0));
  const Tensor& out = f.outs[0];
  uint64_t flipped = 0;
  for (int64_t d : f.ints(1)) {
    int k = wrap_dim(d, x.dim(), "flip");
    MOKA_CHECK(!(flipped >> k & 1), "flip: dimension ", k, " comes twice in ", f.ints(1));
    flipped |= uint64_t(1) << k;
  }
  if (!x.numel()) return;
  const int last = x.dim() - 1;
  const int64_t inner = last < 0 ? 1 : x.size(last), item = static_cast<int64_t>(item_size(x.dtype()));
  const bool backwards = last >= 0 && flipped >> last & 1;
  const char* from = static_cast<const char*>(x.raw_data());
  char* to = static_cast<char*>(out.raw_data());
  parallel_for(0, x.numel() / inner, 32768 / inner + 1, [&](int64_t first, int64_t end) {
    for (int64_t row = first; row < end; row++) {
      int64_t rest = row, source = 0;
      for (int d = last; d-- > 0;) {
        int64_t k = rest % x.size(d);
        rest /= x.size(d);
        source += (flipped >> d & 1 ? x.size(d) - 1 - k : k) * x.stride(d);
      }
      const char* in = from + source * item;
      if (backwards) copy_backwards(in, to + row * inner * item, inner, item);
      else std::memcpy(to + row * inner * item, in, static_cast<size_t>(inner * item));
    }
  });
}

// ---- constant padding: pad lists (before, after) from the last dimension on, as torch.nn.functional.pad
void shape_pad(Frame& f) {
  const Tensor& x = f.tensor(0);
  std::span<const int64_t> pad = f.ints(1);
  MOKA_CHECK(pad.size() % 2 == 0 && static_cast<int>(pad.size()) <= 2 * x.dim(), "pad: expected up to ",
             2 * x.dim(), " numbers in pairs for shape ", x.sizes(), ", got ", pad);
  Dims sizes(x.sizes());
  for (size_t i = 0; i < pad.size() / 2; i++) {
    int d = x.dim() - 1 - static_cast<int>(i);
    sizes[d] = checked_add(checked_add(sizes[d], pad[2 * i], "pad"), pad[2 * i + 1], "pad");
    MOKA_CHECK(sizes[d] >= 0, "pad: ", pad, " removes more than dimension ", d, " of shape ", x.sizes(),
               " has");
  }
  f.output(0, sizes, x.dtype());
}
// Row by row: what stands before a row of the input, the row, what stands behind it.
template <class Word>
void pad_rows(const Tensor& x, const Tensor& out, std::span<const int64_t> pad, Word value) {
  const int last = x.dim() - 1;
  auto before = [&](int d) { return last - d < int(pad.size()) / 2 ? pad[2 * (last - d)] : 0; };
  const int64_t width = out.size(last), shift = before(last);
  const int64_t left = std::clamp<int64_t>(shift, 0, width);
  const int64_t right = std::clamp(shift + x.size(last), left, width);
  const Word* from = x.data<Word>();
  Word* to = out.data<Word>();
  const int64_t rows = last > 0 ? out.size(last - 1) : 1, above = last > 0 ? before(last - 1) : 0;
  const int64_t height = last > 0 ? x.size(last - 1) : 1, step = last > 0 ? x.stride(last - 1) : 0;
  parallel_for(0, out.numel() / width, 16384 / width + 1, [&](int64_t first, int64_t end) {
    int64_t start = 0;
    bool inside = false;
    auto enter = [&](int64_t plane) {
      start = left - shift;
      inside = true;
      for (int d = last - 1; d-- > 0; plane /= out.size(d)) {
        const int64_t k = plane % out.size(d) - before(d);
        inside = inside && k >= 0 && k < x.size(d);
        start += k * x.stride(d);
      }
    };
    int64_t plane = first / rows, in_plane = first % rows;
    enter(plane);
    for (int64_t r = first; r < end; r++) {
      Word* row = to + r * width;
      const int64_t k = in_plane - above;
      if (!inside || k < 0 || k >= height) {
        std::fill_n(row, width, value);
      } else {
        for (int64_t i = 0; i < left; i++) row[i] = value;
        std::memcpy(row + left, from + start + k * step, static_cast<size_t>(right - left) * sizeof(Word));
        for (int64_t i = right; i < width; i++) row[i] = value;
      }
      if (++in_plane == rows) {
        in_plane = 0;
        enter(++plane);
      }
    }
  });
}
void run_pad(Frame& f) {
  const Tensor& x = f.tensor(0);
  const Tensor& out = f.outs[0];
  std::span<const int64_t> pad = f.ints(1);
  if (out.numel() == 0) return;
  double value = f.number(2);
  char item[16];
  convert_elements(&value, DType::F64, item, out.dtype(), 1);
  if (x.dim() > 0 && x.numel() > 0 && x.stride(x.dim() - 1) == 1 && out.is_contiguous()) {
    auto rows = [&]<class Word>(Word word) {
      std::memcpy(&word, item, sizeof word);
      pad_rows(x, out, pad, word);
    };
    switch (item_size(out.dtype())) {
      case 1: return rows(uint8_t());
      case 2: return rows(uint16_t());
      case 4: return rows(uint32_t());
      case 8: return rows(uint64_t());
    }
  }
  Tensor fill =
      from_memory(item, sizeof item, {}, {}, out.dtype(), out.device(), [](Storage*) {}, nullptr, true);
  copy_elements(fill, out);
  Dims sizes(x.sizes());
  int64_t from = x.impl()->offset, to = out.impl()->offset;
  for (size_t i = 0; i < pad.size() / 2; i++) {
    int d = x.dim() - 1 - static_cast<int>(i);
    int64_t before = pad[2 * i], after = pad[2 * i + 1];
    sizes[d] += std::min<int64_t>(before, 0) + std::min<int64_t>(after, 0);
    if (sizes[d] <= 0) return;
    from += std::max<int64_t>(-before, 0) * x.stride(d);
    to += std::max<int64_t>(before, 0) * out.stride(d);
  }
  copy_elements(strided_view(x, sizes, x.strides(), from), strided_view(out, sizes, out.strides(), to));
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
constinit const Op repeat_op{
    .schema = "repeat(Tensor input, int[] repeats) -> Tensor",
    .doc = "input repeated along each dimension; leading new dimensions where repeats has more.",
    .method = "method",
    .shape = shape_repeat,
    .kernels = {KernelRow{"copy", run_repeat}},
    .derivative = {wrt("input", [](auto dy, auto input,
                                   auto repeats) { return repeat_backward(dy, shape_of(input), repeats); })},
    .batch = batch_repeat,
    .onnx = Format{{.map = "Tile(input, repeats)", .since = 6}},
    .netdef = none("Tile of Caffe2 takes one dimension"),
    .samples = {shape(2, 3).with("repeats", {2, 1}), shape(2).with("repeats", {3, 2})},
};
constinit const Op flip_op{
    .schema = "flip(Tensor input, int[] dims) -> Tensor",
    .doc = "Reverses the order of elements along the given dimensions.",
    .shape = shape_same,
    .kernels = {KernelRow{"copy", run_flip}},
    .derivative = {wrt("input", [](auto dy, auto, auto dims) { return flip(dy, dims); })},
    .batch = over_dims("dims"),
    .onnx = none("written as Slice with steps of -1"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shape(2, 3).with("dims", {1}), shape(2, 0).with("dims", {0, 1})},
};
constinit const Op pad_constant_op{
    .schema = "pad_constant(Tensor input, int[] pad, Number value=0.0) -> Tensor",
    .doc =
        "Pads with a value: pad lists (before, after) from the last dimension on; negative numbers remove.",
    .method = "function",
    .shape = shape_pad,
    .kernels = {KernelRow{"copy", run_pad}},
    .derivative = {wrt("input", [](auto dy, auto, auto pad) { return pad_inverse(dy, pad); })},
    .onnx = none("written by an adapter: ONNX orders pads by dimension"),
    .netdef = none("PadImage of Caffe2 pads images"),
    .samples = {shape(2, 3).with("pad", {1, 2}), shape(2, 3).with("pad", {-1, 0, 1, 0}).with("value", 2.0)},
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

// The gradient of constant padding: the negated pad.
constinit const Op pad_inverse_op{
    .schema = "pad_inverse(Tensor input, int[] pad) -> Tensor",
    .doc = "Undoes pad_constant: removes what it added, adds zeros where it removed.",
    .method = "none",
    .shape =
        [](Frame& f) {
          Dims negative(f.ints(1));
          for (int64_t& p : negative) p = -p;
          Arg args[3] = {f.args[0], negative, Arg(0.0)};
          Frame g(pad_constant_op, args, 3);
          g.infer = true;
          shape_pad(g);
          f.output(0, g.outs[0].sizes(), f.tensor(0).dtype());
        },
    .kernels = {KernelRow{"copy",
                          [](Frame& f) {
                            Dims negative(f.ints(1));
                            for (int64_t& p : negative) p = -p;
                            Arg args[3] = {f.args[0], negative, Arg(0.0)};
                            Frame g(pad_constant_op, args, 3);
                            g.outs.resize(1);
                            g.outs[0] = f.outs[0];
                            run_pad(g);
                          }}},
    .derivative = {wrt("input", [](auto dy, auto, auto pad) { return pad_constant(dy, pad); })},
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {},
};

}  // namespace ops
}  // namespace moka

MOKA_OP_TABLE(shaping, MOKA_SHAPING_OPS)
