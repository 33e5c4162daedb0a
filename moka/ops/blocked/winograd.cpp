// Convolutions with 3 x 3 filters and stride 1 through fewer products (Winograd's minimal filtering; A. Lavin and S. Gray,
// "Fast algorithms for convolutional neural networks", 2016): tiles of 2 x 2 or 4 x 4 outputs take 16 or 36 products of a
// channel and a filter instead of 36 or 144.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/base/parallel.h"
#include "moka/ops/blocked/blocked.h"
#include "moka/ops/define.h"
#include "moka/ops/fused/parts.h"
#include "moka/ops/kernels/by_isa.h"
#include "moka/ops/kernels/scratch.h"
#include "moka/ops/linear/gemm.h"

namespace moka {
namespace {
// Where the pixels of a tile are, and which of them there are.
struct WinogradSteps {
  int64_t row, pixel;
  int64_t y0, y1, x0, x1;
};
constexpr int64_t panel = 32;  // filters side by side
}  // namespace

// In multiply-adds and what takes as long: transforms by the outputs and inputs of tiles, filters by what reading them
// from memory takes. Fitted to shapes of ResNet-50 on 2 cores with AVX-512 (docs/decisions/014-winograd.md).
int64_t winograd_tile(int64_t channels, int64_t filters, int64_t pictures, int64_t height, int64_t width) {
  constexpr double each_weight = 30, gain = 0.9, most_bytes = 4 << 20;
  const double pairs = double(channels) * double(filters),
               panels = double(channels) * double((filters + panel - 1) / panel * panel);
  double least = gain * 9 * pairs * (double(pictures) * double(height) * double(width) + each_weight);
  int64_t best = 0;
  const auto consider = [&](int64_t tile, double points, double transform) {
    const double tiles =
        double(pictures) * double((height + tile - 1) / tile) * double((width + tile - 1) / tile);
    const double taken =
        points * panels * (tiles + each_weight) + transform * tiles * double(channels + filters);
    if (taken < least) least = taken, best = tile;
  };
  consider(2, 16, 200);
  // Four times the filters' memory: small ones alone.
  if (36 * panels * double(sizeof(float)) <= most_bytes) consider(4, 36, 500);
  return best;
}
}  // namespace moka
#define MOKA_TARGET_PAGE "moka/ops/blocked/winograd_target.h"
#include "moka/ops/kernels/each_target.h"

namespace moka::ops {

namespace {
void pack_shape(Frame& f) {
  const Tensor& w = tensor_argument(f, 0);
  check_floats(f, {0});
  MOKA_CHECK(w.dim() == 4 && w.size(2) == 3 && w.size(3) == 3, f.name(),
             ": weight must have shape [filters, channels, 3, 3], got ", w.sizes());
  const int64_t tile = f.integer(1), side = tile + 2;
  MOKA_CHECK_KIND(Value, tile == 2 || tile == 4, f.name(), ": tiles have 2 or 4 outputs a side, got ", tile);
  f.output(0, Dims{side * side, (w.size(0) + panel - 1) / panel, w.size(1), panel}, w.dtype());
}
void pack_kernel(Frame& f) {
  const Tensor w = as_contiguous(f.tensor(0));
  const int64_t filters = w.size(0), channels = w.size(1), panels = f.outs[0].size(1), rows = channels * 9;
  const auto transform =
      f.integer(1) == 2 ? MOKA_BY_ISA(Winograd<2>::filters) : MOKA_BY_ISA(Winograd<4>::filters);
  const float* from = w.data<float>();
  float* to = f.outs[0].data<float>();
  if (!rows) return;
  parallel_for(0, panels, 1, [&](int64_t first, int64_t last) {
    Scratch<float> turned(rows * panel);
    for (int64_t p = first; p < last; p++) {
      pack_panels<float>(rows, std::min(panel, filters - p * panel), {from + p * panel * rows, 1, rows},
                         {turned.data(), rows, panel});
      for (int64_t c = 0; c < channels; c++)
        transform(turned.data() + c * 9 * panel, panel, to + (p * channels + c) * panel,
                  panels * channels * panel);
    }
  });
}

// Arguments: input, weight, bias, padding, filters, block, addend, activation.
struct Tiles {
  int64_t tile, batch, channels, filters, block, panels;
  Axis y, x;
  int64_t down, across;  // tiles of a picture
  int64_t count() const { return batch * down * across; }
};
Tiles tiles_of(const Frame& f) {
  check_floats(f, {0, 1, 2, 6});
  const Tensor &x = tensor_argument(f, 0), &w = tensor_argument(f, 1);
  MOKA_CHECK(x.dim() == 5, f.name(), ": input must have shape [batch, blocks, height, width, block], got ",
             x.sizes());
  MOKA_CHECK(w.dim() == 4 && (w.size(0) == 16 || w.size(0) == 36) && w.size(3) == panel, f.name(),
             ": weight must come from pack_winograd, got shape ", w.sizes());
  Tiles t{.tile = w.size(0) == 16 ? 2 : 4,
          .batch = x.size(0),
          .channels = checked_mul(x.size(1), x.size(4), "channels"),
          .filters = f.integer(4),
          .block = f.integer(5),
          .panels = w.size(1)};
  MOKA_CHECK(t.filters > 0 && t.block > 0 && t.filters % t.block == 0 && t.channels > 0 &&
                 w.size(2) == t.channels && t.panels == (t.filters - 1) / panel + 1,
             f.name(), ": ", t.channels, " channels and ", t.filters, " filters in blocks of ", t.block,
             " do not fit weight ", w.sizes());
  Window window;
  window.y.kernel = window.x.kernel = 3;
  set_inputs(window, Dims{x.size(2), x.size(3)});
  read_padding(f, 3, window);
  t.y = window.y, t.x = window.x;
  t.y.out = window_outputs(f, axis_name(1), t.y);
  t.x.out = window_outputs(f, axis_name(2), t.x);
  t.down = (t.y.out - 1) / t.tile + 1, t.across = (t.x.out - 1) / t.tile + 1;
  return t;
}
void conv_shape(Frame& f) {
  const Tiles t = tiles_of(f);
  const Dims sizes{t.batch, t.filters / t.block, t.y.out, t.x.out, t.block};
  if (f.has(2)) check_shape(f, 2, Dims{t.filters});
  if (f.has(6)) check_shape(f, 6, sizes);
  activation_of(f, 7);
  f.output(0, sizes, DType::F32);
}

// What one call works on; V are the transformed inputs, M the products.
struct Call {
  const Tiles& t;
  int64_t in_block;
  const float *x, *w, *bias, *addend;
  bool relu;
  float* out;

  int64_t points() const { return (t.tile + 2) * (t.tile + 2); }
  // Rows of V are not a power of two apart: those that one product reads would share a few places of the cache.
  int64_t v_row() const { return (t.channels + 15) / 16 * 16 + 16; }

  // Channels [c0, c1) of tiles [first, last), to rows `to` of V, which holds `rows` of them for each point.
  void transform(int64_t first, int64_t last, int64_t c0, int64_t c1, float* v, int64_t rows) const {
    const auto input = t.tile == 2 ? MOKA_BY_ISA(Winograd<2>::input) : MOKA_BY_ISA(Winograd<4>::input);
    const int64_t side = t.tile + 2, plane = t.y.in * t.x.in * in_block;
    for (int64_t i = first; i < last; i++, v += v_row()) {
      const int64_t n = i / (t.down * t.across), y = i / t.across % t.down * t.tile - t.y.padding,
                    x0 = i % t.across * t.tile - t.x.padding;
      const WinogradSteps at{t.x.in * in_block,         in_block,
                             std::max<int64_t>(0, -y),  std::min(side, t.y.in - y),
                             std::max<int64_t>(0, -x0), std::min(side, t.x.in - x0)};
      for (int64_t c = c0; c < c1;) {
        const int64_t some = std::min(in_block - c % in_block, c1 - c);
        input(x + (n * t.channels / in_block + c / in_block) * plane + (y * t.x.in + x0) * in_block +
                  c % in_block,
              at, some, v + c, rows * v_row());
        c += some;
      }
    }
  }

  // Filters of panel p of tiles [first, last), whose inputs are rows of V; m has room for the products.
  void multiply(int64_t first, int64_t last, int64_t p, const float* v, int64_t rows, float* m) const {
    const int64_t count = last - first, depth = t.channels * panel;
    for (int64_t i = 0; i < points(); i++)
      gemm_direct<float>(count, panel, t.channels, v + i * rows * v_row(), v_row(),
                         {const_cast<float*>(w) + (i * t.panels + p) * depth, t.channels, panel},
                         m + i * count * panel, panel, false);
    const auto output = t.tile == 2 ? MOKA_BY_ISA(Winograd<2>::output) : MOKA_BY_ISA(Winograd<4>::output);
    const int64_t plane = t.y.out * t.x.out * t.block, end = std::min(t.filters, (p + 1) * panel);
    for (int64_t i = first; i < last; i++) {
      const int64_t n = i / (t.down * t.across), y = i / t.across % t.down * t.tile,
                    x0 = i % t.across * t.tile;
      const WinogradSteps at{
          t.x.out * t.block, t.block, 0, std::min(t.tile, t.y.out - y), 0, std::min(t.tile, t.x.out - x0)};
      for (int64_t o = p * panel; o < end;) {
        const int64_t some = std::min(t.block - o % t.block, end - o);
        const int64_t place =
            (n * t.filters / t.block + o / t.block) * plane + (y * t.x.out + x0) * t.block + o % t.block;
        output(m + (i - first) * panel + o % panel, count * panel, some, bias + o,
               addend ? addend + place : nullptr, relu, out + place, at);
        o += some;
      }
    }
  }
  int64_t products(int64_t tiles) const { return points() * tiles * panel + panel; }
};

// Many tiles: each thread takes some through all steps, as many as its second cache holds.
void by_tiles(const Call& c, int64_t chunk) {
  const int64_t tiles = c.t.count(), threads = num_threads();
  const int64_t turns = (tiles + threads * chunk - 1) / (threads * chunk) * threads;
  const int64_t each = (tiles + turns - 1) / turns;
  parallel_for(0, (tiles + each - 1) / each, 1, [&](int64_t from, int64_t to) {
    Scratch<float> v(c.points() * each * c.v_row()), m(c.products(each));
    for (int64_t i = from; i < to; i++) {
      const int64_t first = i * each, last = std::min(tiles, first + each);
      c.transform(first, last, 0, c.t.channels, v.data(), last - first);
      for (int64_t p = 0; p < c.t.panels; p++) c.multiply(first, last, p, v.data(), last - first, m.data());
    }
  });
}

// Few tiles: all are transformed, then each thread takes some of the filters, so that these are read once.
void by_filters(const Call& c) {
  constexpr int64_t group = 64;
  const int64_t tiles = c.t.count(), groups = (c.t.channels + group - 1) / group;
  Scratch<float> v(c.points() * tiles * c.v_row());
  parallel_for(0, tiles * groups, 1, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) {
      const int64_t tile = i / groups, c0 = i % groups * group;
      c.transform(tile, tile + 1, c0, std::min(c.t.channels, c0 + group), v.data() + tile * c.v_row(), tiles);
    }
  });
  parallel_for(0, c.t.panels, 1, [&](int64_t from, int64_t to) {
    Scratch<float> m(c.products(tiles));
    for (int64_t p = from; p < to; p++) c.multiply(0, tiles, p, v.data(), tiles, m.data());
  });
}

void conv_kernel(Frame& f) {
  const Tiles t = tiles_of(f);
  const Tensor x = as_contiguous(f.tensor(0)), w = as_contiguous(f.tensor(1));
  const Tensor bias = f.has(2) ? as_contiguous(f.tensor(2)) : Tensor();
  const Tensor addend = f.has(6) ? as_contiguous(f.tensor(6)) : Tensor();
  if (!f.outs[0].numel()) return;
  // In whole vectors, zeros behind the last filter.
  Scratch<float> start((t.panels + 1) * panel);
  std::fill_n(start.data(), (t.panels + 1) * panel, 0.f);
  if (bias) std::copy_n(bias.data<float>(), t.filters, start.data());
  const bool relu = f.string(7) == "relu";
  const Call call{t,
                  x.size(4),
                  x.data<float>(),
                  w.data<float>(),
                  start.data(),
                  addend ? addend.data<float>() : nullptr,
                  relu,
                  f.outs[0].data<float>()};
  constexpr int64_t most_rows = 28, least_rows = 14, cache = int64_t(1) << 17;  // elements
  const int64_t chunk = std::clamp(cache / (call.points() * t.channels), least_rows, most_rows);
  if (t.count() < least_rows * num_threads()) by_filters(call);
  else by_tiles(call, chunk);
  if (!relu) finish_fused(f, {}, 7);
}
}  // namespace

constinit const Op pack_winograd_op{
    .schema = "pack_winograd(Tensor weight, int tile) -> Tensor",
    .doc =
        "Filters [filters, channels, 3, 3] as conv2d_winograd reads them, for tiles of so many outputs a "
        "side, "
        "2 or 4: [(tile + 2)^2, panels of 32 filters, channels, 32].",
    .method = "none",
    .shape = pack_shape,
    .kernels = {KernelRow{"transform", pack_kernel}},
    .derivative = none("made for inference, after differentiation"),
    .onnx = none("made after a graph is exported"),
    .netdef = none("made after a graph is exported"),
    .samples = {shape(6, 5, 3, 3).with("tile", 2), shape(40, 3, 3, 3).with("tile", 4)},
};
constinit const Op conv2d_winograd_op{
    .schema =
        "conv2d_winograd(Tensor input, Tensor weight, Tensor? bias, int[] padding, int filters, int block, "
        "Tensor? addend=None, str activation='none') -> Tensor",
    .doc =
        "activation(conv2d(...) + addend) with 3 x 3 filters and stride 1 over [batch, blocks, height, "
        "width, "
        "block], with filters of pack_winograd; the result has blocks of `block` filters. Rounds differently "
        "from conv2d: by about 1e-5 of the largest results with tiles of 4. An infinity or NaN reaches all "
        "outputs of its tile.",
    .method = "none",
    .shape = conv_shape,
    .kernels = {KernelRow{"tiles", conv_kernel}},
    .derivative = none("made for inference, after differentiation"),
    .onnx = none("made after a graph is exported"),
    .netdef = none("made after a graph is exported"),
    .samples = {shapes({2, 2, 6, 5, 4}, {16, 1, 8, 32}, {8})
                    .with("padding", {1, 1})
                    .with("filters", 8)
                    .with("block", 4)
                    .with("activation", "relu"),
                shapes({1, 1, 9, 7, 3}, {36, 2, 3, 32}, {35})
                    .with("padding", {0, 2, 1, 1})
                    .with("filters", 35)
                    .with("block", 35)
                    .with("activation", "silu")},
};

}  // namespace moka::ops
