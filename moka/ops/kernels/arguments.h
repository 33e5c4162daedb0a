// Reading and checking arguments in shape functions; every error names operator, argument, what was expected and what
// came.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/frame.h"

namespace moka {

std::string_view argument_name(const Frame& f, int i);

// Argument i as a tensor; an error where it is something else.
const Tensor& tensor_argument(const Frame& f, int i);
// The same with floating elements: float16, bfloat16, float32 or float64.
const Tensor& floating_argument(const Frame& f, int i);
// An optional tensor that must have the dtype of argument `like` when given.
const Tensor& optional_argument(const Frame& f, int i, int like);
void check_same_dtype(const Frame& f, int i, int j);
void check_shape(const Frame& f, int i, std::span<const int64_t> sizes);

// A list of integers; one integer is a list of one, None an empty list.
Dims ints_argument(const Frame& f, int i);

// int[2]: two integers or one for both, each at least `lowest`.
struct Pair {
  int64_t h, w;
};
Pair pair_argument(const Frame& f, int i, int64_t lowest);

// A dimension of a tensor, wrapped; for rank 0 the dimensions 0 and -1 are the one element.
int dim_argument(const Frame& f, int i, int ndim);

// "mean", "sum" or "none".
enum class LossReduction { Mean, Sum, None };
LossReduction loss_reduction_argument(const Frame& f, int i);

// The type in which kernels compute: float32 for 16-bit floats, float64, int64 for integers and bool.
DType kernel_dtype(DType dtype);
// f with a null pointer of that type: float, double or int64_t.
template <class F>
void by_kernel_dtype(DType dtype, F f) {
  switch (kernel_dtype(dtype)) {
    case DType::F64: return f(static_cast<double*>(nullptr));
    case DType::I64: return f(static_cast<int64_t*>(nullptr));
    case DType::F32: return f(static_cast<float*>(nullptr));
    default: fail_kind(ErrorKind::NotImplemented, "not defined for ", dtype);
  }
}
// t in that type: itself, or a converted contiguous copy.
Tensor in_kernel_dtype(const Tensor& t);
// Where a kernel writes output i: the output itself, or a tensor of the kernel type that finish() converts into it.
class KernelOutput {
 public:
  KernelOutput(Frame& f, int i);
  const Tensor& tensor() const { return work_; }
  template <class T>
  T* data() const {
    return work_.data<T>();
  }
  void finish();

 private:
  Tensor out_, work_;
};

}  // namespace moka
