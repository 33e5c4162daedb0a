// Implicit im2col: a panel of the column matrix is gathered where the product packs it, so it never leaves the caches.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/convolution/kernels.h"

#include <algorithm>
#include <cstring>

#include "moka/base/parallel.h"
#include "moka/ops/kernels/scratch.h"
#include "moka/ops/kernels/wrapping.h"
#include "moka/ops/linear/gemm.h"

namespace moka {

namespace {
// A run of neighbouring pixels of one row of one plane.
struct Run {
  int64_t at;  // place in the panel
  int64_t plane, row, column, count;
};
constexpr int most_runs = 64;  // a panel has at most 2 * 16 columns

// `width` and `height` are those of a plane.
int split_into_runs(int64_t first, int64_t count, int64_t height, int64_t width, Run* runs) {
  int n = 0;
  for (int64_t at = 0; at < count; n++) {
    int64_t row = (first + at) / width, column = (first + at) % width;
    int64_t here = std::min(count - at, width - column);
    int64_t plane = row < height ? 0 : row / height;
    runs[n] = {at, plane, row - plane * height, column, here};
    at += here;
  }
  return n;
}

struct Tap {  // row of the column matrix: channel and place in the kernel
  int64_t channel, z, y, x;
  Tap(int64_t index, const ConvGeometry& g)
      : channel(index / g.taps()),
        z(index % g.taps() / (g.y.kernel * g.x.kernel)),
        y(index / g.x.kernel % g.y.kernel),
        x(index % g.x.kernel) {}
  void advance(const ConvGeometry& g) {
    if (++x < g.x.kernel) return;
    x = 0;
    if (++y < g.y.kernel) return;
    y = 0;
    if (++z < g.z.kernel) return;
    z = 0;
    channel++;
  }
};

// The place of the input that an output's window reads at `tap`; may lie outside.
inline int64_t input_place(const Axis& a, int64_t out, int64_t tap) {
  return out * a.stride - a.padding + tap * a.dilation;
}
// The output whose window reads place `in` at `tap`, or -1.
inline int64_t output_place(const Axis& a, int64_t in, int64_t tap) {
  int64_t place = in + a.padding - tap * a.dilation;
  if (place < 0 || place % a.stride) return -1;
  place /= a.stride;
  return place < a.out ? place : -1;
}
inline bool inside(int64_t place, const Axis& a) { return place >= 0 && place < a.in; }

// to[i] = image row, read from place `offset` in steps of `step`; zeros outside [0, width).
template <class T>
void gather(const T* row, int64_t width, int64_t offset, int64_t step, int64_t count, T* to) {
  Range r = valid_range(count, step, offset, width);
  for (int64_t i = 0; i < r.first; i++) to[i] = T(0);
  if (step == 1)
    std::memcpy(to + r.first, row + offset + r.first, static_cast<size_t>(r.last - r.first) * sizeof(T));
  else
    for (int64_t i = r.first; i < r.last; i++) to[i] = row[offset + i * step];
  for (int64_t i = r.last; i < count; i++) to[i] = T(0);
}

// Rows are taps, columns output pixels: what the weights are multiplied with.
template <class T>
struct InputColumns {
  const ConvGeometry& g;
  const T* image;  // the group's channels of one image
  int64_t first_pixel;  // of this task
  void operator()(int64_t k0, int64_t k, int64_t n0, int64_t n, T* to, int64_t width) const {
    Run runs[most_runs];
    int count = split_into_runs(first_pixel + n0, n, g.y.out, g.x.out, runs);
    Tap tap(k0, g);
    for (int64_t i = 0; i < k; i++, to += width, tap.advance(g)) {
      const T* channel = image + tap.channel * g.in_pixels();
      for (int r = 0; r < count; r++) {
        const Run& run = runs[r];
        int64_t z = input_place(g.z, run.plane, tap.z), y = input_place(g.y, run.row, tap.y);
        if (!inside(z, g.z) || !inside(y, g.y))
          std::memset(to + run.at, 0, static_cast<size_t>(run.count) * sizeof(T));
        else
          gather(channel + (z * g.y.in + y) * g.x.in, g.x.in, input_place(g.x, run.column, tap.x), g.x.stride,
                 run.count, to + run.at);
      }
      for (int64_t j = n; j < width; j++) to[j] = T(0);
    }
  }
};

// Rows are (filter, tap), columns input pixels: the output gradients that reach a pixel through each tap.
template <class T>
struct GradientColumns {
  const ConvGeometry& g;
  const T* grad;
  int64_t first_pixel;
  void operator()(int64_t k0, int64_t k, int64_t n0, int64_t n, T* to, int64_t width) const {
    Run runs[most_runs];
    int count = split_into_runs(first_pixel + n0, n, g.y.in, g.x.in, runs);
    Tap tap(k0, g);
    for (int64_t i = 0; i < k; i++, to += width, tap.advance(g)) {
      const T* channel = grad + tap.channel * g.out_pixels();
      for (int r = 0; r < count; r++) {
        const Run& run = runs[r];
        int64_t z = output_place(g.z, run.plane, tap.z), y = output_place(g.y, run.row, tap.y);
        T* at = to + run.at;
        if (z < 0 || y < 0) {
          std::memset(at, 0, static_cast<size_t>(run.count) * sizeof(T));
          continue;
        }
        const T* row = channel + (z * g.y.out + y) * g.x.out;
        int64_t x = run.column + g.x.padding - tap.x * g.x.dilation;
        if (g.x.stride == 1) gather(row, g.x.out, x, int64_t(1), run.count, at);
        else
          for (int64_t j = 0; j < run.count; j++, x++)
            at[j] = x >= 0 && x % g.x.stride == 0 && x / g.x.stride < g.x.out ? row[x / g.x.stride] : T(0);
      }
      for (int64_t j = n; j < width; j++) to[j] = T(0);
    }
  }
};

// The transpose of InputColumns: rows are output pixels, columns taps.
template <class T>
struct InputRows {
  const ConvGeometry& g;
  const T* image;
  void operator()(int64_t k0, int64_t k, int64_t n0, int64_t n, T* to, int64_t width) const {
    Tap tap(n0, g);
    for (int64_t j = 0; j < n; j++, tap.advance(g)) {
      const T* channel = image + tap.channel * g.in_pixels();
      int64_t row = k0 / g.x.out, column = k0 % g.x.out;
      for (int64_t i = 0; i < k; row++, column = 0) {
        int64_t here = std::min(k - i, g.x.out - column);
        int64_t plane = row < g.y.out ? 0 : row / g.y.out;
        int64_t z = input_place(g.z, plane, tap.z), y = input_place(g.y, row - plane * g.y.out, tap.y);
        int64_t offset = input_place(g.x, column, tap.x);
        T* at = to + i * width + j;
        Range r =
            inside(z, g.z) && inside(y, g.y) ? valid_range(here, g.x.stride, offset, g.x.in) : Range{0, 0};
        const T* from = channel + (z * g.y.in + y) * g.x.in + offset;
        for (int64_t p = 0; p < r.first; p++) at[p * width] = T(0);
        for (int64_t p = r.first; p < r.last; p++) at[p * width] = from[p * g.x.stride];
        for (int64_t p = r.last; p < here; p++) at[p * width] = T(0);
        i += here;
      }
    }
    for (int64_t i = 0; i < k; i++)
      for (int64_t j = n; j < width; j++) to[i * width + j] = T(0);
  }
};

// Every image and group is cut into tasks of this many pixels.
constexpr int64_t task_pixels = 512;

// result[image, rows, pixels] = left[rows, depth] columns[depth, pixels] + bias for all images and groups.
template <class T, class Columns>
void multiply_images(const ConvGeometry& g, int64_t rows, int64_t depth, const T* left, const T* from,
                     int64_t from_channels, int64_t from_pixels, const T* bias, T* to, int64_t pixels) {
  Scratch<T> packed(g.groups * rows * depth);
  for (int64_t group = 0; group < g.groups; group++)
    pack_left<T>(rows, depth, {left + group * rows * depth, depth, 1}, packed.data() + group * rows * depth);
  int64_t parts = (pixels + task_pixels - 1) / task_pixels, tasks = g.batch * g.groups * parts;
  int64_t work = std::min(pixels, task_pixels) * rows * depth;
  parallel_for(0, tasks, 200000 / (work + 1) + 1, [&](int64_t first, int64_t last) {
    Scratch<T> scratch(gemm_packed_scratch<T>(std::min(pixels, task_pixels), depth));
    for (int64_t task = first; task < last; task++) {
      int64_t image = task / (g.groups * parts), group = task / parts % g.groups,
              p0 = task % parts * task_pixels;
      Columns columns{g, from + (image * g.groups + group) * from_channels * from_pixels, p0};
      gemm_packed<T>(rows, std::min(task_pixels, pixels - p0), depth, packed.data() + group * rows * depth,
                     columns, to + (image * g.groups + group) * rows * pixels + p0, pixels,
                     {.row = bias ? bias + group * rows : nullptr}, scratch.data());
    }
  });
}

// Nothing to multiply: the bias alone.
template <class T>
void fill_bias(int64_t batch, int64_t channels, int64_t pixels, const T* bias, T* to) {
  for (int64_t i = 0; i < batch * channels; i++)
    std::fill_n(to + i * pixels, pixels, bias ? bias[i % channels] : T(0));
}
}  // namespace

template <class T>
void add_windows(const ConvGeometry& g, const T* products, T* plane) {
  const auto range = [](const Axis& a, int64_t tap) {
    return valid_range(a.out, a.stride, tap * a.dilation - a.padding, a.in);
  };
  Tap tap(0, g);
  for (int64_t k = 0; k < g.taps(); k++, products += g.out_pixels(), tap.advance(g)) {
    const Range zs = range(g.z, tap.z), ys = range(g.y, tap.y), xs = range(g.x, tap.x);
    for (int64_t z = zs.first; z < zs.last; z++)
      for (int64_t y = ys.first; y < ys.last; y++) {
        const T* from = products + (z * g.y.out + y) * g.x.out;
        T* row = plane + (input_place(g.z, z, tap.z) * g.y.in + input_place(g.y, y, tap.y)) * g.x.in;
        T* to = row + input_place(g.x, xs.first, tap.x);
        if (g.x.stride == 1)
          for (int64_t x = xs.first; x < xs.last; x++) *to = wrapping_add<T>(*to, from[x]), to++;
        else
          for (int64_t x = xs.first; x < xs.last; x++, to += g.x.stride) *to = wrapping_add<T>(*to, from[x]);
      }
  }
}

template <class T>
void convolve(const ConvGeometry& g, const T* input, const T* weight, const T* bias, T* output) {
  if (g.batch * g.filters * g.out_pixels() == 0) return;
  if (g.channels == 0) return fill_bias(g.batch, g.filters, g.out_pixels(), bias, output);
  multiply_images<T, InputColumns<T>>(g, g.group_filters(), g.group_channels() * g.taps(), weight, input,
                                      g.group_channels(), g.in_pixels(), bias, output, g.out_pixels());
}

namespace {
// Products of all weights with all outputs first, then sums where windows meet: of a window with strides, most taps reach
// no given place of the input, which a gathered matrix would multiply by zeros.
constexpr int64_t most_products = int64_t(8) << 20;  // bytes
bool is_scattered(const ConvGeometry& g) {
  const bool spread =
      g.x.stride > 1 || g.y.stride > 1 || g.z.stride > 1 || g.out_pixels() < g.in_pixels() / 4;
  return spread && double(g.taps()) * double(g.out_pixels()) * sizeof(double) <= most_products;
}
template <class T>
void scatter_backward_input(const ConvGeometry& g, const T* grad, const T* weight, const T* bias, T* input) {
  const int64_t c = g.group_channels(), m = g.group_filters(), taps = g.taps(), pixels = g.out_pixels();
  const int64_t chunk =
      std::clamp<int64_t>(most_products / (taps * pixels * static_cast<int64_t>(sizeof(T)) + 1), 1, c);
  const auto group = [&](int64_t i) {  // of one image
    Scratch<T> products(chunk * taps * pixels);
    const int64_t first = i * c, own = i % g.groups;
    for (int64_t c0 = 0; c0 < c; c0 += chunk) {
      const int64_t count = std::min(chunk, c - c0);
      gemm<T>(count * taps, pixels, m, {weight + (own * m * c + c0) * taps, 1, c * taps},
              {grad + i * m * pixels, pixels, 1}, products.data(), pixels);
      parallel_for(0, count, 20000 / (taps * pixels + 1) + 1, [&](int64_t from, int64_t until) {
        for (int64_t k = from; k < until; k++) {
          T* plane = input + (first + c0 + k) * g.in_pixels();
          std::fill_n(plane, g.in_pixels(), bias ? bias[own * c + c0 + k] : T(0));
          add_windows(g, products.data() + k * taps * pixels, plane);
        }
      });
    }
  };
  const int64_t groups = g.batch * g.groups;
  if (groups < num_threads())
    for (int64_t i = 0; i < groups; i++) group(i);
  else
    parallel_for(0, groups, 50000 / (taps * pixels + 1) + 1, [&](int64_t from, int64_t until) {
      for (int64_t i = from; i < until; i++) group(i);
    });
}
}  // namespace

template <class T>
void convolve_backward_input(const ConvGeometry& g, const T* grad, const T* weight, const T* bias, T* input) {
  if (g.batch * g.channels * g.in_pixels() == 0) return;
  if (g.filters == 0 || g.out_pixels() == 0)
    return fill_bias(g.batch, g.channels, g.in_pixels(), bias, input);
  if (is_scattered(g)) return scatter_backward_input(g, grad, weight, bias, input);
  // Weights as [channel, filter, tap] for each group.
  int64_t c = g.group_channels(), m = g.group_filters(), taps = g.taps();
  Scratch<T> turned(g.groups * c * m * taps);
  for (int64_t group = 0; group < g.groups; group++)
    for (int64_t i = 0; i < c; i++)
      for (int64_t j = 0; j < m; j++)
        std::memcpy(turned.data() + ((group * c + i) * m + j) * taps,
                    weight + ((group * m + j) * c + i) * taps, static_cast<size_t>(taps) * sizeof(T));
  multiply_images<T, GradientColumns<T>>(g, c, m * taps, turned.data(), grad, m, g.out_pixels(), bias, input,
                                         g.in_pixels());
}

template <class T>
void convolve_backward_weight(const ConvGeometry& g, const T* grad, const T* input, T* weight) {
  int64_t rows = g.group_filters(), columns = g.group_channels() * g.taps(), pixels = g.out_pixels();
  int64_t count = g.groups * rows * columns;
  if (count == 0) return;
  if (g.batch == 0) {
    std::fill_n(weight, count, T(0));
    return;
  }
  // The batch is cut into parts by its size and the weights' alone, summed in order: the same bits for every number of
  // threads. The partial sums may take 32 MB.
  int64_t parts = std::clamp<int64_t>((int64_t(32) << 20) / (count * static_cast<int64_t>(sizeof(T)) + 1), 1,
                                      std::min<int64_t>(g.batch, 16));
  Scratch<T> sums((parts - 1) * count);
  parallel_for(0, parts * g.groups, 1, [&](int64_t first, int64_t last) {
    Scratch<T> left(rows * pixels), scratch(gemm_packed_scratch<T>(columns, pixels));
    for (int64_t task = first; task < last; task++) {
      int64_t part = task / g.groups, group = task % g.groups;
      int64_t from = part * g.batch / parts, until = (part + 1) * g.batch / parts;
      T* to = (part == 0 ? weight : sums.data() + (part - 1) * count) + group * rows * columns;
      for (int64_t image = from; image < until; image++) {
        pack_left<T>(rows, pixels, {grad + (image * g.filters + group * rows) * pixels, pixels, 1},
                     left.data());
        InputRows<T> right{g, input + (image * g.channels + group * g.group_channels()) * g.in_pixels()};
        gemm_packed<T>(rows, columns, pixels, left.data(), right, to, columns, {.accumulate = image > from},
                       scratch.data());
      }
    }
  });
  for (int64_t part = 1; part < parts; part++)
    for (int64_t i = 0; i < count; i++) weight[i] += sums[(part - 1) * count + i];
}

namespace {
// visit(place in input, place in weight, place in output) for every product of the convolution.
template <class F>
void each_product(const ConvGeometry& g, F visit) {
  const int64_t rows = g.group_filters(), depth = g.group_channels() * g.taps();
  for (int64_t image = 0; image < g.batch; image++)
    for (int64_t filter = 0; filter < g.filters; filter++) {
      const int64_t to = (image * g.filters + filter) * g.out_pixels(), group = filter / rows;
      for (int64_t pixel = 0; pixel < g.out_pixels(); pixel++) {
        const int64_t ox = pixel % g.x.out, oy = pixel / g.x.out % g.y.out, oz = pixel / (g.x.out * g.y.out);
        Tap tap(0, g);
        for (int64_t k = 0; k < depth; k++, tap.advance(g)) {
          const int64_t z = input_place(g.z, oz, tap.z), y = input_place(g.y, oy, tap.y),
                        x = input_place(g.x, ox, tap.x);
          if (!inside(z, g.z) || !inside(y, g.y) || !inside(x, g.x)) continue;
          const int64_t channel = image * g.channels + group * g.group_channels() + tap.channel;
          visit(((channel * g.z.in + z) * g.y.in + y) * g.x.in + x, filter * depth + k, to + pixel);
        }
      }
    }
}
}  // namespace

// Integers wrap around as everywhere; they are rare enough for a plain loop.
template <>
void convolve(const ConvGeometry& g, const int64_t* input, const int64_t* weight, const int64_t* bias,
              int64_t* output) {
  fill_bias(g.batch, g.filters, g.out_pixels(), bias, output);
  each_product(g, [&](int64_t i, int64_t w, int64_t o) {
    output[o] = static_cast<int64_t>(static_cast<uint64_t>(output[o]) +
                                     static_cast<uint64_t>(input[i]) * static_cast<uint64_t>(weight[w]));
  });
}
template <>
void convolve_backward_input(const ConvGeometry& g, const int64_t* grad, const int64_t* weight,
                             const int64_t* bias, int64_t* input) {
  fill_bias(g.batch, g.channels, g.in_pixels(), bias, input);
  each_product(g, [&](int64_t i, int64_t w, int64_t o) {
    input[i] = static_cast<int64_t>(static_cast<uint64_t>(input[i]) +
                                    static_cast<uint64_t>(grad[o]) * static_cast<uint64_t>(weight[w]));
  });
}

#define MOKA_INSTANTIATE(T)                                                                     \
  template void convolve(const ConvGeometry&, const T*, const T*, const T*, T*);                \
  template void convolve_backward_input(const ConvGeometry&, const T*, const T*, const T*, T*); \
  template void convolve_backward_weight(const ConvGeometry&, const T*, const T*, T*);          \
  template void add_windows(const ConvGeometry&, const T*, T*);
MOKA_INSTANTIATE(float)
MOKA_INSTANTIATE(double)
template void add_windows(const ConvGeometry&, const int64_t*, int64_t*);
#undef MOKA_INSTANTIATE

}  // namespace moka
