// Group and root-mean-square normalization.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "moka/base/parallel.h"
#include "moka/ops/kernels/by_isa.h"
#include "moka/ops/kernels/scratch.h"
#include "moka/ops/normalization/kernels.h"

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
void each_group(const ChannelShape& s, int64_t groups, F f) {
  const int64_t n = s.channels / groups * s.pixels;
  parallel_for(0, s.batch * groups, 32768 / (n + 1) + 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) f(i);
  });
}
}  // namespace

template <class T>
void group_normalize(const ChannelShape& s, int64_t groups, const T* x, const T* weight, const T* bias,
                     double eps, T* y) {
  const int64_t each = s.channels / groups, n = each * s.pixels;
  auto sum = MOKA_BY_ISA(Run<T>::sum);
  auto squares = MOKA_BY_ISA(Run<T>::squares);
  auto affine = MOKA_BY_ISA(Run<T>::affine);
  each_group(s, groups, [&](int64_t i) {
    const T* in = x + i * n;
    const double mean = sum(in, n) / double(n),
                 scale = 1 / std::sqrt(squares(in, n, T(mean)) / double(n) + eps);
    if (!weight && !bias) return affine(in, n, T(scale), T(-mean * scale), y + i * n);
    for (int64_t c = 0; c < each; c++) {
      const int64_t channel = i % groups * each + c;
      const double a = weight ? scale * double(weight[channel]) : scale;
      affine(in + c * s.pixels, s.pixels, T(a), T((bias ? double(bias[channel]) : 0) - mean * a),
             y + i * n + c * s.pixels);
    }
  });
}

template <class T>
void group_normalize_backward(const ChannelShape& s, int64_t groups, const T* dy, const T* x, const T* weight,
                              double eps, T* dx, T* dweight, T* dbias) {
  const int64_t each = s.channels / groups, n = each * s.pixels;
  auto sum = MOKA_BY_ISA(Run<T>::sum);
  auto squares = MOKA_BY_ISA(Run<T>::squares);
  auto products = MOKA_BY_ISA(Run<T>::products);
  auto combine = MOKA_BY_ISA(Run<T>::combine);
  // By image and channel, added in order below.
  Scratch<double> sums(s.batch * s.channels), dots(s.batch * s.channels);
  each_group(s, groups, [&](int64_t i) {
    const T *in = x + i * n, *grad = dy + i * n;
    const double mean = sum(in, n) / double(n),
                 scale = 1 / std::sqrt(squares(in, n, T(mean)) / double(n) + eps);
    double total = 0, dot = 0;
    for (int64_t c = 0; c < each; c++) {
      double own[2] = {0, 0};
      products(grad + c * s.pixels, in + c * s.pixels, s.pixels, T(mean), own);
      sums[i * each + c] = own[0];
      dots[i * each + c] = own[1] * scale;
      const double w = weight ? double(weight[i % groups * each + c]) : 1;
      total += w * own[0];
      dot += w * own[1];
    }
    const double b = -scale * scale * scale * dot / double(n), shift = -scale * total / double(n) - b * mean;
    for (int64_t c = 0; c < each; c++) {
      const double w = weight ? double(weight[i % groups * each + c]) : 1;
      combine(grad + c * s.pixels, in + c * s.pixels, s.pixels, T(scale * w), T(b), T(shift),
              dx + i * n + c * s.pixels);
    }
  });
  for (int64_t c = 0; c < s.channels; c++) {
    double w = 0, b = 0;
    for (int64_t image = 0; image < s.batch; image++) {
      w += dots[image * s.channels + c];
      b += sums[image * s.channels + c];
    }
    dweight[c] = T(w);
    dbias[c] = T(b);
  }
}

template <class T>
void rms_normalize(int64_t rows, int64_t n, const T* x, const T* weight, double eps, T* y) {
  auto squares = MOKA_BY_ISA(Run<T>::squares);
  auto scaled = MOKA_BY_ISA(Run<T>::scaled);
  parallel_for(0, rows, 16384 / (n + 1) + 1, [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; r++) {
      const T* in = x + r * n;
      const T scale = T(1 / std::sqrt(squares(in, n, T(0)) / double(n) + eps));
      scaled(in, n, scale, weight, y + r * n);
    }
  });
}

template <class T>
void rms_normalize_backward(int64_t rows, int64_t n, const T* dy, const T* x, const T* weight, double eps,
                            T* dx, T* dweight) {
  auto squares = MOKA_BY_ISA(Run<T>::squares);
  auto products = MOKA_BY_ISA(Run<T>::products);
  auto combine = MOKA_BY_ISA(Run<T>::combine);
  auto weighted = MOKA_BY_ISA(Run<T>::weighted);
  // Rows are cut by their number alone; the partial gradients of weight are added in order.
  const int64_t parts = std::clamp<int64_t>(rows / 32, 1, 16);
  Scratch<T> partial(parts * n);
  std::fill_n(partial.data(), parts * n, T(0));
  parallel_for(0, parts, 16384 / (n * (rows / parts) + 1) + 1, [&](int64_t first, int64_t last) {
    Scratch<T> g(n);
    for (int64_t part = first; part < last; part++)
      for (int64_t r = part * rows / parts; r < (part + 1) * rows / parts; r++) {
        const T *in = x + r * n, *grad = dy + r * n;
        const double scale = 1 / std::sqrt(squares(in, n, T(0)) / double(n) + eps);
        weighted(grad, in, n, T(scale), weight, partial.data() + part * n, g.data());
        double sums[2] = {0, 0};
        products(g.data(), in, n, T(0), sums);
        combine(g.data(), in, n, T(scale), T(-scale * scale * scale * sums[1] / double(n)), T(0), dx + r * n);
      }
  });
  std::copy_n(partial.data(), n, dweight);
  for (int64_t part = 1; part < parts; part++)
    for (int64_t i = 0; i < n; i++) dweight[i] += partial[part * n + i];
}

#define MOKA_INSTANTIATE(T)                                                                                  \
  template void group_normalize(const ChannelShape&, int64_t, const T*, const T*, const T*, double, T*);     \
  template void group_normalize_backward(const ChannelShape&, int64_t, const T*, const T*, const T*, double, \
                                         T*, T*, T*);                                                        \
  template void rms_normalize(int64_t, int64_t, const T*, const T*, double, T*);                             \
  template void rms_normalize_backward(int64_t, int64_t, const T*, const T*, const T*, double, T*, T*);
MOKA_INSTANTIATE(float)
MOKA_INSTANTIATE(double)
#undef MOKA_INSTANTIATE

}  // namespace moka
