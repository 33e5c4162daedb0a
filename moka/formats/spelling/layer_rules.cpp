// Layers of networks: products, convolution, pooling, normalization, attention.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/formats/spelling/conversions.h"
#include "moka/formats/spelling/rewriting.h"
#include "moka/schema/frame.h"

namespace moka::spelling {

using graph::Value;
using Results = std::vector<Value*>;

namespace {

Value* linear(const Rewriting& r) {
  const int rank = r.rank("weight");
  const Term turned = rank == 1 ? r.term("weight") : r.call("permute", {r["weight"], Dims{1, 0}});
  const Term y = r.call("matmul", {r["input"], turned});
  return r.missing("bias") ? y : r.call("add", {y, r["bias"]});
}
Value* addmm(const Rewriting& r) {
  Term product = r.call("matmul", {r["mat1"], r["mat2"]});
  if (!r.is("alpha", 1)) product = r.call("mul", {product, r["alpha"]});
  const Term rest = r.is("beta", 1) ? r.term("input") : r.call("mul", {r["input"], r["beta"]});
  return product + rest;
}

// Files always have weight and bias.
Value* batch_norm(const Rewriting& r) {
  Value *weight = r["weight"], *bias = r["bias"];
  Dims channels;
  DType dtype;
  if ((!r.missing("weight") && !r.missing("bias")) || !fixed_sizes(r["running_mean"], channels) ||
      !has_dtype(r["running_mean"], &dtype))
    return nullptr;
  auto filled = [&](double v) {
    Tensor t = new_tensor(channels, dtype);
    copy_elements(number_tensor(Any(v), dtype), t);
    return r.build.constant(Any(t));
  };
  if (r.missing("weight")) weight = filled(1);
  if (r.missing("bias")) bias = filled(0);
  return r.call("batch_norm", {r["input"], weight, bias, r["running_mean"], r["running_var"], r["eps"]});
}
Term over_channels(const Rewriting& r, Value* v, int rank) {
  Dims sizes(static_cast<size_t>(rank) - 1, int64_t(1));
  sizes[0] = -1;
  return r.call("reshape", {v, sizes});
}
Results batch_norm_train(const Rewriting& r) {
  const int rank = r.rank("input");
  if (rank < 2 || !r.node.output(3)->uses().empty()) return {};
  Dims dims{0};
  for (int d = 2; d < rank; d++) dims.push_back(d);
  const Results both = r.call_all("var_mean", {r["input"], dims, int64_t(0), false});
  const Term invstd = r.call("rsqrt", {r.term(both[0]) + r.number("eps")});
  Term y = (r.term("input") - over_channels(r, both[1], rank)) * over_channels(r, invstd, rank);
  if (!r.missing("weight")) y = y * over_channels(r, r["weight"], rank);
  if (!r.missing("bias")) y = y + over_channels(r, r["bias"], rank);
  return {y, both[1], invstd, nullptr};
}
// The last dimensions by their mean and variance.
Value* layer_norm(const Rewriting& r) {
  Dims shape, dims;
  if (!r.ints("normalized_shape", shape)) return nullptr;
  for (size_t i = shape.size(); i > 0; i--) dims.push_back(-static_cast<int64_t>(i));
  const Term apart = r.term("input") - r.call("mean", {r["input"], dims, true});
  const Term var = r.call("mean", {apart * apart, dims, true});
  Term y = apart / r.call("sqrt", {var + r.number("eps")});
  if (!r.missing("weight")) y = y * r.term("weight");
  return r.missing("bias") ? y : y + r.term("bias");
}
Value* rms_norm(const Rewriting& r) {
  Dims shape, dims;
  DType type;
  if (!r.ints("normalized_shape", shape) || !r.dtype(r["input"], type)) return nullptr;
  for (size_t i = shape.size(); i > 0; i--) dims.push_back(-static_cast<int64_t>(i));
  const double least = type == DType::F64 ? 2.220446049250313e-16 : 1.1920928955078125e-07;
  const Term mean = r.call("mean", {r.term("input") * r.term("input"), dims, true});
  const Term y = r.term("input") / r.call("sqrt", {mean + r.number("eps", least)});
  return r.missing("weight") ? y : y * r.term("weight");
}
Value* group_norm(const Rewriting& r) {
  int64_t groups;
  DType type;
  const int rank = r.rank("input");
  if (rank < 2 || !r.integer("num_groups", groups) || !r.dtype(r["input"], type)) return nullptr;
  const std::vector<Size> sizes = r.sizes(r["input"]);
  const Term x = r.call("reshape", {r["input"], r.list({sizes[0], groups, -1})});
  const Term apart = x - r.call("mean", {x, Dims{-1}, true});
  const Term var = r.call("mean", {apart * apart, Dims{-1}, true});
  Term y = r.reshape(apart / r.call("sqrt", {var + r.number("eps")}), sizes);
  if (!r.missing("weight")) y = y * over_channels(r, r["weight"], rank);
  return r.missing("bias") ? y : y + over_channels(r, r["bias"], rank);
}

// ---- images without a batch: a batch of one

// The same operator on the input with a first dimension; the others of its arguments as they are.
Results as_batch(const Rewriting& r, int spatial, std::string_view first = "input") {
  if (r.rank(first) != spatial + 1) return {};
  std::vector<Argument> args;
  for (Value* v : r.node.inputs())
    args.push_back(v == r[first] ? Argument(r.call("unsqueeze", {v, int64_t(0)})) : Argument(v));
  Results out = r.build.call_all(r.node.op_name(), args);
  for (size_t i = 0; i < out.size(); i++) {
    if (i && r.node.output(static_cast<int>(i))->uses().empty()) out[i] = nullptr;
    else out[i] = r.call("squeeze.dim", {out[i], Dims{0}});
  }
  return out;
}
template <int spatial>
Results batched(const Rewriting& r) {
  return as_batch(r, spatial);
}

// ---- pooling

// A divisor of its own: the mean of whole windows, scaled.
template <int spatial>
Results average_pool(const Rewriting& r) {
  if (Results v = as_batch(r, spatial); !v.empty()) return v;
  int64_t divisor;
  Dims kernel;
  if (spatial == 1 || !r.integer("divisor_override", divisor) || !r.ints("kernel_size", kernel) ||
      r.flag("ceil_mode"))
    return {};
  int64_t count = 1;
  for (int d = 0; d < spatial; d++) count *= kernel[kernel.size() == 1 ? 0 : static_cast<size_t>(d)];
  const Term mean =
      r.call(r.node.op_name(), {r["input"], r["kernel_size"], r["stride"], r["padding"], false, true});
  return {mean * (static_cast<double>(count) / static_cast<double>(divisor))};
}
struct Windows {  // of one dimension: [start, end) of every result
  Dims start, end;
  bool even = true;
};
Windows windows_of(int64_t in, int64_t out) {
  Windows w;
  for (int64_t i = 0; i < out; i++) {
    w.start.push_back(i * in / out);
    w.end.push_back(((i + 1) * in + out - 1) / out);
  }
  w.even = out > 0 && in % out == 0;
  return w;
}
bool adaptive_sizes(const Rewriting& r, int spatial, Dims& in, Dims& out) {
  Dims wanted;
  const int rank = r.rank("input");
  if (rank < spatial + 1 || !r.ints("output_size", wanted)) return false;
  for (int d = 0; d < spatial; d++) {
    const graph::Dim& size = r["input"]->type.dims[static_cast<size_t>(rank - spatial + d)];
    if (!size.fixed()) return false;
    in.push_back(size.size);
    const int64_t w = wanted[wanted.size() == 1 ? 0 : static_cast<size_t>(d)];
    out.push_back(w < 0 ? size.size : w);
  }
  return true;
}
// Whole windows by pooling; others by one product with a matrix of weights for every dimension.
template <int spatial>
Results adaptive_average_pool(const Rewriting& r) {
  if (Results v = as_batch(r, spatial); !v.empty()) return v;
  Dims in, out;
  DType type;
  if (!adaptive_sizes(r, spatial, in, out) || !r.dtype(r["input"], type)) return {};
  constexpr const char* pools[] = {"avg_pool1d", "avg_pool2d", "avg_pool3d"};
  bool even = true;
  Dims kernel;
  for (int d = 0; d < spatial; d++) {
    even &= windows_of(in[static_cast<size_t>(d)], out[static_cast<size_t>(d)]).even;
    kernel.push_back(out[static_cast<size_t>(d)] ? in[static_cast<size_t>(d)] / out[static_cast<size_t>(d)]
                                                 : 0);
  }
  if (even) return {r.call(pools[spatial - 1], {r["input"], kernel, kernel})};
  Term x = r.term("input");
  const int rank = r.rank("input");
  for (int d = 0; d < spatial; d++) {
    const Windows w = windows_of(in[static_cast<size_t>(d)], out[static_cast<size_t>(d)]);
    const int64_t shape[] = {in[static_cast<size_t>(d)], out[static_cast<size_t>(d)]};
    Tensor weights = new_tensor(shape, DType::F64);
    auto* to = static_cast<double*>(weights.raw_data());
    for (int64_t i = 0; i < shape[0]; i++)
      for (int64_t o = 0; o < shape[1]; o++) {
        const int64_t s = w.start[static_cast<size_t>(o)], e = w.end[static_cast<size_t>(o)];
        to[i * shape[1] + o] = i >= s && i < e ? 1.0 / static_cast<double>(e - s) : 0;
      }
    Tensor cast = new_tensor(shape, type);
    convert_elements(weights.raw_data(), DType::F64, cast.raw_data(), type, weights.numel());
    const int64_t dim = rank - spatial + d;
    x = r.last_to(r.call("matmul", {r.dim_last(x, dim), r.constant_tensor(cast)}), dim);
  }
  return {x};
}
// Every window in turn where they overlap.
template <int spatial>
Results adaptive_max_pool(const Rewriting& r) {
  if (Results v = as_batch(r, spatial); !v.empty()) return v;
  Dims in, out;
  if (!adaptive_sizes(r, spatial, in, out)) return {};
  constexpr const char* pools[] = {"max_pool1d", "max_pool2d", "max_pool3d"};
  constexpr const char* places[] = {"max_pool1d_with_indices", "max_pool2d_with_indices",
                                    "max_pool3d_with_indices"};
  bool even = true;
  Dims kernel;
  std::vector<Windows> windows;
  for (int d = 0; d < spatial; d++) {
    windows.push_back(windows_of(in[static_cast<size_t>(d)], out[static_cast<size_t>(d)]));
    even &= windows.back().even;
    kernel.push_back(out[static_cast<size_t>(d)] ? in[static_cast<size_t>(d)] / out[static_cast<size_t>(d)]
                                                 : 0);
  }
  const bool indices = !r.node.output(1)->uses().empty();
  if (even && indices) return r.call_all(places[spatial - 1], {r["input"], kernel, kernel});
  if (even) return {r.call(pools[spatial - 1], {r["input"], kernel, kernel}), nullptr};
  if (indices) return {};
  Term x = r.term("input");
  const int rank = r.rank("input");
  for (int d = 0; d < spatial; d++) {
    const int64_t dim = rank - spatial + d;
    Results parts;
    for (size_t o = 0; o < windows[static_cast<size_t>(d)].start.size(); o++) {
      const Windows& w = windows[static_cast<size_t>(d)];
      parts.push_back(r.call("amax", {r.call("slice", {x, dim, w.start[o], w.end[o]}), Dims{dim}, true}));
    }
    x = r.call("cat", {parts, dim});
  }
  return {x, nullptr};
}
// Windows of an image as columns: the rows and columns that every window reads.
Results image_to_columns(const Rewriting& r) {
  if (Results v = as_batch(r, 2); !v.empty()) return v;
  const int rank = r.rank("input");
  if (rank != 4) return {};
  auto pair = [&](std::string_view name, Dims& out) {
    const Any* c = r.constant(name);
    if (!c || !to_ints(*c, out) || out.empty()) return false;
    if (out.size() == 1) out.push_back(out[0]);
    return true;
  };
  Dims kernel, dilation, padding, stride;
  if (!pair("kernel_size", kernel) || !pair("dilation", dilation) || !pair("padding", padding) ||
      !pair("stride", stride))
    return {};
  Term x = r.term("input");
  if (padding[0] || padding[1])
    x = r.call("pad_constant", {x, Dims{padding[1], padding[1], padding[0], padding[0]}, 0.0});
  Dims counts;
  for (size_t d = 0; d < 2; d++) {
    const graph::Dim& size = x.value->type.dims[2 + d];
    if (!size.fixed()) return {};
    const int64_t count = (size.size - dilation[d] * (kernel[d] - 1) - 1) / stride[d] + 1;
    Dims places;
    for (int64_t k = 0; k < kernel[d]; k++)
      for (int64_t w = 0; w < count; w++) places.push_back(k * dilation[d] + w * stride[d]);
    x = r.select(x, static_cast<int64_t>(2 + d), places);
    counts.push_back(count);
  }
  const std::vector<Size> sizes = r.sizes(r["input"]);
  if (sizes[1].value) return {};
  const Term apart = r.reshape(x, {sizes[0], sizes[1], kernel[0], counts[0], kernel[1], counts[1]});
  const Term turned = r.call("permute", {apart, Dims{0, 1, 2, 4, 3, 5}});
  return {r.reshape(turned, {sizes[0], sizes[1].number * kernel[0] * kernel[1], counts[0] * counts[1]})};
}
Results columns_to_image(const Rewriting& r) { return as_batch(r, 1); }

// ---- attention

// softmax(q k^T scale + mask) v
Results attention(const Rewriting& r) {
  const int rank = r.rank("query");
  DType type;
  if (rank < 2 || r.rank("key") < 2 || !r.dtype(r["query"], type)) return {};
  const graph::Dim& width = r["query"]->type.dims.back();
  Term k = r.term("key"), v = r.term("value");
  if (r.flag("enable_gqa")) {
    const graph::Dim &heads = r["query"]->type.dims[static_cast<size_t>(rank) - 3],
                     &groups = k.value->type.dims[static_cast<size_t>(rank) - 3];
    if (!heads.fixed() || !groups.fixed()) return {};
    if (heads.size != groups.size) {
      Dims order;
      for (int64_t i = 0; i < heads.size; i++) order.push_back(i / (heads.size / groups.size));
      k = r.select(k, -3, order), v = r.select(v, -3, order);
    }
  }
  Term q = r.term("query");
  if (r.missing("scale") && !width.fixed()) return {};
  q = q * r.number("scale", width.fixed() ? 1 / std::sqrt(static_cast<double>(width.size)) : 1);
  Term scores = r.call("matmul", {q, r.call("transpose", {k, int64_t(-2), int64_t(-1)})});
  const Any least(number_tensor(Any(double(-INFINITY)), type));
  if (r.flag("is_causal")) {
    const Size rows = r.size(q, -2), columns = r.size(k, -2);
    Term past;
    if (!rows.value && !columns.value) {
      const int64_t shape[] = {rows.number, columns.number};
      Tensor mask = new_tensor(shape, DType::Bool);
      for (int64_t i = 0; i < shape[0]; i++)
        for (int64_t j = 0; j < shape[1]; j++)
          static_cast<uint8_t*>(mask.raw_data())[i * shape[1] + j] = j <= i;
      past = r.constant_tensor(mask);
    } else {
      auto counted = [&](Size n) {
        return r.call("arange.start_step", {int64_t(0), n.argument(), int64_t(1), DType::I64});
      };
      past = r.call("le", {counted(columns), r.call("unsqueeze", {counted(rows), int64_t(1)})});
    }
    scores = r.call("where", {past, scores, least});
  }
  if (!r.missing("attn_mask")) {
    DType mask;
    if (!r.dtype(r["attn_mask"], mask)) return {};
    scores =
        mask == DType::Bool ? r.call("where", {r["attn_mask"], scores, least}) : scores + r.term("attn_mask");
  }
  Term weights = r.call("softmax", {scores, int64_t(-1)});
  // A row that may look at nothing gives zeros.
  if (!r.missing("attn_mask"))
    weights = r.call("where", {r.call("isnan", {weights}), Any(number_tensor(Any(0.0), type)), weights});
  const bool sums = !r.node.output(1)->uses().empty();
  return {r.call("matmul", {weights, v}), sums ? r.call("logsumexp", {scores, Dims{-1}}).value : nullptr};
}

// ---- grids

// The corners of the output in [-1, 1], mapped by every matrix.
Value* affine_grid(const Rewriting& r) {
  Dims size;
  DType type;
  if (!r.ints("size", size) || !r.dtype(r["theta"], type)) return nullptr;
  const size_t spatial = size.size() - 2;
  int64_t points = 1;
  for (size_t d = 0; d < spatial; d++) points *= size[2 + d];
  const bool corners = r.flag("align_corners");
  const int64_t shape[] = {points, static_cast<int64_t>(spatial) + 1};
  Tensor base = new_tensor(shape, DType::F64);
  auto* to = static_cast<double*>(base.raw_data());
  for (int64_t p = 0; p < points; p++) {
    int64_t rest = p;
    for (size_t d = spatial; d-- > 0;) {
      const int64_t n = size[2 + d], i = rest % n;
      rest /= n;
      const double at = corners ? (n > 1 ? -1 + 2.0 * static_cast<double>(i) / static_cast<double>(n - 1) : 0)
                                : (2.0 * static_cast<double>(i) + 1) / static_cast<double>(n) - 1;
      to[p * shape[1] + static_cast<int64_t>(spatial - 1 - d)] = at;
    }
    to[p * shape[1] + static_cast<int64_t>(spatial)] = 1;
  }
  Tensor cast = new_tensor(shape, type);
  convert_elements(base.raw_data(), DType::F64, cast.raw_data(), type, base.numel());
  const Term grid = r.call(
      "matmul", {r.constant_tensor(cast), r.call("transpose", {r["theta"], int64_t(-2), int64_t(-1)})});
  Dims sizes{size[0]};
  for (size_t d = 0; d < spatial; d++) sizes.push_back(size[2 + d]);
  sizes.push_back(static_cast<int64_t>(spatial));
  return r.call("reshape", {grid, sizes});
}

constexpr RuleEntry rules[] = {
    {"linear", linear},
    {"addmm", addmm},
    {"batch_norm", batch_norm},
    {"batch_norm_train", nullptr, batch_norm_train},
    {"layer_norm", layer_norm},
    {"rms_norm", rms_norm},
    {"group_norm", group_norm},
    {"conv1d", nullptr, batched<1>},
    {"conv2d", nullptr, batched<2>},
    {"conv3d", nullptr, batched<3>},
    {"conv_transpose1d", nullptr, batched<1>},
    {"conv_transpose2d", nullptr, batched<2>},
    {"conv_transpose3d", nullptr, batched<3>},
    {"max_pool1d", nullptr, batched<1>},
    {"max_pool2d", nullptr, batched<2>},
    {"max_pool3d", nullptr, batched<3>},
    {"max_pool1d_with_indices", nullptr, batched<1>},
    {"max_pool2d_with_indices", nullptr, batched<2>},
    {"max_pool3d_with_indices", nullptr, batched<3>},
    {"avg_pool1d", nullptr, average_pool<1>},
    {"avg_pool2d", nullptr, average_pool<2>},
    {"avg_pool3d", nullptr, average_pool<3>},
    {"adaptive_avg_pool1d", nullptr, adaptive_average_pool<1>},
    {"adaptive_avg_pool2d", nullptr, adaptive_average_pool<2>},
    {"adaptive_avg_pool3d", nullptr, adaptive_average_pool<3>},
    {"adaptive_max_pool1d", nullptr, adaptive_max_pool<1>},
    {"adaptive_max_pool2d", nullptr, adaptive_max_pool<2>},
    {"adaptive_max_pool3d", nullptr, adaptive_max_pool<3>},
    {"im2col", nullptr, image_to_columns},
    {"col2im", nullptr, columns_to_image},
    {"attention", nullptr, attention},
    {"affine_grid", affine_grid},
};

}  // namespace

std::span<const RuleEntry> layer_rules() { return rules; }

}  // namespace moka::spelling
