// Adjoints, triangles and diagonals, made of differentiable operators.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/linalg/tensors.h"

#include "moka/ops/complex/complex.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/linalg/linalg.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/schema/forward_layer.h"

namespace moka::ops::matrix {

namespace {
// True where keep(row, column).
template <class F>
Tensor mask(int64_t rows, int64_t columns, F keep) {
  Tensor m = new_tensor(Dims{rows, columns}, DType::Bool);
  uint8_t* p = m.data<uint8_t>();
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < columns; c++) *p++ = keep(r, c);
  return m;
}
template <class F>
Tensor kept(const Tensor& a, F keep) {
  MOKA_CHECK(a.dim() >= 2, "expected a matrix or a stack of them, got shape ", a.sizes());
  return where(mask(a.size(-2), a.size(-1), keep), a, 0);
}
}  // namespace

Tensor mT(const Tensor& a) { return transpose(a, -2, -1); }
Tensor mH(const Tensor& a) { return conj(transpose(a, -2, -1)); }
Tensor tril(const Tensor& a, int64_t offset) {
  return kept(a, [=](int64_t r, int64_t c) { return c - r <= offset; });
}
Tensor triu(const Tensor& a, int64_t offset) {
  return kept(a, [=](int64_t r, int64_t c) { return c - r >= offset; });
}
Tensor identity(const Tensor& like, int64_t n, int64_t m) { return eye(n, m < 0 ? n : m, like.dtype()); }
Tensor diagonal_of(const Tensor& a) {
  int64_t n = std::min(a.size(-1), a.size(-2));
  return sum(kept(rows(columns(a, 0, n), 0, n), [](int64_t r, int64_t c) { return r == c; }), Dims{-1});
}
Tensor diagonal_matrix(const Tensor& v) {
  int64_t n = v.size(-1);
  return where(mask(n, n, [](int64_t r, int64_t c) { return r == c; }), unsqueeze(v, -1), 0);
}
Tensor columns(const Tensor& a, int64_t first, int64_t count) { return narrow(a, -1, first, count); }
Tensor rows(const Tensor& a, int64_t first, int64_t count) { return narrow(a, -2, first, count); }
Tensor real_part(const Tensor& a) { return is_complex(a.dtype()) ? real(a) : a; }
Tensor imaginary_part(const Tensor& a) { return imag(a); }
Tensor permutation_matrix(const Tensor& pivots, int64_t n, const Tensor& like) {  // P of A = P L U
  Tensor p = pivots_to_permutation(pivots, n);
  Tensor steps = arange(int64_t(0), n, int64_t(1));
  // Row r of P^T has its one in column p[r].
  return to(eq(unsqueeze(steps, -1), unsqueeze(p, -2)), like.dtype());
}
bool records(std::initializer_list<Tensor> operands) {
  uint32_t layers = 0;
  for (const Tensor& t : operands)
    if (t) layers |= t.impl()->layers;
  return (layers & thread_layers.enabled & layer::autograd) | (thread_layers.forced & layer::forward);
}

}  // namespace moka::ops::matrix
