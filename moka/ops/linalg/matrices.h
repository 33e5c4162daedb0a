// Stacks of matrices as LAPACK wants them: each by columns, one after another in memory.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>

#include "moka/base/function_ref.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/linalg/lapack.h"
#include "moka/tensor/tensor.h"

namespace moka {

// A copy of stacked matrices, by columns. Memory beyond the copied part is not set.
class Columns {
 public:
  Columns() = default;
  // rows x columns each, copied from the last two dimensions of t.
  explicit Columns(const Tensor& t);
  // Uninitialised, with the batch sizes of `like`.
  Columns(std::span<const int64_t> batch, int64_t rows, int64_t columns, DType dtype);

  const Tensor& tensor() const { return tensor_; }  // [batch..., rows, columns], strided
  int rows() const { return rows_; }
  int columns() const { return columns_; }
  int leading() const { return rows_ > 1 ? rows_ : 1; }
  int64_t count() const { return count_; }
  template <class T>
  T* at(int64_t i) const {
    return tensor_.data<T>() + i * int64_t(rows_) * columns_;
  }

 private:
  Tensor tensor_;
  int rows_ = 0, columns_ = 0;
  int64_t count_ = 0;
};

// The sizes before the last `drop` dimensions, and a shape made of them and more.
std::span<const int64_t> batch_of(const Tensor& t, int drop = 2);
Dims joined(std::span<const int64_t> batch, std::initializer_list<int64_t> more);
int64_t count_of(std::span<const int64_t> sizes);

// Argument i: floating or complex, at least two dimensions; of the second, square too. Errors name the operator.
const Tensor& matrix_argument(const Frame& f, int i);
const Tensor& square_argument(const Frame& f, int i);
DType real_dtype(DType dtype);     // complex64 -> float32
DType complex_dtype(DType dtype);  // float32 -> complex64

// Runs f(i) for every matrix of a stack; `work` is a rough count of operations for one. One matrix alone may use the
// library's threads, a stack is shared out over ours.
void for_matrices(int64_t count, double work, FunctionRef<void(int64_t)> f);

// Calls f with a value of the C++ type of a dtype of linear algebra.
template <class F>
void with_type(DType d, F f) {
  switch (d) {
    case DType::F32: return f(float());
    case DType::F64: return f(double());
    case DType::C64: return f(std::complex<float>());
    case DType::C128: return f(std::complex<double>());
    default: MOKA_ASSERT(!"a type of linear algebra");
  }
}

// LAPACK ends the process or never ends where it meets inf or NaN in some routines: it must not see them.
template <class T>
bool all_finite(const T* p, int64_t n) {
  return std::all_of(p, p + n,
                     [](T v) { return std::isfinite(std::real(v)) && std::isfinite(std::imag(v)); });
}
template <class T>
void check_finite(std::string_view op, const T* p, int64_t n) {
  MOKA_CHECK(all_finite(p, n), op,
             ": The algorithm failed to converge because the input matrix contained non-finite values");
}

// An error unless all entries of info (int32) are zero: `what` says what a positive one means for matrix k.
// The text around the code.
struct Reason {
  const char *before, *after;
};
constexpr Reason not_positive{"The factorization could not be completed: the leading minor of order ",
                              " is not positive-definite"};
constexpr Reason singular_inverse{"The diagonal element ",
                                  " is zero, the inversion could not be completed: the matrix is singular"};
constexpr Reason singular_solver{"The solver failed because the input matrix is singular: diagonal element ",
                                 " of its factor U is zero"};
constexpr Reason singular_factor{"diagonal element ", " of U is zero: the matrix is singular"};
constexpr Reason singular_diagonal{"diagonal element ", " of D is zero: the matrix is singular"};
void check_info(std::string_view op, const Tensor& info, Reason reason);

}  // namespace moka
