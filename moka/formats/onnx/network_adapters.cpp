// Adapters of convolutions, pooling, normalization, matrix products and softmax.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/formats/onnx/running_internal.h"
#include "moka/formats/onnx/window_internal.h"
#include "moka/formats/spelling/conversions.h"
#include "moka/schema/frame.h"

namespace moka::onnx {

using graph::Dim;
using graph::Value;
using spelling::named;

bool read_window(NodeReader& n, Dims kernel, Window& w) {
  w.spatial = n.rank_of(0) - 2;
  MOKA_CHECK_KIND(File, w.spatial >= 1, "the input has ", w.spatial + 2,
                  " dimensions, at least 3 were expected");
  const size_t count = static_cast<size_t>(w.spatial);
  w.kernel = n.ints("kernel_shape").value_or(kernel);
  w.stride = n.ints("strides").value_or(Dims(count, int64_t(1)));
  w.dilation = n.ints("dilations").value_or(Dims(count, int64_t(1)));
  const Dims pads = n.ints("pads").value_or(Dims(2 * count, int64_t(0)));
  MOKA_CHECK_KIND(File,
                  w.kernel.size() == count && w.stride.size() == count && w.dilation.size() == count &&
                      pads.size() == 2 * count,
                  "kernel_shape, strides, dilations and pads do not all describe ", w.spatial, " dimensions");
  for (size_t i = 0; i < count; i++) {
    MOKA_CHECK_KIND(File, w.kernel[i] > 0 && w.stride[i] > 0 && w.dilation[i] > 0,
                    "kernel_shape, strides and dilations must be positive");
    MOKA_CHECK_KIND(File,
                    w.kernel[i] < (int64_t(1) << 31) && w.stride[i] < (int64_t(1) << 31) &&
                        w.dilation[i] < (int64_t(1) << 31),
                    "kernel_shape, strides and dilations must be below 2^31");
  }
  const std::string_view automatic = n.text("auto_pad", "NOTSET");
  for (size_t i = 0; i < count; i++) {
    w.begin.push_back(pads[i]);
    w.end.push_back(pads[count + i]);
  }
  if (automatic == "NOTSET") return true;
  MOKA_CHECK_KIND(File, automatic == "VALID" || automatic == "SAME_UPPER" || automatic == "SAME_LOWER",
                  "auto_pad '", automatic, "' does not exist");
  for (size_t i = 0; i < count; i++) {
    w.begin[i] = w.end[i] = 0;
    if (automatic == "VALID") continue;
    const Dim& d = n[0]->type.dims[i + 2];
    if (!d.fixed() && w.stride[i] != 1) return n.declines("auto_pad of a size that is not known");
    // So many that the output has ceil(size / stride) elements; the odd one goes to the named side.
    const int64_t size = d.fixed() ? d.size : 1, out = (size + w.stride[i] - 1) / w.stride[i];
    const int64_t total =
        std::max<int64_t>(0, (out - 1) * w.stride[i] + (w.kernel[i] - 1) * w.dilation[i] + 1 - size);
    w.begin[i] = automatic == "SAME_UPPER" ? total / 2 : total - total / 2;
    w.end[i] = total - w.begin[i];
  }
  return true;
}

Value* padded(NodeReader& n, Value* x, Window& w, double value) {
  Dims pad;
  for (int i = w.spatial; i-- > 0;) {
    pad.push_back(w.begin[static_cast<size_t>(i)]);
    pad.push_back(w.end[static_cast<size_t>(i)]);
  }
  w.begin = w.end = Dims(static_cast<size_t>(w.spatial), int64_t(0));
  return n.call("pad_constant", {x, pad, value});
}

Value* convolved(NodeReader& n, Value* x, Value* filter, Value* bias) {
  auto decline = [&](auto... parts) {
    n.declines(parts...);
    return nullptr;
  };
  Dims weight;
  if (!spelling::fixed_sizes(filter, weight)) return decline("the weight's sizes are not known");
  MOKA_CHECK_KIND(File, weight.size() >= 3, "the weight has ", weight.size(),
                  " dimensions, at least 3 were expected");
  Window w;
  if (!read_window(n, Dims(std::span<const int64_t>(weight).subspan(2)), w)) return nullptr;
  if (w.spatial > 3) return decline("convolution over ", w.spatial, " dimensions");
  for (int i = 0; i < w.spatial; i++)
    MOKA_CHECK_KIND(File, weight[static_cast<size_t>(i) + 2] == w.kernel[static_cast<size_t>(i)],
                    "kernel_shape ", std::span<const int64_t>(w.kernel),
                    " is not the weight's: ", std::span<const int64_t>(weight));
  constexpr const char* names[] = {"conv1d", "conv2d", "conv3d"};
  if (!w.symmetric()) x = padded(n, x, w, 0);
  return n.call(
      names[w.spatial - 1],
      {x, filter, bias ? spelling::Argument(bias) : spelling::Argument(Any()), named("stride", w.stride),
       named("padding", w.begin), named("dilation", w.dilation), named("groups", n.integer("group", 1))});
}

namespace {

bool convolution(NodeReader& n) {
  Value* y = convolved(n, n[0], n[1], n.maybe(2));
  if (!y) return false;
  n.out(y);
  return true;
}

template <bool largest>
bool pool(NodeReader& n) {
  Window w;
  if (n.wants(1)) return n.declines("the indices are not computed");
  if (!read_window(n, {}, w)) return false;
  if (w.spatial > 3) return n.declines("pooling over ", w.spatial, " dimensions");
  constexpr const char* max_names[] = {"max_pool1d", "max_pool2d", "max_pool3d"};
  constexpr const char* avg_names[] = {"avg_pool1d", "avg_pool2d", "avg_pool3d"};
  const char* name = (largest ? max_names : avg_names)[w.spatial - 1];
  bool ceil = n.integer("ceil_mode", 0) != 0;
  const bool count_pads = n.integer("count_include_pad", 0) != 0;
  Value* x = n[0];
  bool half = true, dilated = false;  // our pools pad at most half a window, as torch's
  for (size_t i = 0; i < w.kernel.size(); i++) {
    half &= 2 * w.begin[i] <= w.kernel[i];
    dilated |= w.dilation[i] != 1;
  }
  if constexpr (largest) {
    DType dtype;
    if (!w.symmetric() || !half) {
      if (!spelling::has_dtype(x, &dtype) || !is_floating(dtype))
        return n.declines("pads that differ between begin and end of integers");
      x = padded(n, x, w, -INFINITY);
    }
    n.out(n.call(name, {x, w.kernel, named("stride", w.stride), named("padding", w.begin),
                        named("dilation", w.dilation), named("ceil_mode", ceil)}));
    return true;
  }
  if (dilated) return n.declines("dilated average pooling");
  if (w.symmetric() && half) {
    n.out(n.call(name, {x, w.kernel, named("stride", w.stride), named("padding", w.begin),
                        named("ceil_mode", ceil), named("count_include_pad", count_pads)}));
    return true;
  }
  if (ceil) return n.declines("pads that differ between begin and end, rounded up");
  Window again = w;
  Value* y = n.call(name, {padded(n, x, w, 0), w.kernel, named("stride", w.stride)});
  if (!count_pads)  // divided by how much of each window lies inside
    y = n.call("div", {y, n.call(name, {padded(n, n.call("ones_like", {x}), again, 0), w.kernel,
                                        named("stride", w.stride)})});
  n.out(y);
  return true;
}

Dims spatial_dims(NodeReader& n, int from = 2) {
  Dims out;
  for (int i = from; i < n.rank_of(0); i++) out.push_back(i);
  return out;
}

template <bool largest>
bool global_pool(NodeReader& n) {
  n.out(n.call(largest ? "amax" : "mean", {n[0], named("dim", spatial_dims(n)), named("keepdim", true)}));
  return true;
}

// Normalized by the mean and variance of the batch, which the running ones move towards.
bool batch_statistics(NodeReader& n) {
  const int rank = n.rank_of(0);
  MOKA_CHECK_KIND(File, rank >= 2, "the input has ", rank, " dimensions, at least 2 were expected");
  Dims dims{0};
  for (int i = 2; i < rank; i++) dims.push_back(i);
  auto along = [&](Value* v) { return spread(n, v, {1}, rank); };
  auto mean_of = [&](Value* v) { return n.call("mean", {v, named("dim", dims)}); };
  Value* mean = mean_of(n[0]);
  Value* centred = n.call("sub", {n[0], along(mean)});
  Value* variance = mean_of(n.call("mul", {centred, centred}));
  Value* scale = n.call("rsqrt", {n.call("add", {along(variance), n.number("epsilon", 1e-5)})});
  Value* y = n.call("mul", {n.call("mul", {centred, scale}), along(n[1])});
  n.out(n.call("add", {y, along(n[2])}));
  const double momentum = n.number("momentum", 0.9);
  auto moved = [&](Value* old, Value* now) {
    return n.call("add", {n.call("mul", {old, momentum}), n.call("mul", {now, 1 - momentum})});
  };
  if (n.wants(1)) n.out(moved(n[3], mean), 1);
  if (n.wants(2)) n.out(moved(n[4], variance), 2);
  if (n.wants(3)) n.out(mean, 3);  // until opset 13: those of the batch
  if (n.wants(4)) n.out(variance, 4);
  return true;
}

bool batch_normalization(NodeReader& n) {
  bool training =
      n.version >= 14 ? n.integer("training_mode", 0) != 0 : n.version < 7 && n.integer("is_test", 0) == 0;
  for (int i = 1; i < 5 && n.version < 14; i++) training |= n.wants(i);  // opsets 7 to 13 say it so
  if (n.version < 9 && n.integer("spatial", 1) == 0) return n.declines("statistics for each element");
  if (training) return batch_statistics(n);
  n.out(n.call("batch_norm", {n[0], n[1], n[2], n[3], n[4], named("eps", n.number("epsilon", 1e-5))}));
  return true;
}

// (x - mean) / sqrt(variance + epsilon) over `dims`
Value* standardized(NodeReader& n, Value* x, const Dims& dims, double epsilon, Value** mean = nullptr,
                    Value** inverse = nullptr) {
  Value* m = n.call("mean", {x, named("dim", dims), named("keepdim", true)});
  Value* centred = n.call("sub", {x, m});
  Value* variance =
      n.call("mean", {n.call("mul", {centred, centred}), named("dim", dims), named("keepdim", true)});
  Value* scale = n.call("rsqrt", {n.call("add", {variance, epsilon})});
  if (mean) *mean = m;
  if (inverse) *inverse = scale;
  return n.call("mul", {centred, scale});
}

// A value for each channel, aligned with dimension 1.
Value* per_channel(NodeReader& n, Value* v, int rank) {
  for (int i = 2; i < rank; i++) v = n.call("unsqueeze", {v, int64_t(-1)});
  return v;
}

bool instance_normalization(NodeReader& n) {
  const int rank = n.rank_of(0);
  Value* y = standardized(n, n[0], spatial_dims(n), n.number("epsilon", 1e-5));
  n.out(n.call("add", {n.call("mul", {y, per_channel(n, n[1], rank)}), per_channel(n, n[2], rank)}));
  return true;
}

// The sizes that a norm over the last dimensions goes over, where they are known and the scale has them all; else empty.
Dims normalized_sizes(NodeReader& n, int rank, int64_t axis) {
  Dims out;
  if (!spelling::fixed_sizes(n[1], out) || static_cast<int64_t>(out.size()) != rank - axis) return {};
  for (size_t i = 0; i < out.size(); i++) {  // a scale of size 1 may be for any
    const graph::Dim& own = n[0]->type.dims[static_cast<size_t>(axis) + i];
    if (own.fixed() ? own.size != out[i] : out[i] == 1) return {};
  }
  Dims shift;
  if (n.has(2) && (!spelling::fixed_sizes(n[2], shift) || shift != out)) return {};
  return out;
}

bool layer_normalization(NodeReader& n) {
  const int rank = n.rank_of(0);
  int64_t axis = n.integer("axis", -1);
  if (axis < 0) axis += rank;
  MOKA_CHECK_KIND(File, axis >= 0 && axis < rank, "axis is out of range");
  DType dtype;
  if (!spelling::has_dtype(n[0], &dtype)) return n.declines("the element type is not known");
  const bool wide = dtype == DType::F16 || dtype == DType::BF16;
  if (const Dims sizes = normalized_sizes(n, rank, axis);
      !sizes.empty() && !wide && !n.wants(1) && !n.wants(2)) {
    const spelling::Argument shift = n.has(2) ? spelling::Argument(n[2]) : spelling::Argument(Any());
    n.out(n.call("layer_norm", {n[0], sizes, n[1], shift, n.number("epsilon", 1e-5)}));
    return true;
  }
  Value *mean, *inverse;
  Value* y =
      standardized(n, wide ? n.call("to", {n[0], DType::F32}) : n[0], spatial_dims(n, static_cast<int>(axis)),
                   n.number("epsilon", 1e-5), &mean, &inverse);
  if (wide) y = n.call("to", {y, dtype});
  y = n.call("mul", {y, n[1]});
  n.out(n.has(2) ? n.call("add", {y, n[2]}) : y);
  if (n.wants(1)) n.out(mean, 1);
  if (n.wants(2)) n.out(inverse, 2);
  return true;
}

bool rms_normalization(NodeReader& n) {
  const int rank = n.rank_of(0);
  int64_t axis = n.integer("axis", -1);
  if (axis < 0) axis += rank;
  MOKA_CHECK_KIND(File, axis >= 0 && axis < rank, "axis is out of range");
  Value* square =
      n.call("mean", {n.call("mul", {n[0], n[0]}), named("dim", spatial_dims(n, static_cast<int>(axis))),
                      named("keepdim", true)});
  Value* scale = n.call("rsqrt", {n.call("add", {square, n.number("epsilon", 1e-5)})});
  n.out(n.call("mul", {n.call("mul", {n[0], scale}), n[1]}));
  return true;
}

bool mean_variance_normalization(NodeReader& n) {
  const Dims axes = n.ints("axes").value_or(Dims{0, 2, 3});
  n.out(standardized(n, n[0], axes, 1e-9));
  return true;
}

bool lp_normalization(NodeReader& n) {
  const int64_t p = n.integer("p", 2);
  const Dims axis{n.integer("axis", -1)};
  MOKA_CHECK_KIND(File, p == 1 || p == 2, "p ", p, " is neither 1 nor 2");
  Value* x = p == 1 ? n.call("abs", {n[0]}) : n.call("mul", {n[0], n[0]});
  Value* norm = n.call("sum", {x, named("dim", axis), named("keepdim", true)});
  if (p == 2) norm = n.call("sqrt", {norm});
  // 0 / 0 is 0 here.
  Value* safe = n.call("where", {n.call("eq", {norm, int64_t(0)}), n.call("ones_like", {norm}), norm});
  n.out(n.call("div", {n[0], safe}));
  return true;
}

bool gemm(NodeReader& n) {
  const bool ta = n.integer("transA", 0) != 0, tb = n.integer("transB", 0) != 0;
  const double alpha = n.number("alpha", 1), beta = n.number("beta", 1);
  // A fully connected layer is read as one.
  if (!ta && tb && alpha == 1 && (beta == 1 || !n.has(2)) && (!n.has(2) || spelling::rank(n[2]) == 1)) {
    n.out(n.call("linear", {n[0], n[1], n.has(2) ? spelling::Argument(n[2]) : spelling::Argument(Any())}));
    return true;
  }
  Value* a = ta ? n.call("transpose", {n[0], int64_t(0), int64_t(1)}) : n[0];
  Value* b = tb ? n.call("transpose", {n[1], int64_t(0), int64_t(1)}) : n[1];
  Value* y = n.call("matmul", {a, b});
  if (alpha != 1) y = n.call("mul", {y, alpha});
  if (n.has(2)) y = n.call("add", {y, beta == 1 ? n[2] : n.call("mul", {n[2], beta})});
  n.out(y);
  return true;
}

// Before opset 13 everything from `axis` on was one dimension.
template <int kind>  // 0 softmax, 1 log_softmax
bool old_softmax(NodeReader& n) {
  constexpr const char* op = kind == 0 ? "softmax" : "log_softmax";
  const int rank = n.rank_of(0);
  int64_t axis = n.integer("axis", 1);
  if (axis < 0) axis += rank;
  MOKA_CHECK_KIND(File, axis >= 0 && axis <= rank, "axis ", axis, " is out of range for ", rank,
                  " dimensions");
  if (axis == rank - 1) {
    n.out(n.call(op, {n[0], named("dim", axis)}));
    return true;
  }
  Dims sizes;
  if (!spelling::fixed_sizes(n[0], sizes)) return n.declines("the sizes are not known");
  int64_t rows = 1;
  for (int64_t i = 0; i < axis; i++) rows = checked_mul(rows, sizes[static_cast<size_t>(i)], "Softmax");
  Value* flat = n.call("reshape", {n[0], Dims{rows, rows ? -1 : 0}});
  n.out(n.call("reshape", {n.call(op, {flat, named("dim", int64_t(1))}), sizes}));
  return true;
}

// Both losses over [batch, classes, ...]; the second also gives the logarithms of the probabilities.
bool cross_entropy(NodeReader& n) {
  Value* logarithms = n.call("log_softmax", {n[0], int64_t(1)});
  n.out(n.call("nll_loss", {logarithms, n.call("to", {n[1], DType::I64}),
                            n.has(2) ? spelling::Argument(n[2]) : spelling::Argument(Any()),
                            named("ignore_index", n.integer("ignore_index", -100)),
                            named("reduction", Any(n.text("reduction", "mean")))}));
  if (n.wants(1)) n.out(logarithms, 1);
  return true;
}

bool negative_log_likelihood(NodeReader& n) {
  n.out(n.call("nll_loss", {n[0], n.call("to", {n[1], DType::I64}),
                            n.has(2) ? spelling::Argument(n[2]) : spelling::Argument(Any()),
                            named("ignore_index", n.integer("ignore_index", -100)),
                            named("reduction", Any(n.text("reduction", "mean")))}));
  return true;
}

constexpr Adapter table[] = {
    {"Conv", 1, 0, convolution},
    {"MaxPool", 1, 0, pool<true>},
    {"AveragePool", 1, 0, pool<false>},
    {"GlobalAveragePool", 1, 0, global_pool<false>},
    {"GlobalMaxPool", 1, 0, global_pool<true>},
    {"BatchNormalization", 1, 0, batch_normalization},
    {"InstanceNormalization", 6, 0, instance_normalization},
    {"LayerNormalization", 17, 0, layer_normalization},
    {"RMSNormalization", 23, 0, rms_normalization},
    {"MeanVarianceNormalization", 9, 0, mean_variance_normalization},
    {"LpNormalization", 1, 0, lp_normalization},
    {"Gemm", 1, 0, gemm},
    {"SoftmaxCrossEntropyLoss", 12, 0, cross_entropy},
    {"NegativeLogLikelihoodLoss", 12, 0, negative_log_likelihood},
    {"Softmax", 1, 13, old_softmax<0>},
    {"LogSoftmax", 1, 13, old_softmax<1>},
};

}  // namespace

std::span<const Adapter> network_adapters() { return table; }

}  // namespace moka::onnx
