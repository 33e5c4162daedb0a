// The convolution over blocked channels, with the sum and the activation that follow it.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>

#include "moka/base/parallel.h"
#include "moka/ops/blocked/blocked.h"
#include "moka/ops/blocked/pointwise.h"
#include "moka/ops/define.h"
#include "moka/ops/fused/parts.h"

namespace moka {

void check_floats(const Frame& f, std::initializer_list<int> arguments) {
  for (int i : arguments)
    if (f.has(i))
      MOKA_CHECK_KIND(NotImplemented, tensor_argument(f, i).dtype() == DType::F32, f.name(), ": ",
                      argument_name(f, i), " must be float32, got ", f.tensor(i).dtype());
}

// Arguments: input, weight, bias, stride, padding, dilation, channels, filters, addend, activation.
BlockedConv blocked_geometry(const Frame& f) {
  const Tensor &x = tensor_argument(f, 0), &w = tensor_argument(f, 1);
  check_floats(f, {0, 1, 2, 8});
  BlockedConv c;
  c.block = w.dim() ? w.size(-1) : 0;
  c.filters = w.dim() == 6   ? Filters::Dense
              : w.dim() == 5 ? (x.dim() == 5 ? Filters::Last : Filters::Plain)
              : w.dim() == 4 ? Filters::Depthwise
                             : Filters::LastDepthwise;
  MOKA_CHECK(w.dim() >= 3 && w.dim() <= 6 && c.block > 0, f.name(),
             ": weight must come from pack_filters, got shape ", w.sizes());
  const bool plain = c.filters == Filters::Plain, wide = plain || c.filters == Filters::Last;
  MOKA_CHECK(x.dim() == (plain ? 4 : 5) && (plain || c.last() || x.size(4) == c.block), f.name(),
             ": input must have shape ",
             plain ? "[batch, channels, height, width]" : "[batch, blocks, height, width, block]", ", got ",
             x.sizes());
  ConvGeometry& g = c.g;
  g.batch = x.size(0);
  g.channels = f.integer(6), g.filters = f.integer(7);
  const bool depthwise = c.filters == Filters::Depthwise || c.filters == Filters::LastDepthwise;
  if (depthwise) g.groups = g.channels;
  const auto blocks = [&](int64_t n) { return n / c.block + (n % c.block != 0); };
  const int taps = c.filters == Filters::Dense ? 2 : c.filters == Filters::LastDepthwise ? 0 : 1;
  const bool fits =
      g.channels > 0 && g.filters > 0 &&
      (c.filters == Filters::LastDepthwise ? c.block >= g.channels : w.size(0) == blocks(g.filters)) &&
      (plain      ? x.size(1) == g.channels
       : c.last() ? x.size(1) == 1 && x.size(4) == g.channels
                  : x.size(1) == blocks(g.channels)) &&
      (!wide || w.size(3) == g.channels) &&
      (c.filters != Filters::Dense || (w.size(1) == blocks(g.channels) && w.size(4) == c.block)) &&
      (!depthwise || g.channels == g.filters);
  MOKA_CHECK(fits, f.name(), ": ", g.channels, " channels and ", g.filters, " filters do not fit input ",
             x.sizes(), " and weight ", w.sizes());
  g.y.kernel = w.size(taps), g.x.kernel = w.size(taps + 1);
  set_inputs(g, Dims{x.size(2), x.size(3)});
  read_axes(f, 3, 1, g, &Axis::stride);
  read_padding(f, 4, g);
  read_axes(f, 5, 1, g, &Axis::dilation);
  g.y.out = window_outputs(f, axis_name(1), g.y);
  g.x.out = window_outputs(f, axis_name(2), g.x);
  return c;
}

namespace {
std::atomic<FilterBlock> filter_block_by{nullptr};
}
FilterBlock filter_block() { return filter_block_by; }
void set_filter_block(FilterBlock by) { filter_block_by = by; }

namespace ops {

namespace {
void conv_shape(Frame& f) {
  const BlockedConv c = blocked_geometry(f);
  const int64_t block = c.last() ? c.g.filters : c.block;
  const Dims sizes{c.g.batch, (c.g.filters + block - 1) / block, c.g.y.out, c.g.x.out, block};
  if (f.has(2)) check_shape(f, 2, Dims{c.g.filters});
  if (f.has(8)) check_shape(f, 8, sizes);
  activation_of(f, 9);
  f.output(0, sizes, DType::F32);
}

// One output row of one block of filters.
void conv_row(const BlockedConv& c, const float* x, const float* w, const float* bias, int64_t n, int64_t ob,
              int64_t oy, float* to) {
  const ConvGeometry& g = c.g;
  const int64_t b = c.block, taps = g.y.kernel * g.x.kernel;
  const bool dense = c.filters == Filters::Dense, plain = c.filters == Filters::Plain;
  const int64_t groups = plain ? 1 : (g.channels + b - 1) / b;  // blocks of channels
  for (int64_t i = 0; i < g.x.out * b; i++) {
    const int64_t o = ob * b + i % b;
    to[i] = bias && o < g.filters ? bias[o] : 0;
  }
  for (int64_t cb = dense ? 0 : plain ? 0 : ob; cb < (dense ? groups : plain ? 1 : ob + 1); cb++)
    for (int64_t t = 0; t < taps; t++) {
      const int64_t iy = oy * g.y.stride - g.y.padding + t / g.x.kernel * g.y.dilation;
      if (iy < 0 || iy >= g.y.in) continue;
      for (int64_t ox = 0; ox < g.x.out; ox++) {
        const int64_t ix = ox * g.x.stride - g.x.padding + t % g.x.kernel * g.x.dilation;
        if (ix < 0 || ix >= g.x.in) continue;
        float* sum = to + ox * b;
        if (c.filters == Filters::Depthwise) {
          const float* pixel = x + (((n * groups + cb) * g.y.in + iy) * g.x.in + ix) * b;
          const float* taken = w + (ob * taps + t) * b;
          for (int64_t o = 0; o < b; o++) sum[o] += pixel[o] * taken[o];
          continue;
        }
        const int64_t some = plain ? g.channels : std::min(b, g.channels - cb * b);
        for (int64_t ci = 0; ci < some; ci++) {
          const float pixel = plain ? x[((n * g.channels + ci) * g.y.in + iy) * g.x.in + ix]
                                    : x[(((n * groups + cb) * g.y.in + iy) * g.x.in + ix) * b + ci];
          const float* taken = plain ? w + ((ob * taps + t) * g.channels + ci) * b
                                     : w + (((ob * groups + cb) * taps + t) * b + ci) * b;
          for (int64_t o = 0; o < b; o++) sum[o] += pixel * taken[o];
        }
      }
    }
}

// One output row of a picture whose channels are one block.
void last_row(const BlockedConv& c, const float* x, const float* w, const float* bias, int64_t n, int64_t oy,
              float* to) {
  const ConvGeometry& g = c.g;
  const int64_t b = c.block, taps = g.y.kernel * g.x.kernel;
  for (int64_t i = 0; i < g.x.out * g.filters; i++) to[i] = bias ? bias[i % g.filters] : 0;
  for (int64_t t = 0; t < taps; t++) {
    const int64_t iy = oy * g.y.stride - g.y.padding + t / g.x.kernel * g.y.dilation;
    if (iy < 0 || iy >= g.y.in) continue;
    for (int64_t ox = 0; ox < g.x.out; ox++) {
      const int64_t ix = ox * g.x.stride - g.x.padding + t % g.x.kernel * g.x.dilation;
      if (ix < 0 || ix >= g.x.in) continue;
      const float* pixel = x + ((n * g.y.in + iy) * g.x.in + ix) * g.channels;
      float* sum = to + ox * g.filters;
      if (c.filters == Filters::LastDepthwise) {
        for (int64_t o = 0; o < g.filters; o++) sum[o] += pixel[o] * w[t * b + o];
        continue;
      }
      for (int64_t o0 = 0; o0 < g.filters; o0 += b) {
        const float* panel = w + (o0 / b * taps + t) * g.channels * b;
        const int64_t some = std::min(b, g.filters - o0);
        for (int64_t ci = 0; ci < g.channels; ci++)
          for (int64_t o = 0; o < some; o++) sum[o0 + o] += pixel[ci] * panel[ci * b + o];
      }
    }
  }
}

void conv_kernel(Frame& f) {
  const BlockedConv c = blocked_geometry(f);
  const Tensor x = as_contiguous(f.tensor(0)), w = as_contiguous(f.tensor(1));
  const Tensor bias = f.has(2) ? as_contiguous(f.tensor(2)) : Tensor();
  const Tensor addend = addend_of(f, 8);
  const Tensor& out = f.outs[0];
  const int64_t blocks = out.size(1), rows = c.g.batch * blocks * c.g.y.out;
  parallel_for(0, rows, 1, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row++)
      if (c.last())
        last_row(c, x.data<float>(), w.data<float>(), bias ? bias.data<float>() : nullptr, row / c.g.y.out,
                 row % c.g.y.out, out.data<float>() + row * c.g.x.out * c.g.filters);
      else
        conv_row(c, x.data<float>(), w.data<float>(), bias ? bias.data<float>() : nullptr,
                 row / (blocks * c.g.y.out), row / c.g.y.out % blocks, row % c.g.y.out,
                 out.data<float>() + row * c.g.x.out * c.block);
  });
  finish_fused(f, addend, 9);
}
}  // namespace

constinit const Op conv2d_blocked_op{
    .schema =
        "conv2d_blocked(Tensor input, Tensor weight, Tensor? bias, int[2] stride, int[] padding, int[2] "
        "dilation, int channels, int filters, Tensor? addend=None, str activation='none') -> Tensor",
    .doc =
        "activation(conv2d(...) + addend) over [batch, blocks, height, width, block], with filters of "
        "pack_filters; padding of height and width may differ behind the picture: [top, left, bottom, "
        "right].",
    .method = "none",
    .shape = conv_shape,
    .kernels = {KernelRow{"pointwise", run_pointwise, pointwise_declines}, KernelRow{"rows", conv_kernel}},
    .derivative = none("made for inference, after differentiation"),
    .onnx = none("made after a graph is exported"),
    .netdef = none("made after a graph is exported"),
    .samples = {shapes({2, 2, 6, 5, 4}, {2, 2, 3, 2, 4, 4}, {7})
                    .with("stride", {1, 2})
                    .with("padding", {1, 0})
                    .with("dilation", {1, 1})
                    .with("channels", 6)
                    .with("filters", 7)
                    .with("activation", "relu"),
                shapes({1, 3, 6, 5}, {2, 3, 2, 3, 4}, {8})
                    .with("stride", {2, 2})
                    .with("padding", {1, 1})
                    .with("dilation", {1, 1})
                    .with("channels", 3)
                    .with("filters", 8),
                shapes({1, 2, 6, 5, 4}, {2, 3, 3, 4}, {7})
                    .with("stride", {1, 1})
                    .with("padding", {1, 1})
                    .with("dilation", {1, 1})
                    .with("channels", 7)
                    .with("filters", 7)
                    .with("activation", "silu"),
                shapes({2, 1, 6, 5, 3}, {2, 3, 2, 3, 4}, {7})
                    .with("stride", {1, 2})
                    .with("padding", {1, 0})
                    .with("dilation", {1, 1})
                    .with("channels", 3)
                    .with("filters", 7),
                shapes({1, 1, 6, 5, 5}, {3, 3, 8}, {5})
                    .with("stride", {2, 1})
                    .with("padding", {0, 1, 2, 0})
                    .with("dilation", {1, 1})
                    .with("channels", 5)
                    .with("filters", 5)
                    .with("activation", "relu6")},
};

}  // namespace ops
}  // namespace moka

MOKA_OP_TABLE(blocked, MOKA_BLOCKED_OPS)
