// Batch and layer normalization.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/normalization/kernels.h"

#include <algorithm>
#include <cmath>

#include "moka/base/parallel.h"
#include "moka/ops/kernels/by_isa.h"
#include "moka/ops/kernels/scratch.h"

namespace moka {
namespace {
constexpr int64_t most_run = 4096;  // values that one vector sum runs over
}
}  // namespace moka

#define MOKA_TARGET_PAGE "moka/ops/normalization/kernels_target.h"
#include "moka/ops/kernels/each_target.h"

namespace moka {

namespace {
template <class F>
void each_channel(const ChannelShape& s, F f) {
  parallel_for(0, s.channels, 32768 / (s.batch * s.pixels + 1) + 1, [&](int64_t first, int64_t last) {
    for (int64_t c = first; c < last; c++) f(c);
  });
}

// What turns the statistics into one multiply-add.
template <class T>
struct Affine {
  Scratch<T> scale, shift;
  Affine(int64_t channels, const T* weight, const T* bias, const T* mean, const T* invstd)
      : scale(channels), shift(channels) {
    for (int64_t c = 0; c < channels; c++) {
      scale[c] = weight ? weight[c] * invstd[c] : invstd[c];
      shift[c] = (bias ? bias[c] : T(0)) - mean[c] * scale[c];
    }
  }
};
}  // namespace

template <class T>
void channel_affine(const ChannelShape& s, const T* x, const T* scale, const T* shift, T* y) {
  if (s.pixels == 1) {
    parallel_for(0, s.batch, 32768 / (s.channels + 1) + 1, [&](int64_t first, int64_t last) {
      MOKA_BY_ISA(Table<T>::affine)(last - first, s.channels, x + first * s.channels, scale, shift,
                                    y + first * s.channels);
    });
    return;
  }
  auto run = MOKA_BY_ISA(Run<T>::affine);
  parallel_for(0, s.batch * s.channels, 32768 / (s.pixels + 1) + 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++)
      run(x + i * s.pixels, s.pixels, scale[i % s.channels], shift[i % s.channels], y + i * s.pixels);
  });
}

template <class T>
void channel_normalize(const ChannelShape& s, const T* x, const T* weight, const T* bias, double eps, T* mean,
                       T* variance, T* invstd, T* y) {
  double n = double(s.batch) * double(s.pixels);
  if (s.pixels == 1) {
    MOKA_BY_ISA(Table<T>::sum)(s.batch, s.channels, x, mean);
    for (int64_t c = 0; c < s.channels; c++) mean[c] = static_cast<T>(mean[c] / n);
    MOKA_BY_ISA(Table<T>::squares)(s.batch, s.channels, x, mean, variance);
    for (int64_t c = 0; c < s.channels; c++) {
      variance[c] = static_cast<T>(variance[c] / n);
      invstd[c] = static_cast<T>(1 / std::sqrt(double(variance[c]) + eps));
    }
    Affine<T> a(s.channels, weight, bias, mean, invstd);
    return channel_affine<T>(s, x, a.scale.data(), a.shift.data(), y);
  }
  auto sum = MOKA_BY_ISA(Run<T>::sum);
  auto squares = MOKA_BY_ISA(Run<T>::squares);
  auto affine = MOKA_BY_ISA(Run<T>::affine);
  int64_t step = s.channels * s.pixels;
  each_channel(s, [&](int64_t c) {
    const T* in = x + c * s.pixels;
    double total = 0;
    for (int64_t b = 0; b < s.batch; b++) total += sum(in + b * step, s.pixels);
    mean[c] = static_cast<T>(total / n);
    total = 0;
    for (int64_t b = 0; b < s.batch; b++) total += squares(in + b * step, s.pixels, mean[c]);
    variance[c] = static_cast<T>(total / n);
    invstd[c] = static_cast<T>(1 / std::sqrt(total / n + eps));
    T scale = weight ? weight[c] * invstd[c] : invstd[c], shift = (bias ? bias[c] : T(0)) - mean[c] * scale;
    for (int64_t b = 0; b < s.batch; b++)
      affine(in + b * step, s.pixels, scale, shift, y + c * s.pixels + b * step);
  });
}

template <class T>
void channel_normalize_backward(const ChannelShape& s, bool training, const T* dy, const T* x,
                                const T* weight, const T* mean, const T* invstd, T* dx, T* dweight,
                                T* dbias) {
  double n = double(s.batch) * double(s.pixels);
  // dx = scale * (dy - mean(dy) - (x - mean) * invstd^2 * mean(dy * (x - mean))), without the last two for constants.
  struct Factors {
    T a, b, c;
  };
  auto factors = [&](int64_t c, double sum, double dot) {
    dbias[c] = static_cast<T>(sum);
    dweight[c] = static_cast<T>(dot * invstd[c]);
    T scale = weight ? weight[c] * invstd[c] : invstd[c];
    if (!training) return Factors{scale, T(0), T(0)};
    double b = -double(scale) * invstd[c] * invstd[c] * dot / n;
    return Factors{scale, static_cast<T>(b), static_cast<T>(-double(scale) * sum / n - b * mean[c])};
  };
  if (s.pixels == 1) {
    Scratch<T> sums(s.channels), dots(s.channels), a(s.channels), b(s.channels), d(s.channels);
    MOKA_BY_ISA(Table<T>::products)(s.batch, s.channels, dy, x, mean, sums.data(), dots.data());
    for (int64_t c = 0; c < s.channels; c++) {
      Factors f = factors(c, sums[c], dots[c]);
      a[c] = f.a, b[c] = f.b, d[c] = f.c;
    }
    MOKA_BY_ISA(Table<T>::combine)(s.batch, s.channels, dy, x, a.data(), b.data(), d.data(), dx);
    return;
  }
  auto products = MOKA_BY_ISA(Run<T>::products);
  auto combine = MOKA_BY_ISA(Run<T>::combine);
  int64_t step = s.channels * s.pixels;
  each_channel(s, [&](int64_t c) {
    double sums[2] = {0, 0};
    for (int64_t i = 0; i < s.batch; i++)
      products(dy + c * s.pixels + i * step, x + c * s.pixels + i * step, s.pixels, mean[c], sums);
    Factors f = factors(c, sums[0], sums[1]);
    for (int64_t i = 0; i < s.batch; i++) {
      int64_t at = c * s.pixels + i * step;
      combine(dy + at, x + at, s.pixels, f.a, f.b, f.c, dx + at);
    }
  });
}

template <class T>
void layer_normalize(int64_t rows, int64_t n, const T* x, const T* weight, const T* bias, double eps, T* y) {
  auto run = MOKA_BY_ISA(Layer<T>::forward);
  parallel_for(0, rows, 16384 / (n + 1) + 1,
               [&](int64_t first, int64_t last) { run(first, last, n, x, weight, bias, eps, y); });
}

template <class T>
void layer_normalize_backward(int64_t rows, int64_t n, const T* dy, const T* x, const T* weight, double eps,
                              T* dx, T* dweight, T* dbias) {
  auto run = MOKA_BY_ISA(Layer<T>::backward);
  // Rows are cut by their number alone; the partial gradients of weight and bias are added in order.
  int64_t parts = std::clamp<int64_t>(rows / 32, 1, 16);
  Scratch<T> partial(parts * 2 * n);
  std::fill_n(partial.data(), parts * 2 * n, T(0));
  parallel_for(0, parts, 16384 / (n * (rows / parts) + 1) + 1, [&](int64_t first, int64_t last) {
    for (int64_t p = first; p < last; p++)
      run(p * rows / parts, (p + 1) * rows / parts, n, dy, x, weight, eps, dx, partial.data() + 2 * p * n,
          partial.data() + (2 * p + 1) * n);
  });
  std::copy_n(partial.data(), n, dweight);
  std::copy_n(partial.data() + n, n, dbias);
  for (int64_t p = 1; p < parts; p++)
    for (int64_t i = 0; i < n; i++) {
      dweight[i] += partial[2 * p * n + i];
      dbias[i] += partial[(2 * p + 1) * n + i];
    }
}

#define MOKA_INSTANTIATE(T)                                                                              \
  template void channel_affine(const ChannelShape&, const T*, const T*, const T*, T*);                   \
  template void channel_normalize(const ChannelShape&, const T*, const T*, const T*, double, T*, T*, T*, \
                                  T*);                                                                   \
  template void channel_normalize_backward(const ChannelShape&, bool, const T*, const T*, const T*,      \
                                           const T*, const T*, T*, T*, T*);                              \
  template void layer_normalize(int64_t, int64_t, const T*, const T*, const T*, double, T*);             \
  template void layer_normalize_backward(int64_t, int64_t, const T*, const T*, const T*, double, T*, T*, T*);
MOKA_INSTANTIATE(float)
MOKA_INSTANTIATE(double)
#undef MOKA_INSTANTIATE

}  // namespace moka
