// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/random/mersenne.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "moka/ops/complex/complex.h"
#include "moka/ops/define.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/tensor/half.h"

namespace moka {

namespace {
constexpr double two_pi = 6.283185307179586;

// A view of `t` whose dimensions lie as those of `like` do in memory.
Tensor ordered_like(const Tensor& t, const Tensor& like) {
  if (like.is_contiguous()) return t;
  std::vector<int64_t> order(static_cast<size_t>(t.dim()));
  std::iota(order.begin(), order.end(), 0);
  auto stride = [&](int64_t d) { return like.strides()[static_cast<size_t>(d)]; };
  auto size = [&](int64_t d) { return like.size(static_cast<int>(d)); };
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return size(a) != 1 && size(b) != 1 && stride(a) > stride(b);
  });
  return EagerReading::call(ops::permute_op, t, std::span<const int64_t>(order));
}
// Calls fill(p, n) with memory for all elements of `out`, of type T in `type`.
template <class T, class F>
void fill_as(const Tensor& out, const Tensor& like, DType type, F fill) {
  Tensor place = ordered_like(out, like);
  Tensor t = place.dtype() == type && place.is_contiguous() ? place : new_tensor(place.sizes(), type);
  fill(t.data<T>(), t.numel());
  if (!(t == place)) copy_elements(t, place);
}
template <class F>
void fill_reals(const Tensor& out, const Tensor& like, F fill) {
  MOKA_CHECK_KIND(NotImplemented, is_floating(out.dtype()), "random: defined for floating types, got ",
                  out.dtype());
  if (out.dtype() == DType::F64) fill_as<double>(out, like, DType::F64, fill);
  else fill_as<float>(out, like, DType::F32, fill);
}
void draw(Mersenne& m, float& x) { x = m.short_uniform(); }
void draw(Mersenne& m, double& x) { x = m.uniform(); }

// Box and Muller: eight pairs, whose uniform numbers stand eight apart. Rounded once at the end, as PyTorch's are.
template <class T>
void make_normal(T* p, T mean, T deviation) {
  for (int j = 0; j < 8; j++) {
    T radius = std::sqrt(T(-2) * std::log(T(1) - p[j])), angle = T(two_pi) * p[j + 8];
    p[j] = std::fma(radius * std::cos(angle), deviation, mean);
    p[j + 8] = std::fma(radius * std::sin(angle), deviation, mean);
  }
}
template <class Half>
void keep_rounded_below(float to, float low, float* p, int64_t n) {
  const float end = static_cast<float>(Half(to));
  for (int64_t i = 0; i < n; i++)
    if (static_cast<float>(Half(p[i])) >= end) p[i] = low;
}
void keep_below(DType, double, double, double*, int64_t) {}
Tensor parts_of(const Tensor& z) { return EagerReading::call(ops::view_as_real_op, z); }
}  // namespace

Mersenne::Mersenne(uint64_t start) : seed(start) {
  state[0] = static_cast<uint32_t>(start);
  for (uint32_t i = 1; i < words_of_state; i++)
    state[i] = 1812433253u * (state[i - 1] ^ (state[i - 1] >> 30)) + i;
}

uint32_t Mersenne::word() {
  if (--left == 0) {
    constexpr int n = words_of_state, m = 397;
    for (int i = 0; i < n; i++) {
      uint32_t y = (state[i] & 0x80000000u) | (state[(i + 1) % n] & 0x7fffffffu);
      state[i] = state[(i + m) % n] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    left = n;
    next = 0;
  }
  uint32_t y = state[next++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

double Mersenne::normal() {
  if (kept) {
    double z = *kept;
    kept.reset();
    return z;
  }
  double angle = two_pi * uniform(), radius = std::sqrt(-2 * std::log1p(-uniform()));
  kept = radius * std::sin(angle);
  return radius * std::cos(angle);
}

void keep_below(DType dtype, double to, float low, float* p, int64_t n) {
  if (dtype == DType::F16) keep_rounded_below<Float16>(static_cast<float>(to), low, p, n);
  if (dtype == DType::BF16) keep_rounded_below<BFloat16>(static_cast<float>(to), low, p, n);
}

void fill_uniform(const Tensor& out, const Tensor& like, Mersenne& m, double from, double to) {
  if (is_complex(out.dtype())) return fill_uniform(parts_of(out), parts_of(like), m, from, to);
  fill_reals(out, like, [&]<class T>(T* p, int64_t n) {
    T low = static_cast<T>(from), width = static_cast<T>(to) - low;
    for (int64_t i = 0; i < n; i++) {
      draw(m, p[i]);
      p[i] = std::fma(p[i], width, low);
    }
    keep_below(out.dtype(), to, low, p, n);
  });
}

void fill_normal(const Tensor& out, const Tensor& like, Mersenne& m, double mean, double deviation) {
  if (is_complex(out.dtype())) {  // both parts share the variance; a real mean is that of the real parts
    fill_normal(parts_of(out), parts_of(like), m, 0, deviation * 0.70710678118654752);
    Tensor re = EagerReading::call(ops::real_op, out);
    if (mean != 0) copy_elements(add(re, mean), re);
    return;
  }
  bool blocks = out.numel() >= 16 && like.is_contiguous();
  bool half = out.dtype() == DType::F16 || out.dtype() == DType::BF16;
  fill_reals(out, like, [&]<class T>(T* p, int64_t n) {
    if (!blocks) {
      for (int64_t i = 0; i < n; i++) p[i] = static_cast<T>(m.normal() * deviation + mean);
      return;
    }
    int64_t drawn = half ? n - n % 16 : n;
    for (int64_t i = 0; i < drawn; i++) draw(m, p[i]);
    for (int64_t i = 0; i + 16 <= n; i += 16)
      make_normal(p + i, static_cast<T>(mean), static_cast<T>(deviation));
    if (n % 16 == 0) return;
    for (int64_t i = n - 16; i < n; i++) draw(m, p[i]);  // the last sixteen once more
    make_normal(p + n - 16, static_cast<T>(mean), static_cast<T>(deviation));
  });
}

void fill_integers(const Tensor& out, const Tensor& like, Mersenne& m, int64_t from, uint64_t range,
                   bool wide) {
  fill_as<int64_t>(out, like, DType::I64, [&](int64_t* p, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
      uint64_t bits = wide ? m.two_words() : m.word();
      p[i] = static_cast<int64_t>(static_cast<uint64_t>(from) + (range == 0 ? bits : bits % range));
    }
  });
}

void fill_bernoulli(const Tensor& out, const Tensor& like, Mersenne& m, double p) {
  fill_as<bool>(out, like, DType::Bool, [&](bool* y, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = m.uniform() < p;
  });
}

void fill_bernoulli(const Tensor& out, Mersenne& m, const Tensor& p) {
  bool wide = p.dtype() == DType::F64;
  Tensor spread = EagerReading::call(ops::expand_op, p, out.sizes());
  Tensor probabilities = to_dtype(spread, wide ? DType::F64 : DType::F32);
  Tensor drawn = new_tensor(out.sizes(), DType::Bool);
  bool* y = drawn.data<bool>();
  for (int64_t i = 0; i < drawn.numel(); i++)
    y[i] = wide ? m.uniform() < probabilities.data<double>()[i]
                : m.short_uniform() < probabilities.data<float>()[i];
  copy_elements(drawn, out);
}

void fill_with(const Tensor& out, const Tensor& like, FunctionRef<double()> draw) {
  fill_as<double>(out, like, DType::F64, [&](double* p, int64_t n) {
    for (int64_t i = 0; i < n; i++) p[i] = draw();
  });
}

void fill_permutation(std::span<int64_t> out, Mersenne& m) {
  std::iota(out.begin(), out.end(), 0);
  for (size_t i = 0; i + 1 < out.size(); i++) std::swap(out[i], out[i + m.word() % (out.size() - i)]);
}

}  // namespace moka
