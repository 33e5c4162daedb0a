// The loops of reductions over contiguous memory, vectorized and shared out over threads. Results do not depend on the
// number of threads: memory is cut into parts by its size alone.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace moka {

enum class Reduce { Sum, Product, Maximum, Minimum, Any, All };

// in [outer, count, inner] -> out [outer, inner]; T is float, double or int64_t, for Any and All uint8_t with 0 and 1.
// NaN wins in Maximum and Minimum. count 0 gives the neutral element.
template <class T>
void reduce(Reduce what, int64_t outer, int64_t count, int64_t inner, const T* in, T* out);

// Sum of (x - mean[row])^2 over each row of [rows, n].
template <class T>
void squared_deviations(int64_t rows, int64_t n, const T* in, const T* mean, T* out);

// Sum of x^2 of n elements, whatever the number of threads.
template <class T>
void sum_of_squares(int64_t n, const T* in, T* out);

// Sums of |a - b|, or of (a - b)^2, from the row a to each of [rows, n].
template <class T>
void row_differences(bool squared, int64_t rows, int64_t n, const T* a, const T* b, T* out);

// Places of the maximum (or minimum) along `count`, the first of equal ones; NaN counts as the largest (smallest).
template <class T>
void find_extremum(bool maximum, int64_t outer, int64_t count, int64_t inner, const T* in, int64_t* places);

}  // namespace moka
