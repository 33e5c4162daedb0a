// L D L^T and L D L^H of symmetric and Hermitian matrices that need not be positive definite (Bunch and Kaufman 1977).
// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "moka/ops/eager_body.h"
#include "moka/ops/linalg/linalg.h"
#include "moka/ops/linalg/matrices.h"
#include "moka/ops/unwritten.h"

namespace moka::ops {

namespace {
using lapack::Int;

void ldl_shape(Frame& f) {
  const Tensor& a = square_argument(f, 0);
  f.output(0, a.sizes(), a.dtype());
  f.output(1, joined(batch_of(a), {a.size(-1)}), DType::I32);
  f.output(2, batch_of(a), DType::I32);
}
void ldl_kernel(Frame& f) {
  Columns a(f.tensor(0));
  const Int n = a.rows(), lda = a.leading();
  int32_t *pivots = f.outs[1].data<int32_t>(), *info = f.outs[2].data<int32_t>();
  with_type(a.tensor().dtype(), [&]<class T>(T) {
    const auto& l = lapack::routines<T>(f.name());
    const auto factor = f.flag(1) ? l.hetrf : l.sytrf;
    for_matrices(a.count(), double(n) * n * n / 3, [&](int64_t i) {
      T *m = a.at<T>(i), best{};
      info[i] = 0;
      if (!n) return;
      Int size = -1;
      factor("L", &n, m, &lda, pivots + i * n, &best, &size, &info[i], 1);
      size = std::max<Int>(1, static_cast<Int>(std::real(best)));
      std::vector<T> work(static_cast<size_t>(size));
      factor("L", &n, m, &lda, pivots + i * n, work.data(), &size, &info[i], 1);
      for (Int c = 1; c < n; c++) std::fill_n(m + int64_t(c) * n, c, T(0));
    });
  });
  if (f.outs[0].numel()) copy_elements(a.tensor(), f.outs[0]);
  if (f.flag(2)) check_info(f.name(), f.outs[2], singular_diagonal);
}

void ldl_solve_shape(Frame& f) {
  const Tensor &ld = square_argument(f, 0), &pivots = f.tensor(1), &b = matrix_argument(f, 2);
  MOKA_CHECK(ld.dtype() == b.dtype(), f.name(), ": LD and B must have the same dtype, got ", ld.dtype(),
             " and ", b.dtype());
  MOKA_CHECK(pivots.dtype() == DType::I32, f.name(), ": Expected pivots to be integers (int32). Got ",
             pivots.dtype());
  const auto sizes = ld.sizes().first(ld.sizes().size() - 1);
  MOKA_CHECK(std::equal(sizes.begin(), sizes.end(), pivots.sizes().begin(), pivots.sizes().end()), f.name(),
             ": Expected LD.shape[:-1] and pivots.shape to be the same, got shapes ", ld.sizes(), " and ",
             pivots.sizes());
  MOKA_CHECK(ld.size(-1) == b.size(-2), f.name(), ": Incompatible matrix sizes: LD of shape ", ld.sizes(),
             " does not fit B of shape ", b.sizes());
  const Dims batch = broadcast_shape(batch_of(ld), batch_of(b), f.name());
  f.output(0, joined(batch, {b.size(-2), b.size(-1)}), b.dtype());
}
// LAPACK follows the row exchanges that the pivots name: they must lie inside the matrix, and blocks of two rows be whole.
void check_pivots(const Frame& f, const Tensor& pivots) {
  const int64_t n = pivots.size(-1);
  const int32_t* p = pivots.data<int32_t>();
  for (int64_t first = 0; first < pivots.numel(); first += n)
    for (int64_t i = 0; i < n; i++) {
      const int64_t value = p[first + i];
      MOKA_CHECK(value != 0 && value <= n && value >= -n, f.name(), ": pivots must lie between 1 and ", n,
                 " or their negatives, got ", value);
      if (value > 0) continue;
      i++;
      MOKA_CHECK(i < n && p[first + i] < 0 && p[first + i] >= -n, f.name(),
                 ": negative pivots come in pairs, one stands alone at ", i - 1);
    }
}
void ldl_solve_kernel(Frame& f) {
  const Tensor& out = f.outs[0];
  const Dims batch(batch_of(out));
  const int64_t order = out.size(-2);
  Columns a(batch, order, order, out.dtype()), b(batch, order, out.size(-1), out.dtype());
  Tensor pivots = new_tensor(joined(batch, {order}), DType::I32);
  if (!out.numel()) return;
  copy_elements(f.tensor(0), a.tensor());
  copy_elements(f.tensor(1), pivots);
  copy_elements(f.tensor(2), b.tensor());
  check_pivots(f, pivots);
  const Int n = b.rows(), columns = b.columns(), ld = b.leading();
  with_type(out.dtype(), [&]<class T>(T) {
    const auto& l = lapack::routines<T>(f.name());
    const auto solve = f.flag(3) ? l.hetrs : l.sytrs;
    for_matrices(b.count(), 2.0 * n * n * columns, [&](int64_t i) {
      Int info = 0;
      solve("L", &n, &columns, a.at<T>(i), &ld, pivots.data<int32_t>() + i * n, b.at<T>(i), &ld, &info, 1);
    });
  });
  copy_elements(b.tensor(), out);
}
constexpr auto no_format = [] { return none("ONNX has no operator for it"); };
constexpr auto no_netdef = [] { return none("Caffe2 has no operator for it"); };
}  // namespace

constinit const Op linalg_ldl_factor_ex_op{
    .schema =
        "linalg_ldl_factor_ex(Tensor A, *, bool hermitian=False, bool check_errors=False) -> (Tensor LD, "
        "Tensor pivots, Tensor info)",
    .doc =
        "A = L D L^T (L D L^H where hermitian), read from the lower triangle: both factors in one matrix, "
        "the "
        "row exchanges as LAPACK's sytrf counts them, and its code for each matrix.",
    .method = "function",
    .shape = ldl_shape,
    .kernels = {KernelRow{.name = "lapack", .run = ldl_kernel}},
    .derivative = {unwritten("the factors depend on which rows were exchanged")},
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3).no_gradient(), shape(2, 4, 4).with("hermitian", true).no_gradient(),
                shape(0, 2, 2).no_gradient()},
};
constinit const Op linalg_ldl_factor_op{
    .schema = "linalg_ldl_factor(Tensor A, *, bool hermitian=False) -> (Tensor LD, Tensor pivots)",
    .doc = "A = L D L^T (L D L^H where hermitian): both factors in one matrix, and the row exchanges.",
    .method = "function",
    .body = body([](auto a, auto hermitian) {
      auto all = op_results(linalg_ldl_factor_ex, a, hermitian, true);
      return results(all[0], all[1]);
    }),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3).no_gradient(), shape(0, 2, 2).no_gradient()},
};
constinit const Op linalg_ldl_solve_op{
    .schema = "linalg_ldl_solve(Tensor LD, Tensor pivots, Tensor B, *, bool hermitian=False) -> Tensor",
    .doc = "X with A X = B, A given by what linalg.ldl_factor made of it.",
    .method = "function",
    .shape = ldl_solve_shape,
    .kernels = {KernelRow{.name = "lapack", .run = ldl_solve_kernel}},
    .derivative = {unwritten("solve with A itself")},
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {},
};

}  // namespace moka::ops
