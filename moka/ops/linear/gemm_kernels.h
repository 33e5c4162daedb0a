// The innermost kernels of gemm: one block of c in registers, and matrix times vector.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/linear/gemm.h"

namespace moka {

// c[rows, vectors * lanes] = a b, added to what c holds when `accumulate`; a is packed as [k][rows] and b as
// [k][vectors * lanes], rows b_step apart.
template <class T>
using GemmKernel = void (*)(int64_t k, const T* a, const T* b, int64_t b_step, T* c, int64_t ldc,
                            bool accumulate);

// The same with a where it lies, its rows a_row apart, each row of c beginning with `column` if there is one. Of the memory from `ahead` on, k / fetch_steps * fetch_lines cache
// lines are fetched meanwhile.
inline constexpr int fetch_steps = 4, fetch_lines = 2;
template <class T>
using DirectKernel = void (*)(int64_t k, const T* a, int64_t a_row, const T* b, int64_t b_step, T* c,
                              int64_t ldc, bool accumulate, const T* column, const T* ahead);

inline constexpr int most_rows = 12, most_width = 32;
template <class T>
struct GemmKernels {
  int rows;   // of the largest block
  int lanes;  // of one vector; the largest block has two across
  GemmKernel<T> kernel[most_rows + 1][3];  // [rows][vectors]
  DirectKernel<T> direct[most_rows + 1];  // [rows], of two vectors
  // c[8 * lanes] = one row of a, elements a_step apart, times four panels of two vectors, rows b_step apart, + start if
  // there is one.
  void (*row_panels)(int64_t k, const T* a, int64_t a_step, const T* const* b, int64_t b_step, const T* start,
                     T* c);
  // to[i * width + j] = element (i, j) of a matrix [k, n], zeros for n <= j < width: of one whose rows lie together, and
  // of one whose columns do; `step` apart.
  void (*pack_along)(int64_t k, int64_t n, const T* from, int64_t step, T* to, int64_t width);
  void (*pack_across)(int64_t k, int64_t n, const T* from, int64_t step, T* to, int64_t width);
  // Rows [first, last) of a matrix times a vector, with the rows (with step 1 of x) or the columns of a together.
  void (*row_dots)(int64_t first, int64_t last, int64_t k, const MatrixView<T>& a, const T* x, T* y,
                   int64_t y_step, const GemmStart<T>& start);
  void (*column_sums)(int64_t first, int64_t last, int64_t k, const MatrixView<T>& a, const T* x,
                      int64_t x_step, T* y, int64_t y_step, const GemmStart<T>& start);
};
template <class T>
const GemmKernels<T>& gemm_kernels();

// y[i * y_step] = sum over j of a(i, j) x[j * x_step] + start for i in [0, n); start.column is not used.
template <class T>
void matrix_times_vector(int64_t n, int64_t k, const MatrixView<T>& a, const T* x, int64_t x_step, T* y,
                         int64_t y_step, const GemmStart<T>& start);

}  // namespace moka
