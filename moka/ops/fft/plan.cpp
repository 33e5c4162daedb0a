// Transforms of one line: Stockham's passes, each a small transform over one factor of the length.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/fft/plan.h"

#include <cmath>
#include <cstring>
#include <list>
#include <mutex>

#include "moka/base/error.h"

namespace moka::fft {

namespace {
constexpr int largest_radix = 31;
constexpr size_t kept_plans = 32;

// exp(-2 pi i k / n), in long double so that it is as exact as the type.
template <class T>
std::complex<T> root(int64_t k, int64_t n) {
  k %= n;
  const long double turn = 6.283185307179586476925286766559L;
  long double x = turn * static_cast<long double>(k) / static_cast<long double>(n);
  return {static_cast<T>(std::cos(x)), static_cast<T>(-std::sin(x))};
}

// Two real numbers with the arithmetic that the loops need; std::complex's product checks for NaN.
template <class T>
struct Pair {
  T re, im;
  friend Pair operator+(Pair a, Pair b) { return {a.re + b.re, a.im + b.im}; }
  friend Pair operator-(Pair a, Pair b) { return {a.re - b.re, a.im - b.im}; }
  friend Pair operator*(Pair a, Pair b) { return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }
  friend Pair operator*(Pair a, T s) { return {a.re * s, a.im * s}; }
};
template <class T>
Pair<T> turned(Pair<T> a) {  // a / i
  return {a.im, -a.re};
}

// One pass over factor r of a transform of length n = r m whose elements lie s apart:
// y[q + s (r p + k)] = W_n^(p k) sum over j of x[q + s (p + m j)] W_r^(j k).
template <class T>
void pass(int r, int64_t n, int64_t s, const Pair<T>* x, Pair<T>* y, const Pair<T>* roots, int64_t length) {
  const int64_t m = n / r, step = s * m;
  using P = Pair<T>;
  if (r == 2) {
    for (int64_t p = 0; p < m; p++) {
      P w = roots[p * s];
      const P* a = x + s * p;
      P* out = y + s * 2 * p;
      for (int64_t q = 0; q < s; q++) {
        P u = a[q], v = a[q + step];
        out[q] = u + v;
        out[q + s] = (u - v) * w;
      }
    }
  } else if (r == 4) {
    for (int64_t p = 0; p < m; p++) {
      P w1 = roots[p * s], w2 = roots[2 * p * s], w3 = roots[3 * p * s];
      const P* a = x + s * p;
      P* out = y + s * 4 * p;
      for (int64_t q = 0; q < s; q++) {
        P a0 = a[q], a1 = a[q + step], a2 = a[q + 2 * step], a3 = a[q + 3 * step];
        P s02 = a0 + a2, d02 = a0 - a2, s13 = a1 + a3, d13 = turned(a1 - a3);
        out[q] = s02 + s13;
        out[q + s] = (d02 + d13) * w1;
        out[q + 2 * s] = (s02 - s13) * w2;
        out[q + 3 * s] = (d02 - d13) * w3;
      }
    }
  } else if (r == 3) {
    const T sine = T(0.86602540378443864676372317075294L);
    for (int64_t p = 0; p < m; p++) {
      P w1 = roots[p * s], w2 = roots[2 * p * s];
      const P* a = x + s * p;
      P* out = y + s * 3 * p;
      for (int64_t q = 0; q < s; q++) {
        P a0 = a[q], sum = a[q + step] + a[q + 2 * step],
          difference = turned(a[q + step] - a[q + 2 * step]) * sine;
        P middle = a0 - sum * T(0.5);
        out[q] = a0 + sum;
        out[q + s] = (middle + difference) * w1;
        out[q + 2 * s] = (middle - difference) * w2;
      }
    }
  } else {
    P in[largest_radix], w[largest_radix];
    for (int k = 0; k < r; k++) w[k] = roots[k * (length / r)];
    for (int64_t p = 0; p < m; p++) {
      const P* a = x + s * p;
      P* out = y + s * r * p;
      for (int64_t q = 0; q < s; q++) {
        for (int j = 0; j < r; j++) in[j] = a[q + j * step];
        // Pairs j, r - j share their products: the roots are conjugates.
        P total = in[0];
        for (int j = 1; j < r; j++) total = total + in[j];
        out[q] = total;
        for (int k = 1; 2 * k < r; k++) {
          P even = in[0], odd{0, 0};
          for (int j = 1; 2 * j < r; j++) {
            P c = w[k * j % r];
            even = even + (in[j] + in[r - j]) * c.re;
            P d = in[j] - in[r - j];
            odd = odd + P{-d.im * c.im, d.re * c.im};
          }
          out[q + k * s] = (even + odd) * roots[p * k * s];
          out[q + (r - k) * s] = (even - odd) * roots[p * (r - k) * s];
        }
      }
    }
  }
}
}  // namespace

template <class T>
Plan<T>::Plan(int64_t n) : n_(n) {
  MOKA_ASSERT(n >= 1);
  int64_t rest = n;
  while (rest % 4 == 0) factors_.push_back(4), rest /= 4;
  for (int r = 2; r <= largest_radix; r++)
    while (rest % r == 0) factors_.push_back(r), rest /= r;
  if (rest == 1) {
    roots_.resize(static_cast<size_t>(n));
    for (int64_t k = 0; k < n; k++) roots_[static_cast<size_t>(k)] = root<T>(k, n);
    return;
  }
  factors_.clear();
  int64_t length = 1;
  while (length < 2 * n - 1) length *= 2;
  inner_ = std::make_unique<Plan>(length);
  chirp_.resize(static_cast<size_t>(n));
  chirp_spectrum_.assign(static_cast<size_t>(length), {});
  for (int64_t k = 0; k < n; k++) {  // exp(-pi i k^2 / n); k^2 modulo 2n keeps the angle small
    auto square = static_cast<int64_t>(static_cast<unsigned __int128>(k) * static_cast<unsigned __int128>(k) %
                                       static_cast<unsigned __int128>(2 * n));
    std::complex<T> c = root<T>(square, 2 * n);
    chirp_[static_cast<size_t>(k)] = c;
    chirp_spectrum_[static_cast<size_t>(k)] = std::conj(c);
    if (k) chirp_spectrum_[static_cast<size_t>(length - k)] = std::conj(c);
  }
  std::vector<std::complex<T>> scratch(static_cast<size_t>(inner_->scratch_size()));
  inner_->run(chirp_spectrum_.data(), scratch.data());
  for (auto& c : chirp_spectrum_) c = c / static_cast<T>(length);
}

template <class T>
int64_t Plan<T>::scratch_size() const {
  return inner_ ? inner_->size() + inner_->scratch_size() : n_;
}

template <class T>
void Plan<T>::run(std::complex<T>* line, std::complex<T>* scratch) const {
  if (n_ == 1) return;
  if (inner_) run_chirp(line, scratch);
  else run_factors(line, scratch);
}

template <class T>
void Plan<T>::run_factors(std::complex<T>* line, std::complex<T>* scratch) const {
  auto* x = reinterpret_cast<Pair<T>*>(line);
  auto* y = reinterpret_cast<Pair<T>*>(scratch);
  const auto* roots = reinterpret_cast<const Pair<T>*>(roots_.data());
  int64_t n = n_, s = 1;
  for (int r : factors_) {
    pass<T>(r, n, s, x, y, roots, n_);
    std::swap(x, y);
    n /= r;
    s *= r;
  }
  if (x != reinterpret_cast<Pair<T>*>(line))
    std::memcpy(static_cast<void*>(line), x, static_cast<size_t>(n_) * sizeof *x);
}

template <class T>
void Plan<T>::run_chirp(std::complex<T>* line, std::complex<T>* scratch) const {
  auto* x = reinterpret_cast<Pair<T>*>(line);
  auto* padded = reinterpret_cast<Pair<T>*>(scratch);
  const auto* chirp = reinterpret_cast<const Pair<T>*>(chirp_.data());
  const auto* spectrum = reinterpret_cast<const Pair<T>*>(chirp_spectrum_.data());
  int64_t length = inner_->size();
  for (int64_t k = 0; k < n_; k++) padded[k] = x[k] * chirp[k];
  for (int64_t k = n_; k < length; k++) padded[k] = {0, 0};
  inner_->run(scratch, scratch + length);
  // The inverse transform is the transform of the conjugate, conjugated.
  for (int64_t k = 0; k < length; k++) {
    Pair<T> product = padded[k] * spectrum[k];
    padded[k] = {product.re, -product.im};
  }
  inner_->run(scratch, scratch + length);
  for (int64_t k = 0; k < n_; k++) x[k] = Pair<T>{padded[k].re, -padded[k].im} * chirp[k];
}

template <class T>
std::shared_ptr<const Plan<T>> plan_for(int64_t n) {
  static std::mutex mutex;
  static std::list<std::shared_ptr<const Plan<T>>> plans;  // the most recently used first
  std::lock_guard lock(mutex);
  for (auto at = plans.begin(); at != plans.end(); ++at)
    if ((*at)->size() == n) {
      plans.splice(plans.begin(), plans, at);
      return plans.front();
    }
  plans.push_front(std::make_shared<const Plan<T>>(n));
  if (plans.size() > kept_plans) plans.pop_back();
  return plans.front();
}

template class Plan<float>;
template class Plan<double>;
template std::shared_ptr<const Plan<float>> plan_for<float>(int64_t);
template std::shared_ptr<const Plan<double>> plan_for<double>(int64_t);

}  // namespace moka::fft
