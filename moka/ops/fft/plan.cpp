// Transforms of one line: Stockham's passes, each a small transform over one factor of the length.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/fft/plan.h"

#include <cmath>
#include <cstring>
#include <list>
#include <mutex>

#include "moka/base/error.h"
#include "moka/ops/fft/passes.h"

namespace moka::fft {

namespace {
constexpr size_t kept_plans = 32;

// exp(-2 pi i k / n), in long double so that it is as exact as the type.
template <class T>
std::complex<T> root(int64_t k, int64_t n) {
  k %= n;
  const long double turn = 6.283185307179586476925286766559L;
  long double x = turn * static_cast<long double>(k) / static_cast<long double>(n);
  return {static_cast<T>(std::cos(x)), static_cast<T>(-std::sin(x))};
}

template <class T>
Pair<T> product(Pair<T> a, Pair<T> b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
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
  for (int64_t k = 0; k < n_; k++) padded[k] = product(x[k], chirp[k]);
  for (int64_t k = n_; k < length; k++) padded[k] = {0, 0};
  inner_->run(scratch, scratch + length);
  // The inverse transform is the transform of the conjugate, conjugated.
  for (int64_t k = 0; k < length; k++) {
    const Pair<T> z = product(padded[k], spectrum[k]);
    padded[k] = {z.re, -z.im};
  }
  inner_->run(scratch, scratch + length);
  for (int64_t k = 0; k < n_; k++) x[k] = product(Pair<T>{padded[k].re, -padded[k].im}, chirp[k]);
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
