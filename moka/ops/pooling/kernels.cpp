// Pooling loops.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/pooling/kernels.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "moka/base/parallel.h"
#include "moka/ops/kernels/by_isa.h"

#define MOKA_TARGET_ISA 0
#include "moka/ops/pooling/kernels_target.h"
#if defined(__x86_64__)
#define MOKA_TARGET_ISA 1
#include "moka/ops/pooling/kernels_target.h"
#define MOKA_TARGET_ISA 2
#include "moka/ops/pooling/kernels_target.h"
#endif

namespace moka {

namespace {
template <class F>
void each_plane(const PoolGeometry& g, F f) {
  int64_t work = g.out_pixels() * g.y.kernel * g.x.kernel + g.in_pixels();
  parallel_for(0, g.planes, 32768 / (work + 1) + 1, [&](int64_t first, int64_t last) {
    for (int64_t p = first; p < last; p++) f(p);
  });
}

bool is_pairs(const PoolGeometry& g) {
  auto pairs = [](const Axis& a) {
    return a.kernel == 2 && a.stride == 2 && a.padding == 0 && a.dilation == 1 && 2 * a.out <= a.in;
  };
  return pairs(g.y) && pairs(g.x);
}

// visit(output pixel, input pixel of the maximum or -1)
template <class T, class F>
void each_maximum(const PoolGeometry& g, const T* in, F visit) {
  for (int64_t oy = 0; oy < g.y.out; oy++) {
    int64_t y0 = oy * g.y.stride - g.y.padding;
    Range ry = valid_range(g.y.kernel, g.y.dilation, y0, g.y.in);
    for (int64_t ox = 0; ox < g.x.out; ox++) {
      int64_t x0 = ox * g.x.stride - g.x.padding, place = -1;
      Range rx = valid_range(g.x.kernel, g.x.dilation, x0, g.x.in);
      T best = 0;
      for (int64_t i = ry.first; i < ry.last; i++) {
        int64_t row = (y0 + i * g.y.dilation) * g.x.in + x0;
        for (int64_t j = rx.first; j < rx.last; j++) {
          T v = in[row + j * g.x.dilation];
          if (place < 0 || v > best || v != v) {
            best = v;
            place = row + j * g.x.dilation;
          }
        }
      }
      visit(oy * g.x.out + ox, place);
    }
  }
}
}  // namespace

template <class T>
void max_pool(const PoolGeometry& g, const T* in, T* out, int64_t* indices) {
  if (!indices && is_pairs(g)) {
    auto row = MOKA_BY_ISA(Pairs<T>::forward);
    each_plane(g, [&](int64_t p) {
      const T* from = in + p * g.in_pixels();
      for (int64_t y = 0; y < g.y.out; y++)
        row(from + 2 * y * g.x.in, from + (2 * y + 1) * g.x.in, out + p * g.out_pixels() + y * g.x.out,
            g.x.out);
    });
    return;
  }
  each_plane(g, [&](int64_t p) {
    const T* from = in + p * g.in_pixels();
    each_maximum(g, from, [&](int64_t o, int64_t place) {
      out[p * g.out_pixels() + o] = place < 0 ? -std::numeric_limits<T>::infinity() : from[place];
      if (indices) indices[p * g.out_pixels() + o] = std::max<int64_t>(place, 0);
    });
  });
}

template <class T>
void max_pool_backward(const PoolGeometry& g, const T* grad, const T* in, T* out) {
  if (is_pairs(g)) {
    auto row = MOKA_BY_ISA(Pairs<T>::backward);
    each_plane(g, [&](int64_t p) {
      const T* from = in + p * g.in_pixels();
      T* to = out + p * g.in_pixels();
      for (int64_t y = 0; y < g.y.out; y++) {
        int64_t top = 2 * y * g.x.in, bottom = top + g.x.in;
        row(from + top, from + bottom, grad + p * g.out_pixels() + y * g.x.out, to + top, to + bottom,
            g.x.out);
        for (int64_t x = 2 * g.x.out; x < g.x.in; x++) to[top + x] = to[bottom + x] = T(0);
      }
      std::fill(to + 2 * g.y.out * g.x.in, to + g.in_pixels(), T(0));
    });
    return;
  }
  each_plane(g, [&](int64_t p) {
    T* to = out + p * g.in_pixels();
    std::fill_n(to, g.in_pixels(), T(0));
    each_maximum(g, in + p * g.in_pixels(), [&](int64_t o, int64_t place) {
      if (place >= 0) to[place] += grad[p * g.out_pixels() + o];
    });
  });
}

template <class T>
void max_pool_select(const PoolGeometry& g, const T* values, const T* in, T* out) {
  each_plane(g, [&](int64_t p) {
    each_maximum(g, in + p * g.in_pixels(), [&](int64_t o, int64_t place) {
      out[p * g.out_pixels() + o] = place < 0 ? T(0) : values[p * g.in_pixels() + place];
    });
  });
}

namespace {
// visit(output pixel, y range, x range of the input, 1 / divisor)
template <class T, class F>
void each_window(const PoolGeometry& g, Divisor divisor, F visit) {
  for (int64_t oy = 0; oy < g.y.out; oy++) {
    int64_t y0 = oy * g.y.stride - g.y.padding, y1 = std::min(y0 + g.y.kernel, g.y.in + g.y.padding);
    Range ry{std::max<int64_t>(y0, 0), std::min(y1, g.y.in)};
    for (int64_t ox = 0; ox < g.x.out; ox++) {
      int64_t x0 = ox * g.x.stride - g.x.padding, x1 = std::min(x0 + g.x.kernel, g.x.in + g.x.padding);
      Range rx{std::max<int64_t>(x0, 0), std::min(x1, g.x.in)};
      int64_t inside = std::max<int64_t>(ry.last - ry.first, 0) * std::max<int64_t>(rx.last - rx.first, 0);
      int64_t count = divisor.fixed ? divisor.fixed : divisor.count_padding ? (y1 - y0) * (x1 - x0) : inside;
      visit(oy * g.x.out + ox, ry, rx, inside == 0 ? T(0) : T(1) / static_cast<T>(count));
    }
  }
}
template <class T, class F>
void each_adaptive_window(const PoolGeometry& g, F visit) {
  auto range = [](const Axis& a, int64_t i) {
    auto at = [&](int64_t k) { return k / a.out * a.in + k % a.out * a.in / a.out; };  // floor(k * in / out)
    int64_t end = (i + 1) / a.out * a.in + ((i + 1) % a.out * a.in + a.out - 1) / a.out;
    return Range{at(i), end};
  };
  for (int64_t oy = 0; oy < g.y.out; oy++) {
    Range ry = range(g.y, oy);
    for (int64_t ox = 0; ox < g.x.out; ox++) {
      Range rx = range(g.x, ox);
      visit(oy * g.x.out + ox, ry, rx, T(1) / static_cast<T>((ry.last - ry.first) * (rx.last - rx.first)));
    }
  }
}
template <class T>
auto sum_window(const PoolGeometry& g, const T* from, T* to) {
  return [&g, from, to](int64_t o, Range ry, Range rx, T scale) {
    T sum = 0;
    for (int64_t y = ry.first; y < ry.last; y++)
      for (int64_t x = rx.first; x < rx.last; x++) sum += from[y * g.x.in + x];
    to[o] = sum * scale;
  };
}
template <class T>
auto spread_window(const PoolGeometry& g, const T* grad, T* to) {
  return [&g, grad, to](int64_t o, Range ry, Range rx, T scale) {
    T share = grad[o] * scale;
    for (int64_t y = ry.first; y < ry.last; y++)
      for (int64_t x = rx.first; x < rx.last; x++) to[y * g.x.in + x] += share;
  };
}
}  // namespace

template <class T>
void avg_pool(const PoolGeometry& g, Divisor divisor, const T* in, T* out) {
  each_plane(g, [&](int64_t p) {
    each_window<T>(g, divisor, sum_window(g, in + p * g.in_pixels(), out + p * g.out_pixels()));
  });
}
template <class T>
void avg_pool_backward(const PoolGeometry& g, Divisor divisor, const T* grad, T* in) {
  each_plane(g, [&](int64_t p) {
    std::fill_n(in + p * g.in_pixels(), g.in_pixels(), T(0));
    each_window<T>(g, divisor, spread_window(g, grad + p * g.out_pixels(), in + p * g.in_pixels()));
  });
}
template <class T>
void adaptive_avg_pool(const PoolGeometry& g, const T* in, T* out) {
  each_plane(g, [&](int64_t p) {
    each_adaptive_window<T>(g, sum_window(g, in + p * g.in_pixels(), out + p * g.out_pixels()));
  });
}
template <class T>
void adaptive_avg_pool_backward(const PoolGeometry& g, const T* grad, T* in) {
  each_plane(g, [&](int64_t p) {
    std::fill_n(in + p * g.in_pixels(), g.in_pixels(), T(0));
    each_adaptive_window<T>(g, spread_window(g, grad + p * g.out_pixels(), in + p * g.in_pixels()));
  });
}

#define MOKA_INSTANTIATE(T)                                                     \
  template void max_pool(const PoolGeometry&, const T*, T*, int64_t*);          \
  template void max_pool_backward(const PoolGeometry&, const T*, const T*, T*); \
  template void max_pool_select(const PoolGeometry&, const T*, const T*, T*);   \
  template void avg_pool(const PoolGeometry&, Divisor, const T*, T*);           \
  template void avg_pool_backward(const PoolGeometry&, Divisor, const T*, T*);  \
  template void adaptive_avg_pool(const PoolGeometry&, const T*, T*);           \
  template void adaptive_avg_pool_backward(const PoolGeometry&, const T*, T*);
MOKA_INSTANTIATE(float)
MOKA_INSTANTIATE(double)
#undef MOKA_INSTANTIATE

}  // namespace moka
