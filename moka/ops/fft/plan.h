// The discrete Fourier transform of one line: X[k] = sum over j of x[j] exp(-2 pi i j k / n).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <complex>
#include <cstdint>
#include <memory>
#include <vector>

namespace moka::fft {

template <class T>
class Plan {
 public:
  explicit Plan(int64_t n);
  int64_t size() const { return n_; }
  int64_t scratch_size() const;
  // In place; scratch holds scratch_size() numbers.
  void run(std::complex<T>* line, std::complex<T>* scratch) const;

 private:
  void run_factors(std::complex<T>* line, std::complex<T>* scratch) const;
  void run_chirp(std::complex<T>* line, std::complex<T>* scratch) const;

  int64_t n_;
  std::vector<int> factors_;
  std::vector<std::complex<T>> roots_;  // exp(-2 pi i k / n)
  // Lengths with large prime factors are convolutions with a chirp (Bluestein, 1970), of the length of `inner`.
  std::unique_ptr<Plan> inner_;
  std::vector<std::complex<T>> chirp_, chirp_spectrum_;
};

// The plan for n; the most recent ones are kept.
template <class T>
std::shared_ptr<const Plan<T>> plan_for(int64_t n);

}  // namespace moka::fft
