// The loops of Fourier transforms: passes over one factor, and two real lines as one complex line.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace moka::fft {

// Two real numbers with the arithmetic that the loops need; std::complex's product checks for NaN.
template <class T>
struct Pair {
  T re, im;
};

inline constexpr int largest_radix = 31;

// One pass over factor r of a transform of length n = r m whose elements lie s apart:
// y[q + s (r p + k)] = W_n^(p k) sum over j of x[q + s (p + m j)] W_r^(j k).
// roots: exp(-2 pi i k / length), length = n s.
template <class T>
void pass(int r, int64_t n, int64_t s, const Pair<T>* x, Pair<T>* y, const Pair<T>* roots, int64_t length);

// line = a + i b; b may be null.
template <class T>
void join_lines(int64_t n, const T* a, const T* b, Pair<T>* line);
// The first n / 2 + 1 numbers of the spectra of a and b out of that of a + i b, times scale; their conjugates where not
// `forward`. to_b may be null.
template <class T>
void split_spectra(int64_t n, const Pair<T>* line, T scale, bool forward, Pair<T>* to_a, Pair<T>* to_b);

}  // namespace moka::fft
