// Channels into blocks and back, filters for blocked convolutions, max pooling of blocked pictures.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <limits>

#include "moka/base/parallel.h"
#include "moka/ops/blocked/blocked.h"
#include "moka/ops/define.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/kernels/by_isa.h"
#include "moka/ops/kernels/scratch.h"
#include "moka/ops/linear/gemm.h"
#include "moka/ops/number.h"

#define MOKA_TARGET_PAGE "moka/ops/blocked/pool_target.h"
#include "moka/ops/kernels/each_target.h"

namespace moka::ops {

namespace {
int64_t block_argument(const Frame& f, int i) {
  constexpr int64_t most = int64_t(1) << 20;
  const int64_t block = f.integer(i);
  MOKA_CHECK_KIND(Value, block > 0 && block <= most, f.name(), ": block must be from 1 to ", most, ", got ",
                  block);
  return block;
}
int64_t blocks(int64_t channels, int64_t block) { return (channels + block - 1) / block; }

const Tensor& float_argument(const Frame& f, int i, int rank, const char* sizes) {
  const Tensor& t = tensor_argument(f, i);
  MOKA_CHECK_KIND(NotImplemented, t.dtype() == DType::F32, f.name(), ": ", argument_name(f, i),
                  " must be float32, got ", t.dtype());
  MOKA_CHECK(t.dim() == rank, f.name(), ": ", argument_name(f, i), " must have shape ", sizes, ", got ",
             t.sizes());
  return t;
}
constexpr const char* plain_sizes = "[batch, channels, height, width]";
constexpr const char* blocked_sizes = "[batch, blocks, height, width, block]";

void block_shape(Frame& f) {
  const Tensor& x = float_argument(f, 0, 4, plain_sizes);
  const int64_t block = block_argument(f, 1);
  f.output(0, Dims{x.size(0), blocks(x.size(1), block), x.size(2), x.size(3), block}, x.dtype());
}
void block_kernel(Frame& f) {
  const Tensor x = as_contiguous(f.tensor(0));
  const int64_t block = f.integer(1), channels = x.size(1), pixels = x.size(2) * x.size(3);
  const int64_t rows = x.size(0) * blocks(channels, block);
  const float* from = x.data<float>();
  float* to = f.outs[0].data<float>();
  if (!pixels) return;
  parallel_for(0, rows, std::max<int64_t>(1, 16384 / (pixels * block)), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row++) {
      const int64_t n = row / blocks(channels, block), c0 = row % blocks(channels, block) * block;
      const int64_t some = std::min(block, channels - c0);
      const float* source = from + (n * channels + c0) * pixels;
      float* target = to + row * pixels * block;
      // Some pixels of all channels at a time: both sides stay in the first cache.
      for (int64_t p0 = 0; p0 < pixels; p0 += 64) {
        const int64_t p1 = std::min(pixels, p0 + 64);
        for (int64_t c = 0; c < some; c++)
          for (int64_t p = p0; p < p1; p++) target[p * block + c] = source[c * pixels + p];
        for (int64_t c = some; c < block; c++)
          for (int64_t p = p0; p < p1; p++) target[p * block + c] = 0;
      }
    }
  });
}

void unblock_shape(Frame& f) {
  const Tensor& x = float_argument(f, 0, 5, blocked_sizes);
  const int64_t channels = f.integer(1);
  const int64_t block = std::max<int64_t>(x.size(4), 1);
  MOKA_CHECK(channels >= 0 && channels <= x.size(1) * block && blocks(channels, block) == x.size(1), f.name(),
             ": ", x.size(1), " blocks of ", x.size(4), " do not hold ", channels, " channels");
  f.output(0, Dims{x.size(0), channels, x.size(2), x.size(3)}, x.dtype());
}
void unblock_kernel(Frame& f) {
  const Tensor x = as_contiguous(f.tensor(0));
  const int64_t block = x.size(4), channels = f.integer(1), pixels = x.size(2) * x.size(3);
  const float* from = x.data<float>();
  float* to = f.outs[0].data<float>();
  if (!pixels) return;
  parallel_for(0, x.size(0) * x.size(1), std::max<int64_t>(1, 16384 / (pixels * block)),
               [&](int64_t first, int64_t last) {
                 for (int64_t row = first; row < last; row++) {
                   const int64_t n = row / x.size(1), c0 = row % x.size(1) * block;
                   const int64_t some = std::min(block, channels - c0);
                   const float* source = from + row * pixels * block;
                   float* target = to + (n * channels + c0) * pixels;
                   for (int64_t p0 = 0; p0 < pixels; p0 += 64)
                     for (int64_t c = 0; c < some; c++)
                       for (int64_t p = p0; p < std::min(pixels, p0 + 64); p++)
                         target[c * pixels + p] = source[p * block + c];
                 }
               });
}

Filters filters_argument(const Frame& f, int i) {
  const std::string_view kind = f.string(i);
  if (kind == "dense") return Filters::Dense;
  if (kind == "plain") return Filters::Plain;
  if (kind == "last depthwise") return Filters::LastDepthwise;
  MOKA_CHECK_KIND(Value, kind == "depthwise", f.name(),
                  ": kind must be dense, plain, depthwise or last depthwise, got '", kind, "'");
  return Filters::Depthwise;
}
void pack_shape(Frame& f) {
  const Tensor& w = float_argument(f, 0, 4, "[filters, channels, height, width]");
  const int64_t b = block_argument(f, 1), filters = blocks(w.size(0), b);
  switch (filters_argument(f, 2)) {
    case Filters::Dense:
      return f.output(0, Dims{filters, blocks(w.size(1), b), w.size(2), w.size(3), b, b}, w.dtype());
    case Filters::Plain:
    case Filters::Last: return f.output(0, Dims{filters, w.size(2), w.size(3), w.size(1), b}, w.dtype());
    case Filters::Depthwise:
    case Filters::LastDepthwise: break;
  }
  MOKA_CHECK(w.size(1) == 1, f.name(), ": depthwise filters have one channel, got ", w.sizes());
  if (filters_argument(f, 2) == Filters::Depthwise)
    f.output(0, Dims{filters, w.size(2), w.size(3), b}, w.dtype());
  else f.output(0, Dims{w.size(2), w.size(3), checked_mul(filters, b, "pack_filters")}, w.dtype());
}
void pack_kernel(Frame& f) {
  const Tensor w = as_contiguous(f.tensor(0));
  const int64_t b = f.integer(1), channels = w.size(1), taps = w.size(2) * w.size(3);
  const Filters kind = filters_argument(f, 2);
  const int64_t rows = channels * taps;  // of one block, b filters each
  const int64_t packed_rows = (kind == Filters::Dense ? blocks(channels, b) * b : channels) * taps;
  const float* from = w.data<float>();
  float* to = f.outs[0].data<float>();
  if (!rows) {
    std::fill_n(to, f.outs[0].numel(), 0.f);
    return;
  }
  if (kind == Filters::LastDepthwise) {
    const int64_t width = f.outs[0].size(2);
    for (int64_t t = 0; t < taps; t++)
      for (int64_t c = 0; c < width; c++) to[t * width + c] = c < w.size(0) ? from[c * taps + t] : 0;
    return;
  }
  parallel_for(0, blocks(w.size(0), b), 65536 / (rows * b) + 1, [&](int64_t first, int64_t last) {
    const bool same_order = packed_rows == rows && (taps == 1 || kind == Filters::Depthwise);
    Scratch<float> turned(same_order ? 0 : rows * b);
    for (int64_t block = first; block < last; block++) {
      float* panel = to + block * packed_rows * b;
      // Rows of b filters for each (channel, tap), which are then put into their order.
      pack_panels<float>(rows, std::min(b, w.size(0) - block * b), {from + block * b * rows, 1, rows},
                         {same_order ? panel : turned.data(), rows, b});
      if (same_order) continue;
      if (packed_rows != rows) std::fill_n(panel, packed_rows * b, 0.f);
      for (int64_t c = 0; c < channels; c++)
        for (int64_t t = 0; t < taps; t++) {
          const int64_t row = kind == Filters::Dense ? (c / b * taps + t) * b + c % b : t * channels + c;
          std::copy_n(turned.data() + (c * taps + t) * b, b, panel + row * b);
        }
    }
  });
}

// Arguments: input, kernel_size, stride, padding, dilation, ceil_mode.
Window pool_window(const Frame& f) {
  const Tensor& x = float_argument(f, 0, 5, blocked_sizes);
  Window w;
  set_inputs(w, Dims{x.size(2), x.size(3)});
  read_axes(f, 1, 1, w, &Axis::kernel);
  if (f.has(2) && !ints_argument(f, 2).empty()) read_axes(f, 2, 1, w, &Axis::stride);
  else w.y.stride = w.y.kernel, w.x.stride = w.x.kernel;
  read_padding(f, 3, w);
  read_axes(f, 4, 1, w, &Axis::dilation);
  w.y.out = window_outputs(f, axis_name(1), w.y, f.flag(5));
  w.x.out = window_outputs(f, axis_name(2), w.x, f.flag(5));
  return w;
}
void pool_shape(Frame& f) {
  const Window w = pool_window(f);
  const Tensor& x = f.tensor(0);
  f.output(0, Dims{x.size(0), x.size(1), w.y.out, w.x.out, x.size(4)}, x.dtype());
}
void pool_kernel(Frame& f) {
  const Window w = pool_window(f);
  const Tensor x = as_contiguous(f.tensor(0));
  const int64_t b = x.size(4);
  const float* from = x.data<float>();
  float* to = f.outs[0].data<float>();
  auto pool_row = MOKA_BY_ISA(BlockedPool::row);
  parallel_for(0, x.size(0) * x.size(1) * w.y.out, 4, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row++) {
      const int64_t y = row % w.y.out * w.y.stride - w.y.padding;
      const Range taps = valid_range(w.y.kernel, w.y.dilation, y, w.y.in);
      pool_row(from + (row / w.y.out * w.y.in + y) * w.x.in * b, w, taps.first, taps.last, b,
               to + row * w.x.out * b);
    }
  });
}
}  // namespace

constinit const Op block_channels_op{
    .schema = "block_channels(Tensor input, int block) -> Tensor",
    .doc =
        "[batch, channels, height, width] as [batch, blocks, height, width, block], zeros behind the last "
        "channel.",
    .method = "none",
    .shape = block_shape,
    .kernels = {KernelRow{"copy", block_kernel}},
    .derivative = none("made for inference, after differentiation"),
    .onnx = none("made after a graph is exported"),
    .netdef = none("made after a graph is exported"),
    .samples = {shape(2, 5, 3, 4).with("block", 4), shape(1, 8, 9, 9).with("block", 8)},
};
constinit const Op unblock_channels_op{
    .schema = "unblock_channels(Tensor input, int channels) -> Tensor",
    .doc = "The inverse of block_channels.",
    .method = "none",
    .shape = unblock_shape,
    .kernels = {KernelRow{"copy", unblock_kernel}},
    .derivative = none("made for inference, after differentiation"),
    .onnx = none("made after a graph is exported"),
    .netdef = none("made after a graph is exported"),
    .samples = {shape(2, 2, 3, 4, 4).with("channels", 5), shape(1, 1, 9, 9, 8).with("channels", 8)},
};
constinit const Op pack_filters_op{
    .schema = "pack_filters(Tensor weight, int block, str kind='dense') -> Tensor",
    .doc =
        "Filters [filters, channels, height, width] as conv2d_blocked reads them; kind is dense, plain (for "
        "a picture "
        "that is not blocked, or whose channels are one block), depthwise or last depthwise (for channels in "
        "one block).",
    .method = "none",
    .shape = pack_shape,
    .kernels = {KernelRow{"copy", pack_kernel}},
    .derivative = none("made for inference, after differentiation"),
    .onnx = none("made after a graph is exported"),
    .netdef = none("made after a graph is exported"),
    .samples = {shape(6, 5, 3, 2).with("block", 4), shape(6, 3, 3, 2).with("block", 4).with("kind", "plain"),
                shape(6, 1, 3, 3).with("block", 4).with("kind", "depthwise"),
                shape(6, 1, 3, 2).with("block", 4).with("kind", "last depthwise")},
};
constinit const Op max_pool2d_blocked_op{
    .schema =
        "max_pool2d_blocked(Tensor input, int[2] kernel_size, int[2] stride=[], int[] padding=[0, 0], int[2] "
        "dilation=1, "
        "bool ceil_mode=False) -> Tensor",
    .doc = "max_pool2d over [batch, blocks, height, width, block].",
    .method = "none",
    .shape = pool_shape,
    .kernels = {KernelRow{"places", pool_kernel}},
    .derivative = none("made for inference, after differentiation"),
    .onnx = none("made after a graph is exported"),
    .netdef = none("made after a graph is exported"),
    .samples =
        {shape(2, 2, 6, 7, 4).with("kernel_size", {3, 3}).with("stride", {2, 2}).with("padding", {1, 1})},
};

}  // namespace moka::ops
