// Convolutions with 1 x 1 filters over blocked channels: a product of pixels and filters, with the bias, the sum and the
// activation while the results are in registers.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/blocked/pointwise.h"

#include <algorithm>
#include <limits>

#include "moka/base/parallel.h"
#include "moka/ops/fused/parts.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/kernels/by_isa.h"
#include "moka/ops/kernels/scratch.h"

namespace moka {
namespace {
// Distances between blocks of channels, of filters and of results, and what bounds the results.
struct PointwiseSteps {
  int64_t channels, x_block, w_block, out_block;
  bool clamped;
  float high;
};
}  // namespace
}  // namespace moka
#define MOKA_TARGET_PAGE "moka/ops/blocked/pointwise_target.h"
#include "moka/ops/kernels/each_target.h"

namespace moka::ops {

namespace {
// Arguments of conv2d_blocked.
enum Argument { Input, Weight, Bias, Addend = 8, Activation = 9 };

constexpr int64_t least_pixels = 4;

int64_t lanes_of_processor() { return isa() == Isa::Avx512 ? 16 : isa() == Isa::Avx2 ? 8 : 4; }
// Pixels of a tile, which with two blocks of filters fill the registers.
int64_t tile_pixels() { return isa() == Isa::Avx512 ? 12 : isa() == Isa::Avx2 ? 6 : 4; }

struct Call {
  PointwiseSteps s;
  int64_t plane, filters, blocks, unit;  // pixels of a picture, filters and their blocks, floats of a block
  const float *x, *w, *bias, *addend;
  float* out;
  FormulaKernel after;

  // Pixels [p0, p1) of blocks [b0, b1) of filters of picture n.
  void run(int64_t n, int64_t p0, int64_t p1, int64_t b0, int64_t b1) const {
    constexpr int64_t nearby =
        24 << 10;  // floats of the picture that stay in the second cache beside filters
    const int64_t chunk = std::max<int64_t>(4 * tile_pixels(), nearby / s.channels);
    const int64_t chunks = (p1 - p0 + chunk - 1) / chunk;
    for (int64_t c = 0; c < chunks; c++)
      run_chunk(n, p0 + (p1 - p0) * c / chunks, p0 + (p1 - p0) * (c + 1) / chunks, b0, b1);
  }

 private:
  void run_chunk(int64_t n, int64_t p0, int64_t p1, int64_t b0, int64_t b1) const {
    const auto some = MOKA_BY_ISA(Pixels::some);
    const int64_t groups = (s.channels + unit - 1) / unit,
                  tiles = (p1 - p0 + tile_pixels() - 1) / tile_pixels();
    const int64_t part = s.channels / 4 * unit;  // of the next filters, fetched with each tile
    for (int64_t b = b0; b < b1; b += 2) {
      const int64_t pair = std::min<int64_t>(2, b1 - b);
      const float* taken = w + b * s.w_block;
      const float* next = b + 2 < b1 ? taken + 2 * s.w_block : nullptr;
      for (int64_t t = 0; t < tiles; t++) {
        const int64_t from = p0 + (p1 - p0) * t / tiles, to = p0 + (p1 - p0) * (t + 1) / tiles;
        const int64_t place = (n * blocks + b) * s.out_block + from * unit;
        some(s, to - from, pair, x + n * groups * s.x_block + from * unit, taken, bias + b * unit,
             addend ? addend + place : nullptr, out + place,
             next && (t + 1) * part <= s.w_block ? next + t * part : taken);
      }
      for (int64_t j = 0; after && j < pair; j++) {
        float* done = out + (n * blocks + b + j) * s.out_block + p0 * unit;
        const void* const in[] = {done};
        after(done, in, (p1 - p0) * unit, nullptr);
        const int64_t there = std::min(unit, filters - (b + j) * unit);
        for (int64_t p = p0; p < p1 && there < unit; p++, done += unit)  // sigmoid(0) is not 0
          std::fill(done + there, done + unit, 0.f);
      }
    }
  }
};
}  // namespace

std::string_view pointwise_declines(const Frame& f) {
  const BlockedConv c = blocked_geometry(f);
  const auto plain = [](const Axis& a) {
    return a.kernel == 1 && a.stride == 1 && a.padding == 0 && a.out == a.in;
  };
  if (c.filters != Filters::Dense || !plain(c.g.y) || !plain(c.g.x))
    return "serves 1 x 1 filters over blocks, with stride 1 and no padding";
  if (c.block != lanes_of_processor()) return "serves blocks as wide as the processor's vectors";
  // Back ends do as well there: results are written more slowly than they are calculated, or filters read.
  if (c.g.channels <= c.block || c.g.y.out * c.g.x.out < least_pixels) return "too few channels or pixels";
  return {};
}

void run_pointwise(Frame& f) {
  const BlockedConv c = blocked_geometry(f);
  const Tensor x = as_contiguous(f.tensor(Input)), w = as_contiguous(f.tensor(Weight));
  const Tensor bias = f.has(Bias) ? as_contiguous(f.tensor(Bias)) : Tensor();
  const Tensor addend = f.has(Addend) ? as_contiguous(f.tensor(Addend)) : Tensor();
  const Tensor& out = f.outs[0];
  if (!out.numel()) return;
  const int64_t unit = c.block, plane = c.g.y.out * c.g.x.out, blocks = out.size(1);
  Scratch<float> start(blocks * unit);  // zeros behind the last filter
  std::fill_n(start.data(), blocks * unit, 0.f);
  if (bias) std::copy_n(bias.data<float>(), c.g.filters, start.data());
  const std::string_view activation = f.string(Activation);
  const bool clamped = activation == "relu" || activation == "relu6";
  const Op* const op = clamped ? nullptr : activation_of(f, Activation);
  const Call call{{c.g.channels, plane * unit, w.size(1) * unit * unit, plane * unit, clamped,
                   activation == "relu6" ? 6.f : std::numeric_limits<float>::infinity()},
                  plane,
                  c.g.filters,
                  blocks,
                  unit,
                  x.data<float>(),
                  w.data<float>(),
                  start.data(),
                  addend ? addend.data<float>() : nullptr,
                  out.data<float>(),
                  op ? op->formula.kernels[static_cast<int>(isa())][0] : nullptr};
  // Pictures, or parts of one: some pixels times some pairs of blocks, shared out for the least of the largest part.
  const double work = double(c.g.batch) * double(plane) * double(c.g.channels) * double(blocks * unit);
  const int64_t threads = in_parallel() || work < (1 << 18) ? 1 : num_threads();
  int64_t across = 1, down = 1;  // parts of pixels, of filters
  if (c.g.batch < threads) {
    const int64_t pairs = (blocks + 1) / 2;
    double least = std::numeric_limits<double>::infinity();
    for (int64_t a = 1; a <= threads; a++) {
      const int64_t pixels = std::min(a, plane), filters = std::min(threads / a, pairs);
      const double reading = 4;  // a filter's element costs as much as so many pixels
      const double cost =
          (double((plane + pixels - 1) / pixels) + reading) * double((pairs + filters - 1) / filters);
      if (cost < least) least = cost, across = pixels, down = filters;
    }
  }
  const int64_t pairs = (blocks + 1) / 2;
  parallel_for(0, c.g.batch * across * down, threads == 1 ? c.g.batch * across * down : 1,
               [&](int64_t first, int64_t last) {
                 for (int64_t i = first; i < last; i++) {
                   const int64_t n = i / (across * down), a = i / down % across, d = i % down;
                   call.run(n, plane * a / across, plane * (a + 1) / across, pairs * d / down * 2,
                            std::min(blocks, pairs * (d + 1) / down * 2));
                 }
               });
}

}  // namespace moka::ops
