// Moka's own matrix multiplication for float and double: packed panels, a register-blocked kernel for each instruction
// set. Every element is one chain of multiply-adds whose order depends on k alone, so results do not depend on the
// number of threads. (Blocking after Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008.)
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "moka/base/function_ref.h"
#include "moka/ops/kernels/scratch.h"
#include "moka/schema/op.h"

namespace moka {

// Element (i, j) lies at data[i * row + j * column]; any strides, so that transposing is free.
template <class T>
struct MatrixView {
  const T* data;
  int64_t row, column;
  MatrixView transposed() const { return {data, column, row}; }
  MatrixView from(int64_t i, int64_t j) const { return {data + i * row + j * column, row, column}; }
};

// What is added to the product: row[i] to every element of row i, or column[j] to every element of column j, or what c
// held before. Packed right operands also take matrix[i * step + j], which may be c itself, beside the column, and a
// formula's kernel that goes over the result at last.
template <class T>
struct GemmStart {
  const T* row = nullptr;
  const T* column = nullptr;
  bool accumulate = false;
  const T* matrix = nullptr;
  int64_t step = 0;
  FormulaKernel after = nullptr;
  bool begins() const { return row || column || matrix || accumulate; }
  GemmStart from(int64_t i, int64_t j) const {
    return {row ? row + i : nullptr,
            column ? column + j : nullptr,
            accumulate,
            matrix ? matrix + i * step + j : nullptr,
            step,
            after};
  }
  // The same for one of several depth blocks.
  GemmStart part(bool first, bool last) const {
    GemmStart p = first ? *this : GemmStart{.accumulate = true};
    p.after = last ? after : nullptr;
    return p;
  }
};

// c[m, n], rows ldc apart, = a[m, k] b[k, n] + start. Uses all threads.
template <class T>
void gemm(int64_t m, int64_t n, int64_t k, const MatrixView<T>& a, const MatrixView<T>& b, T* c, int64_t ldc,
          const GemmStart<T>& start = {});

// A right operand packed once for several products (the weights of a recurrent network).
template <class T>
class PackedRight {
 public:
  PackedRight(int64_t k, int64_t n, const MatrixView<T>& b);
  // c[m, n] = a[m, k] b + start. Uses all threads.
  void multiply(int64_t m, const MatrixView<T>& a, T* c, int64_t ldc, const GemmStart<T>& start = {}) const;

 private:
  int64_t k_, n_;
  Scratch<T> panels_;
};

// A right operand in panels of `block` columns, a multiple of 32: element (i, j) lies at
// data[(j / block * depth + i) * block + j % block]; rows from k to `depth` and columns behind the last are zero.
template <class T>
struct Panelled {
  T* data;
  int64_t depth, block;
};
template <class T>
void pack_panels(int64_t k, int64_t n, const MatrixView<T>& b, Panelled<T> to);
// c[m, n] = a[m, k] b + start. Uses all threads.
void gemm_panels(int64_t m, int64_t n, int64_t k, const MatrixView<float>& a, Panelled<float> b, float* c,
                 int64_t ldc, const GemmStart<float>& start = {});
// The same in the calling thread, with rows of a read where they lie, a_row apart. Whole panels are written: c must have
// room for n made a multiple of b.block.
template <class T>
void gemm_direct(int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row, Panelled<T> b, T* c, int64_t ldc,
                 bool accumulate);

// ---- for convolutions, which pack their own panels

// The left operand, packed whole: m * k elements.
template <class T>
void pack_left(int64_t m, int64_t k, const MatrixView<T>& a, T* to);

// Writes rows [k0, k0 + k) of columns [n0, n0 + n) of the right operand: to[i * width + j], zeros for n <= j < width.
template <class T>
using PackColumns = FunctionRef<void(int64_t k0, int64_t k, int64_t n0, int64_t n, T* to, int64_t width)>;

// Elements of scratch memory that gemm_packed needs.
template <class T>
int64_t gemm_packed_scratch(int64_t n, int64_t k);

// The same product in the calling thread, left operand packed before.
template <class T>
void gemm_packed(int64_t m, int64_t n, int64_t k, const T* left, PackColumns<T> right, T* c, int64_t ldc,
                 const GemmStart<T>& start, T* scratch);

extern template void gemm<float>(int64_t, int64_t, int64_t, const MatrixView<float>&,
                                 const MatrixView<float>&, float*, int64_t, const GemmStart<float>&);
extern template void gemm<double>(int64_t, int64_t, int64_t, const MatrixView<double>&,
                                  const MatrixView<double>&, double*, int64_t, const GemmStart<double>&);

}  // namespace moka
