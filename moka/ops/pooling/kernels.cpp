// Pooling loops.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/pooling/kernels.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "moka/base/parallel.h"
#include "moka/ops/kernels/by_isa.h"
#include "moka/ops/kernels/settled.h"
#include "moka/ops/kernels/wrapping.h"
#include "moka/ops/reduction/kernels.h"

#define MOKA_TARGET_PAGE "moka/ops/pooling/kernels_target.h"
#include "moka/ops/kernels/each_target.h"

namespace moka {

namespace {
template <class F>
void each_plane(const PoolGeometry& g, F f) {
  // Windows may be as large as numbers go.
  const double work = double(g.out_pixels()) * double(g.taps()) + double(g.in_pixels());
  parallel_for(0, g.planes, static_cast<int64_t>(32768 / (work + 1)) + 1, [&](int64_t first, int64_t last) {
    for (int64_t p = first; p < last; p++) f(p);
  });
}

bool is_pairs(const PoolGeometry& g) {
  auto pairs = [](const Axis& a) {
    return a.kernel == 2 && a.stride == 2 && a.padding == 0 && a.dilation == 1 && 2 * a.out <= a.in;
  };
  return g.rank == 2 && pairs(g.y) && pairs(g.x);
}

// visit(output pixel, input pixel of the maximum or -1)
template <class T, class F>
void each_maximum(const PoolGeometry& g, const Reaches& r, const T* in, F visit) {
  int64_t o = 0;
  for (const Reach& rz : r.axis[0])
    for (const Reach& ry : r.axis[1])
      for (const Reach& rx : r.axis[2]) {
        int64_t place = -1;
        T best = 0;
        for (int64_t z = rz.first; z < rz.last; z += rz.step)
          for (int64_t y = ry.first; y < ry.last; y += ry.step) {
            const int64_t row = (z * g.y.in + y) * g.x.in;
            for (int64_t x = rx.first; x < rx.last; x += rx.step) {
              T v = in[row + x];
              if (place < 0 || v > best || v != v) {
                best = v;
                place = row + x;
              }
            }
          }
        visit(o++, place);
      }
}
template <class T>
constexpr T lowest() {
  return std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                              : std::numeric_limits<T>::lowest();
}
}  // namespace

Reaches sliding_reaches(const PoolGeometry& g) {
  Reaches r;
  if (!g.planes || !g.out_pixels()) return r;
  for (int k = 0; k < 3; k++) {
    const Axis& a = g.axis(k);
    for (int64_t o = 0; o < a.out; o++) {
      const int64_t start = o * a.stride - a.padding, end = start + (a.kernel - 1) * a.dilation + 1;
      Range valid = valid_range(a.kernel, a.dilation, start, a.in);
      r.axis[k].push_back({start + valid.first * a.dilation, std::min(end, a.in), a.dilation,
                           std::min(end, a.in + a.padding) - start});
    }
  }
  return r;
}

Reaches sharing_reaches(const PoolGeometry& g) {
  Reaches r;
  if (!g.planes || !g.out_pixels()) return r;
  for (int k = 0; k < 3; k++) {
    const Axis& a = g.axis(k);
    for (int64_t o = 0; o < a.out; o++) {
      const int64_t first = o / a.out * a.in + o % a.out * a.in / a.out;  // floor(o * in / out)
      const int64_t last = (o + 1) / a.out * a.in + ((o + 1) % a.out * a.in + a.out - 1) / a.out;
      r.axis[k].push_back({first, last, 1, last - first});
    }
  }
  return r;
}

template <class T>
Reaches fractional_reaches(const PoolGeometry& g, const T* samples) {
  Reaches r;
  for (int k = 0; k < 3; k++) {
    const Axis& a = g.axis(k);
    // Of an image the first number belongs to the width, of a volume to the depth, as in PyTorch.
    const T u = k < g.first() ? T(0) : samples[g.rank == 2 ? 2 - k : k - g.first()];
    const T step = a.out > 1 ? static_cast<T>(a.in - a.kernel) / static_cast<T>(a.out - 1) : T(0);
    for (int64_t o = 0; o < a.out; o++) {
      const int64_t first = o + 1 < a.out ? static_cast<int64_t>((static_cast<T>(o) + u) * step) -
                                                static_cast<int64_t>(u * step)
                                          : a.in - a.kernel;
      r.axis[k].push_back({first, first + a.kernel, 1, a.kernel});
    }
  }
  return r;
}

template <class T>
void max_pool_plane(const PoolGeometry& g, const Reaches& r, const T* in, T* out, int64_t* indices) {
  each_maximum(g, r, in, [&](int64_t o, int64_t place) {
    out[o] = place < 0 ? lowest<T>() : in[place];
    if (indices) indices[o] = std::max<int64_t>(place, 0);
  });
}

template <class T>
void max_pool(const PoolGeometry& g, const Reaches& r, const T* in, T* out, int64_t* indices) {
  if constexpr (std::is_floating_point_v<T>)
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
    max_pool_plane(g, r, in + p * g.in_pixels(), out + p * g.out_pixels(),
                   indices ? indices + p * g.out_pixels() : nullptr);
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
  Reaches r = sliding_reaches(g);
  each_plane(g, [&](int64_t p) {
    T* to = out + p * g.in_pixels();
    std::fill_n(to, g.in_pixels(), T(0));
    each_maximum(g, r, in + p * g.in_pixels(), [&](int64_t o, int64_t place) {
      if (place >= 0) to[place] += grad[p * g.out_pixels() + o];
    });
  });
}

template <class T>
void max_pool_select(const PoolGeometry& g, const T* values, const T* in, T* out) {
  Reaches r = sliding_reaches(g);
  each_plane(g, [&](int64_t p) {
    each_maximum(g, r, in + p * g.in_pixels(), [&](int64_t o, int64_t place) {
      out[p * g.out_pixels() + o] = place < 0 ? T(0) : values[p * g.in_pixels() + place];
    });
  });
}

namespace {
// visit(output pixel, reaches, how many places it is divided by; 0 for windows that lie outside)
template <class F>
void each_mean(const Reaches& r, Divisor divisor, F visit) {
  int64_t o = 0;
  for (const Reach& rz : r.axis[0])
    for (const Reach& ry : r.axis[1])
      for (const Reach& rx : r.axis[2]) {
        auto length = [](const Reach& a) { return std::max<int64_t>(a.last - a.first, 0); };
        const int64_t inside = length(rz) * length(ry) * length(rx);
        visit(o++, rz, ry, rx,
              inside == 0             ? 0
              : divisor.fixed         ? divisor.fixed
              : divisor.count_padding ? rz.count * ry.count * rx.count
                                      : inside);
      }
}
}  // namespace

template <class T>
void avg_pool(const PoolGeometry& g, const Reaches& r, Divisor divisor, const T* in, T* out) {
  auto whole = [&](int k) {
    return r.axis[k].size() == 1 && r.axis[k][0].first == 0 && r.axis[k][0].last == g.axis(k).in;
  };
  if (whole(0) && whole(1) && whole(2) && g.in_pixels() > 0) {  // the mean of a plane
    reduce(Reduce::Sum, g.planes, g.in_pixels(), 1, in, out);
    each_mean(r, divisor, [&](int64_t, const Reach&, const Reach&, const Reach&, int64_t count) {
      for (int64_t p = 0; p < g.planes; p++)
        out[p] = count == 0 ? T(0) : wrapping_divide(out[p], static_cast<T>(count));
    });
    return;
  }
  each_plane(g, [&](int64_t p) {
    const T* from = in + p * g.in_pixels();
    T* to = out + p * g.out_pixels();
    each_mean(r, divisor, [&](int64_t o, const Reach& rz, const Reach& ry, const Reach& rx, int64_t count) {
      T sum = 0;
      for (int64_t z = rz.first; z < rz.last; z++)
        for (int64_t y = ry.first; y < ry.last; y++) {
          const T* row = from + (z * g.y.in + y) * g.x.in;
          for (int64_t x = rx.first; x < rx.last; x++) sum = wrapping_add<T>(sum, row[x]);
        }
      to[o] = count == 0 ? T(0) : wrapping_divide(sum, static_cast<T>(count));
    });
  });
}
template <class T>
void avg_pool_backward(const PoolGeometry& g, const Reaches& r, Divisor divisor, const T* grad, T* in) {
  each_plane(g, [&](int64_t p) {
    T* to = in + p * g.in_pixels();
    const T* from = grad + p * g.out_pixels();
    std::fill_n(to, g.in_pixels(), T(0));
    each_mean(r, divisor, [&](int64_t o, const Reach& rz, const Reach& ry, const Reach& rx, int64_t count) {
      if (count == 0) return;
      const T share = wrapping_divide(from[o], static_cast<T>(count));
      for (int64_t z = rz.first; z < rz.last; z++)
        for (int64_t y = ry.first; y < ry.last; y++) {
          T* row = to + (z * g.y.in + y) * g.x.in;
          for (int64_t x = rx.first; x < rx.last; x++) row[x] = wrapping_add<T>(row[x], share);
        }
    });
  });
}

#define MOKA_INSTANTIATE(T)                                                                  \
  template void max_pool(const PoolGeometry&, const Reaches&, const T*, T*, int64_t*);       \
  template void max_pool_plane(const PoolGeometry&, const Reaches&, const T*, T*, int64_t*); \
  template void avg_pool(const PoolGeometry&, const Reaches&, Divisor, const T*, T*);        \
  template void avg_pool_backward(const PoolGeometry&, const Reaches&, Divisor, const T*, T*);
MOKA_INSTANTIATE(float)
MOKA_INSTANTIATE(double)
MOKA_INSTANTIATE(int64_t)
#undef MOKA_INSTANTIATE
#define MOKA_INSTANTIATE(T)                                                     \
  template Reaches fractional_reaches(const PoolGeometry&, const T*);           \
  template void max_pool_backward(const PoolGeometry&, const T*, const T*, T*); \
  template void max_pool_select(const PoolGeometry&, const T*, const T*, T*);
MOKA_INSTANTIATE(float)
MOKA_INSTANTIATE(double)
#undef MOKA_INSTANTIATE

}  // namespace moka
