// Lines of a contiguous tensor along one dimension, for operators that go through each line in order.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/base/parallel.h"
#include "moka/ops/kernels/scratch.h"
#include "moka/ops/reduction/scans.h"
#include "moka/ops/reduction/support.h"

namespace moka {

// [outer, count, inner] of a contiguous tensor with `count` along `dim`; a scalar is one element.
inline Stage lines_along(std::span<const int64_t> sizes, int dim) {
  Stage s;
  for (size_t d = 0; d < sizes.size(); d++) {
    if (d == static_cast<size_t>(dim)) s.count = sizes[d];
    else (d < static_cast<size_t>(dim) ? s.outer : s.inner) *= sizes[d];
  }
  return s;
}
// visit(offset of the line's first element); elements are `inner` apart.
template <class F>
void each_line(const Stage& s, F visit) {
  parallel_for(0, s.outer * s.inner, 16384 / (s.count + 1) + 1, [&](int64_t first, int64_t last) {
    for (int64_t l = first; l < last; l++) visit(l / s.inner * s.count * s.inner + l % s.inner);
  });
}
// A floating, integer or bool tensor; an error else.
inline const Tensor& ordered_argument(const Frame& f, int i) {
  const Tensor& x = tensor_argument(f, i);
  MOKA_CHECK(is_floating(x.dtype()) || is_integral(x.dtype()) || x.dtype() == DType::Bool, f.name(),
             ": takes floating, integer and bool tensors, got ", x.dtype());
  return x;
}
// run(T{}) with the kernel type of a tensor: double, float or int64_t.
template <class F>
void with_kernel_type(const Tensor& t, F run) {
  if (t.dtype() == DType::F64) run(double());
  else if (t.dtype() == DType::F32) run(float());
  else run(int64_t());
}

}  // namespace moka
