// Stacks of matrices by columns, and checks that all operators of linear algebra share.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/linalg/matrices.h"

#include "moka/base/parallel.h"
#include "moka/tensor/meta.h"

namespace moka {

std::span<const int64_t> batch_of(const Tensor& t, int drop) {
  return t.sizes().first(static_cast<size_t>(t.dim() - drop));
}
Dims joined(std::span<const int64_t> batch, std::initializer_list<int64_t> more) {
  Dims sizes(batch);
  for (int64_t n : more) sizes.push_back(n);
  return sizes;
}
int64_t count_of(std::span<const int64_t> sizes) {
  int64_t n = 1;
  for (int64_t s : sizes) n *= s;
  return n;
}

Columns::Columns(std::span<const int64_t> batch, int64_t rows, int64_t columns, DType dtype)
    : count_(count_of(batch)) {
  MOKA_CHECK(rows <= INT32_MAX && columns <= INT32_MAX, "linear algebra: matrices have at most ", INT32_MAX,
             " rows and columns, got ", rows, " and ", columns);
  rows_ = static_cast<int>(rows), columns_ = static_cast<int>(columns);
  Dims sizes = joined(batch, {columns, rows});
  Tensor base = new_tensor(sizes, dtype);
  Dims strides(base.strides());
  std::swap(sizes[sizes.size() - 1], sizes[sizes.size() - 2]);
  std::swap(strides[sizes.size() - 1], strides[sizes.size() - 2]);
  tensor_ = strided_view(base, sizes, strides, 0);
}
Columns::Columns(const Tensor& t) : Columns(batch_of(t), t.size(-2), t.size(-1), t.dtype()) {
  if (t.numel()) copy_elements(t, tensor_);
}

const Tensor& matrix_argument(const Frame& f, int i) {
  const Tensor& t = tensor_argument(f, i);
  DType d = t.dtype();
  MOKA_CHECK(d != DType::F16 && d != DType::BF16, f.name(),
             ": Low precision dtypes not supported: ", argument_name(f, i), " is ", d,
             "; convert it with .float()");
  MOKA_CHECK(d == DType::F32 || d == DType::F64 || d == DType::C64 || d == DType::C128, f.name(),
             ": Expected a floating point or complex tensor as ", argument_name(f, i), ", got ", d,
             "; convert it with .float()");
  MOKA_CHECK(t.dim() >= 2, f.name(), ": ", argument_name(f, i),
             " must have at least 2 dimensions, got shape ", t.sizes());
  return t;
}
const Tensor& square_argument(const Frame& f, int i) {
  const Tensor& t = matrix_argument(f, i);
  MOKA_CHECK(t.size(-1) == t.size(-2), f.name(), ": ", argument_name(f, i),
             " must be batches of square matrices, got shape ", t.sizes());
  return t;
}

DType real_dtype(DType d) { return d == DType::C64 ? DType::F32 : d == DType::C128 ? DType::F64 : d; }
DType complex_dtype(DType d) { return d == DType::F32 ? DType::C64 : d == DType::F64 ? DType::C128 : d; }

void for_matrices(int64_t count, double work, FunctionRef<void(int64_t)> f) {
  if (count == 1 || work > 3e7) {
    lapack::Threads threads(work > 2e6);
    for (int64_t i = 0; i < count; i++) f(i);
    return;
  }
  parallel_for(0, count, static_cast<int64_t>(3e5 / (work + 1000)) + 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) f(i);
  });
}

void check_info(std::string_view op, const Tensor& info, Reason reason) {
  if (!info.has_storage() || is_meta(info)) return;
  for (int64_t i = 0; i < info.numel(); i++) {
    int64_t code = element_as_int(info, i);
    if (code == 0) continue;
    fail_kind(ErrorKind::Runtime, op, ": ", info.dim() ? cat("(Batch element ", i, "): ") : std::string(),
              reason.before, code, reason.after);
  }
}

}  // namespace moka
