// Adapters of pooling in the forms that our pools do not have, of its inverse, and of transposed convolutions.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/formats/onnx/running_internal.h"
#include "moka/formats/onnx/window_internal.h"

namespace moka::onnx {

using graph::Value;
using spelling::named;

namespace {

Whole add(NodeReader& n, Whole a, Whole b) { return arithmetic(n, "add", a, b); }
Whole sub(NodeReader& n, Whole a, Whole b) { return arithmetic(n, "sub", a, b); }
Whole mul(NodeReader& n, Whole a, Whole b) { return arithmetic(n, "mul", a, b); }

// Number of windows along one dimension; rounded up, the last one still begins inside the input or its left border.
Whole window_count(NodeReader& n, const Window& w, size_t i, Whole size, bool ceil) {
  const int64_t reach = w.dilation[i] * (w.kernel[i] - 1) + 1, stride = w.stride[i];
  Whole room = sub(n, add(n, size, w.begin[i] + w.end[i]), reach);
  if (!ceil) return add(n, arithmetic(n, "floordiv", room, stride), 1);
  Whole count = add(n, arithmetic(n, "floordiv", add(n, room, stride - 1), stride), 1);
  Whole most = arithmetic(n, "floordiv", add(n, add(n, size, w.begin[i]), stride - 1), stride);
  return arithmetic(n, "min", count, most);
}

// Sums over windows. `x` has `begin` elements of border; behind its end as much is added as the windows need.
Value* window_sums(NodeReader& n, Value* x, const Window& w, const Wholes& counts) {
  const DType dtype = dtype_of(x, "the input");
  const int rank = rank_of(x, "the input");
  const size_t spatial = w.kernel.size();
  Dims reach;
  Wholes pads, sizes;
  for (const graph::Dim& d : x->type.dims) sizes.push_back(d.fixed() ? d.size : -1);
  bool direct = spatial <= 3, more = false;
  double count = 1;
  for (size_t i = 0; i < spatial; i++) {
    const int64_t dim = static_cast<int64_t>(i) + 2;
    direct &= w.dilation[i] == 1;
    count *= static_cast<double>(w.kernel[i]);
    reach.push_back(w.dilation[i] * (w.kernel[i] - 1) + 1);
    const Whole needed = add(n, mul(n, sub(n, counts[i], 1), w.stride[i]), reach[i]);
    const Whole end = arithmetic(n, "max", sub(n, needed, size_of(n, x, dim)), 0);
    more |= !end.fixed() || end.number > 0;
    pads.insert(pads.begin(), {Whole(0), end});
    sizes[i + 2] = counts[i].fixed() ? counts[i].number : -1;
  }
  if (more) x = promise(n.call("pad_constant", {x, list_of(n, pads), 0.0}), dtype, rank);
  if (direct) {
    constexpr const char* names[] = {"avg_pool1d", "avg_pool2d", "avg_pool3d"};
    Value* mean = n.call(names[spatial - 1], {x, w.kernel, named("stride", w.stride)});
    return promise(n.call("mul", {mean, count}), dtype, sizes);
  }
  Dims windows;
  for (size_t i = 0; i < spatial; i++) {
    const int64_t last = rank + static_cast<int64_t>(i);
    x = n.call("unfold", {x, static_cast<int64_t>(i) + 2, reach[i], w.stride[i]});
    x = n.call("slice", {x, last, int64_t(0), Any(), w.dilation[i]});
    windows.push_back(last);
  }
  return promise(n.call("sum", {x, windows}), dtype, sizes);
}

Wholes window_counts(NodeReader& n, const Window& w) {
  const bool ceil = n.integer("ceil_mode", 0) != 0;
  Wholes out;
  for (size_t i = 0; i < w.kernel.size(); i++)
    out.push_back(window_count(n, w, i, size_of(n, n[0], static_cast<int64_t>(i) + 2), ceil));
  return out;
}

// The borders that the file gives, with this value.
Value* bordered(NodeReader& n, Value* x, const Window& w, double value) {
  Window copy = w;
  return padded(n, x, copy, value);
}

bool average_pool(NodeReader& n) {
  Window w;
  if (!read_window(n, {}, w)) return false;
  const Wholes counts = window_counts(n, w);
  Value* ones = n.call("ones_like", {n[0]});
  const bool borders = n.integer("count_include_pad", 0) != 0;
  Value* size = window_sums(n, bordered(n, ones, w, borders ? 1 : 0), w, counts);
  n.out(n.call("div", {window_sums(n, bordered(n, n[0], w, 0), w, counts), size}));
  return true;
}

// The p-norm of what is not border.
Value* power_sum(NodeReader& n, Value* x, int64_t p) {
  if (p == 1) return n.call("abs", {x});
  if (p == 2) return n.call("mul", {x, x});
  return n.call("pow", {n.call("abs", {x}), double(p)});
}
Value* root(NodeReader& n, Value* x, int64_t p) {
  return p == 1 ? x : p == 2 ? n.call("sqrt", {x}) : n.call("pow", {x, 1.0 / double(p)});
}

int64_t norm_of(NodeReader& n) {
  const int64_t p = static_cast<int64_t>(n.number("p", 2));
  MOKA_CHECK_KIND(File, p >= 1, "p ", p, " must be positive");
  return p;
}

bool norm_pool(NodeReader& n) {
  Window w;
  if (!read_window(n, {}, w)) return false;
  const int64_t p = norm_of(n);
  Value* x = bordered(n, power_sum(n, n[0], p), w, 0);
  n.out(root(n, window_sums(n, x, w, window_counts(n, w)), p));
  return true;
}

bool global_norm_pool(NodeReader& n) {
  const int64_t p = norm_of(n);
  Dims dims;
  for (int i = 2; i < rank_of(n[0], "the input"); i++) dims.push_back(i);
  n.out(root(n, n.call("sum", {power_sum(n, n[0], p), named("dim", dims), named("keepdim", true)}), p));
  return true;
}

// The flat place of every maximum in the whole input; ours are places in one channel with its borders.
bool max_pool_with_places(NodeReader& n) {
  if (!n.wants(1)) return false;
  Window w;
  if (!read_window(n, {}, w)) return false;
  if (w.spatial > 3) return n.declines("pooling over ", w.spatial, " dimensions");
  const Wholes sizes = sizes_of(n, n[0]);
  const Window given = w;
  Value* x = padded(n, n[0], w, -INFINITY);
  constexpr const char* names[] = {"max_pool1d_with_indices", "max_pool2d_with_indices",
                                   "max_pool3d_with_indices"};
  const std::vector<spelling::Argument> args{x, w.kernel, named("stride", w.stride),
                                             named("dilation", w.dilation),
                                             named("ceil_mode", n.integer("ceil_mode", 0) != 0)};
  const std::vector<Value*> both = n.build.call_all(names[w.spatial - 1], args);
  n.out(both[0]);
  // Coordinates from the last dimension on, put together again without borders.
  Value* rest = n.call("to", {both[1], DType::I64});
  std::vector<Value*> at(w.kernel.size());
  for (size_t i = w.kernel.size(); i-- > 0;) {
    const Whole wide = add(n, sizes[i + 2], given.begin[i] + given.end[i]);
    Value* size = number_of(n, wide, DType::I64);
    at[i] = n.call("sub", {n.call("remainder", {rest, size}), given.begin[i]});
    rest = n.call("floor_divide", {rest, size});
  }
  if (n.integer("storage_order", 0) != 0) {  // the first spatial dimension runs fastest
    Value* flat = nullptr;
    for (size_t i = w.kernel.size(); i-- > 0;)
      flat = flat ? n.call("add", {n.call("mul", {flat, number_of(n, sizes[i + 2], DType::I64)}), at[i]})
                  : at[i];
    rest = flat;
  } else {
    Value* flat = at[0];
    for (size_t i = 1; i < at.size(); i++)
      flat = n.call("add", {n.call("mul", {flat, number_of(n, sizes[i + 2], DType::I64)}), at[i]});
    rest = flat;
  }
  Whole plane = 1;
  for (size_t i = 2; i < sizes.size(); i++) plane = mul(n, plane, sizes[i]);
  const int rank = static_cast<int>(sizes.size());
  Value* batch =
      n.call("mul", {spread(n, count_to(n, sizes[0]), {0}, rank), number_of(n, sizes[1], DType::I64)});
  Value* channel = n.call("add", {batch, spread(n, count_to(n, sizes[1]), {1}, rank)});
  n.out(n.call("add", {rest, n.call("mul", {channel, number_of(n, plane, DType::I64)})}), 1);
  return true;
}

bool max_unpool(NodeReader& n) {
  Window w;
  if (!read_window(n, {}, w)) return false;
  const Wholes in = sizes_of(n, n[0]);
  Wholes out{in[0], in[1]};
  Whole all = mul(n, in[0], in[1]);
  for (size_t i = 0; i < w.kernel.size(); i++) {
    out.push_back(add(n, mul(n, sub(n, in[i + 2], 1), w.stride[i]), w.kernel[i] - w.begin[i] - w.end[i]));
    all = mul(n, all, out.back());
  }
  const DType dtype = dtype_of(n[0], "the input");
  Value* zeros = promise(n.call("zeros", {list_of(n, {all}), named("dtype", dtype)}), dtype, Wholes{all});
  Value* flat =
      n.call("scatter", {zeros, int64_t(0), n.call("reshape", {n.call("to", {n[1], DType::I64}), Dims{-1}}),
                         n.call("reshape", {n[0], Dims{-1}})});
  Value* y = reshaped(n, flat, out);
  if (n.has(2)) {  // the places are those of the size above; a larger one gets a border
    Wholes pads;
    for (size_t i = out.size(); i-- > 0;) {
      pads.push_back(0);
      pads.push_back(sub(n, whole_element(n, 2, static_cast<int64_t>(i)), out[i]));
    }
    y = promise(n.call("pad_constant", {y, list_of(n, pads), 0.0}), dtype, static_cast<int>(out.size()));
  }
  n.out(y);
  return true;
}

// The transposed convolution without borders, from which they are cut.
bool convolution_transposed(NodeReader& n) {
  Dims weight;
  rank_of(n[1], "the weight");
  if (!spelling::fixed_sizes(n[1], weight)) return n.declines("the weight's sizes are not known");
  MOKA_CHECK_KIND(File, weight.size() >= 3, "the weight has ", weight.size(),
                  " dimensions, at least 3 were expected");
  const size_t spatial = weight.size() - 2;
  if (spatial > 3) return n.declines("convolution over ", spatial, " dimensions");
  const Dims kernel(std::span<const int64_t>(weight).subspan(2));
  const Dims stride = n.ints("strides").value_or(Dims(spatial, int64_t(1))),
             dilation = n.ints("dilations").value_or(Dims(spatial, int64_t(1))),
             extra = n.ints("output_padding").value_or(Dims(spatial, int64_t(0))),
             pads = n.ints("pads").value_or(Dims(2 * spatial, int64_t(0)));
  MOKA_CHECK_KIND(File,
                  stride.size() == spatial && dilation.size() == spatial && extra.size() == spatial &&
                      pads.size() == 2 * spatial &&
                      rank_of(n[0], "the input") == static_cast<int>(spatial) + 2,
                  "strides, dilations, output_padding and pads do not all describe ", spatial, " dimensions");
  const std::string_view automatic = n.text("auto_pad", "NOTSET");
  auto wanted = n.ints("output_shape");
  Dims same;
  if (!wanted && (automatic == "SAME_UPPER" || automatic == "SAME_LOWER")) {
    for (size_t i = 0; i < spatial; i++) {
      const Whole size = size_of(n, n[0], static_cast<int64_t>(i) + 2);
      if (!size.fixed()) return n.declines("auto_pad of a size that is not known");
      same.push_back(size.number * stride[i]);
    }
    wanted = same;
  }
  if (wanted && wanted->size() == spatial + 2) wanted = Dims(std::span<const int64_t>(*wanted).subspan(2));
  MOKA_CHECK_KIND(File, !wanted || wanted->size() == spatial, "output_shape does not describe ", spatial,
                  " dimensions");
  // An output that is larger than the sum of its windows ends with zeros, which output_padding adds.
  Dims begin(spatial, int64_t(0)), length, more = extra;
  Dims begins, ends;
  for (size_t i = 0; i < spatial; i++) {
    int64_t first = automatic == "NOTSET" ? pads[i] : 0, last = automatic == "NOTSET" ? pads[spatial + i] : 0;
    if (wanted) {
      const Whole size = size_of(n, n[0], static_cast<int64_t>(i) + 2);
      if (!size.fixed()) return n.declines("output_shape for a size that is not known");
      const int64_t reach = dilation[i] * (kernel[i] - 1) + 1;
      int64_t total = stride[i] * (size.number - 1) + extra[i] + reach - (*wanted)[i];
      if (total < 0) {
        more[i] -= total;
        total = 0;
      }
      first = automatic == "SAME_UPPER" ? total / 2 : total - total / 2;
      last = total - first;
    }
    begins.push_back(first);
    ends.push_back(last);
  }
  constexpr const char* names[] = {"conv_transpose1d", "conv_transpose2d", "conv_transpose3d"};
  const spelling::Argument bias = n.has(2) ? spelling::Argument(n[2]) : spelling::Argument(Any());
  bool direct = begins == ends;
  for (size_t i = 0; i < spatial; i++) direct &= more[i] < stride[i] || more[i] < dilation[i];
  if (direct) {
    n.out(n.call(names[spatial - 1], {n[0], n[1], bias, named("stride", stride), named("padding", begins),
                                      named("output_padding", more), named("groups", n.integer("group", 1)),
                                      named("dilation", dilation)}));
    return true;
  }
  Value* y =
      n.call(names[spatial - 1], {n[0], n[1], Any(), named("stride", stride),
                                  named("groups", n.integer("group", 1)), named("dilation", dilation)});
  Dims tail;
  for (size_t i = spatial; i-- > 0;) {
    tail.push_back(0);
    tail.push_back(more[i]);
  }
  y = n.call("pad_constant", {y, tail, 0.0});
  for (size_t i = 0; i < spatial; i++) {
    const int64_t dim = static_cast<int64_t>(i) + 2;
    y = part_of(n, y, dim, begins[i], sub(n, size_of(n, y, dim), begins[i] + ends[i]));
  }
  if (n.has(2)) y = n.call("add", {y, spread(n, n[2], {1}, static_cast<int>(spatial) + 2)});
  n.out(y);
  return true;
}

constexpr Adapter table[] = {
    {"AveragePool", 1, 0, average_pool},      {"LpPool", 1, 0, norm_pool},
    {"GlobalLpPool", 1, 0, global_norm_pool}, {"MaxPool", 8, 0, max_pool_with_places},
    {"MaxUnpool", 9, 0, max_unpool},          {"ConvTranspose", 1, 0, convolution_transposed},
};

}  // namespace

std::span<const Adapter> pool_adapters() { return table; }

}  // namespace moka::onnx
