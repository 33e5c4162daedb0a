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
#include "moka/ops/linear/gemm_kernels.h"
#include "moka/ops/linear/grid.h"

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
constexpr double filter_reading = 4;  // a filter's element costs as much as so many pixels

// Pixels of a tile, which with two blocks of filters fill the registers.
int64_t tile_pixels() { return gemm_kernels<float>().rows; }

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
    const Parts chunks(p1 - p0, std::max<int64_t>(4 * tile_pixels(), nearby / s.channels));
    for (int64_t c = 0; c < chunks.count; c++) run_chunk(n, p0 + chunks.begin(c), chunks.size(c), b0, b1);
  }

 private:
  void run_chunk(int64_t n, int64_t p0, int64_t count, int64_t b0, int64_t b1) const {
    const auto some = MOKA_BY_ISA(Pixels::some);
    const int64_t groups = (s.channels + unit - 1) / unit;
    const Parts tiles(count, tile_pixels());
    const int64_t part = s.channels / 4 * unit;  // of the next filters, fetched with each tile
    for (int64_t b = b0; b < b1; b += 2) {
      const int64_t pair = std::min<int64_t>(2, b1 - b);
      const float* taken = w + b * s.w_block;
      const float* next = b + 2 < b1 ? taken + 2 * s.w_block : nullptr;
      for (int64_t t = 0; t < tiles.count; t++) {
        const int64_t from = p0 + tiles.begin(t);
        const int64_t place = (n * blocks + b) * s.out_block + from * unit;
        some(s, tiles.size(t), pair, x + n * groups * s.x_block + from * unit, taken, bias + b * unit,
             addend ? addend + place : nullptr, out + place,
             next && (t + 1) * part <= s.w_block ? next + t * part : taken);
      }
      for (int64_t j = 0; after && j < pair; j++) {
        float* done = out + (n * blocks + b + j) * s.out_block + p0 * unit;
        const void* const in[] = {done};
        after(done, in, count * unit, nullptr);
        const int64_t there = std::min(unit, filters - (b + j) * unit);
        for (int64_t p = 0; p < count && there < unit; p++, done += unit)  // sigmoid(0) is not 0
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
  if (c.block != gemm_kernels<float>().lanes) return "serves blocks as wide as the processor's vectors";
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
                  clamped ? nullptr : activation_kernel(f, Activation)};
  // Pictures, or parts of one: some pixels times some pairs of blocks, shared out for the least of the largest part.
  const double work = double(c.g.batch) * double(plane) * double(c.g.channels) * double(blocks * unit);
  const int64_t threads = in_parallel() || work < (1 << 18) ? 1 : num_threads();
  const int64_t parts = c.g.batch < threads ? threads : 1;  // of each picture
  const Grid grid(plane, blocks, 1, 2, {0, filter_reading}, parts);
  const int64_t tasks = c.g.batch * grid.count();
  parallel_for(0, tasks, threads == 1 ? tasks : 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) {
      const auto [p0, p1, b0, b1] = grid.share(i % grid.count());
      call.run(i / grid.count(), p0, p1, b0, b1);
    }
  });
}

}  // namespace moka::ops
