// Cholesky, LU and QR factorizations.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "moka/ops/eager_body.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/linalg/linalg.h"
#include "moka/ops/linalg/matrices.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/ops/unwritten.h"

namespace moka::ops {

namespace {
using lapack::Int;

// ---- Cholesky
void cholesky_shape(Frame& f) {
  const Tensor& a = square_argument(f, 0);
  exact_output(f, 0, a.sizes(), a.dtype());
  exact_output(f, 1, batch_of(a), DType::I32);
}
void cholesky_kernel(Frame& f) {
  Columns a(f.tensor(0));
  bool upper = f.flag(1);
  int32_t* info = f.outs[1].data<int32_t>();
  const Int n = a.rows(), lda = a.leading();
  with_type(a.tensor().dtype(), [&]<class T>(T) {
    const auto& l = lapack::routines<T>(f.name());
    for_matrices(a.count(), double(n) * n * n / 3, [&](int64_t i) {
      T* m = a.at<T>(i);
      info[i] = 0;
      if (n) l.potrf(upper ? "U" : "L", &n, m, &lda, &info[i], 1);
      for (Int c = 0; c < n; c++)
        for (Int r = upper ? c + 1 : 0; r < (upper ? n : c); r++) m[int64_t(c) * n + r] = T(0);
    });
  });
  if (f.outs[0].numel()) copy_elements(a.tensor(), f.outs[0]);
  if (f.flag(2)) check_info(f.name(), f.outs[1], not_positive);
}

// ---- LU
void lu_shape(Frame& f) {
  const Tensor& a = matrix_argument(f, 0);
  MOKA_CHECK(f.flag(1), f.name(), ": LU without pivoting is not implemented on the CPU; give pivot=True");
  exact_output(f, 0, a.sizes(), a.dtype());
  exact_output(f, 1, joined(batch_of(a), {std::min(a.size(-1), a.size(-2))}), DType::I32);
  f.output(2, batch_of(a), DType::I32);
}
void lu_kernel(Frame& f) {
  Columns a(f.tensor(0));
  const Int m = a.rows(), n = a.columns(), lda = a.leading(), k = std::min(m, n);
  int32_t *pivots = f.outs[1].data<int32_t>(), *info = f.outs[2].data<int32_t>();
  with_type(a.tensor().dtype(), [&]<class T>(T) {
    const auto& l = lapack::routines<T>(f.name());
    for_matrices(a.count(), double(m) * n * k, [&](int64_t i) {
      info[i] = 0;
      if (k) l.getrf(&m, &n, a.at<T>(i), &lda, pivots + i * k, &info[i]);
    });
  });
  if (f.outs[0].numel()) copy_elements(a.tensor(), f.outs[0]);
  if (f.flag(2)) check_info(f.name(), f.outs[2], singular_factor);
}

// Row exchanges 1 based, one after another, as the permutation they make.
void permutation_shape(Frame& f) {
  const Tensor& pivots = tensor_argument(f, 0);
  MOKA_CHECK(pivots.dtype() == DType::I32 && pivots.dim() >= 1, f.name(),
             ": pivots must be int32 with at least 1 dimension, got ", pivots);
  int64_t n = f.integer(1);
  MOKA_CHECK(n >= pivots.size(-1), f.name(), ": size must be at least the number of pivots, ",
             pivots.size(-1), ", got ", n);
  f.output(0, joined(batch_of(pivots, 1), {n}), DType::I64);
}
void permutation_kernel(Frame& f) {
  Tensor pivots = as_contiguous(f.tensor(0));
  int64_t n = f.integer(1), k = pivots.size(-1), count = count_of(batch_of(pivots, 1));
  int64_t* out = f.outs[0].data<int64_t>();
  for (int64_t i = 0; i < count; i++, out += n) {
    for (int64_t r = 0; r < n; r++) out[r] = r;
    for (int64_t r = 0; r < k; r++) {
      int64_t other = pivots.data<int32_t>()[i * k + r] - 1;
      MOKA_CHECK(other >= 0 && other < n, f.name(),
                 ": pivots must lie between 1 and LU.size(-2). The size is ", n, ", got ", other + 1);
      std::swap(out[r], out[other]);
    }
  }
}

// ---- QR
enum class QrMode { Reduced, Complete, R };
QrMode qr_mode(const Frame& f) {
  std::string_view mode = f.string(1);
  if (mode == "reduced") return QrMode::Reduced;
  if (mode == "complete") return QrMode::Complete;
  MOKA_CHECK(mode == "r", f.name(), ": mode must be 'reduced', 'complete' or 'r', got '", mode, "'");
  return QrMode::R;
}
void qr_shape(Frame& f) {
  const Tensor& a = matrix_argument(f, 0);
  QrMode mode = qr_mode(f);
  int64_t m = a.size(-2), n = a.size(-1), k = std::min(m, n);
  int64_t rows = mode == QrMode::Complete ? m : k;
  if (mode == QrMode::R) exact_output(f, 0, Dims{0}, a.dtype());
  else exact_output(f, 0, joined(batch_of(a), {m, rows}), a.dtype());
  exact_output(f, 1, joined(batch_of(a), {rows, n}), a.dtype());
}
// Runs a routine that takes (work, lwork), first to ask how much work memory it wants.
template <class T, class F>
void with_work(F call) {
  T best{};
  call(&best, Int(-1));
  Int size = std::max<Int>(1, static_cast<Int>(std::real(best)));
  std::vector<T> work(static_cast<size_t>(size));
  call(work.data(), size);
}
template <class T>
Int factor_qr(const lapack::Routines<T>& l, Int m, Int n, T* a, Int lda, T* tau) {
  Int info = 0;
  with_work<T>([&](T* work, Int size) { l.geqrf(&m, &n, a, &lda, tau, work, &size, &info); });
  return info;
}
template <class T>
Int make_q(const lapack::Routines<T>& l, Int m, Int n, Int k, T* a, Int lda, const T* tau) {
  Int info = 0;
  with_work<T>([&](T* work, Int size) { l.orgqr(&m, &n, &k, a, &lda, tau, work, &size, &info); });
  return info;
}
void qr_kernel(Frame& f) {
  const Tensor& x = f.tensor(0);
  QrMode mode = qr_mode(f);
  const Int m = static_cast<Int>(x.size(-2)), n = static_cast<Int>(x.size(-1)), k = std::min(m, n);
  const Int rows = mode == QrMode::Complete ? m : k, lda = std::max(1, m);
  Columns a(x), q(batch_of(x), m, mode == QrMode::R ? 0 : rows, x.dtype()),
      r(batch_of(x), rows, n, x.dtype());
  with_type(x.dtype(), [&]<class T>(T) {
    const auto& l = lapack::routines<T>(f.name());
    for_matrices(a.count(), 4.0 * m * n * rows, [&](int64_t i) {
      T* from = a.at<T>(i);
      std::vector<T> tau(static_cast<size_t>(std::max(1, k)));
      if (k) factor_qr(l, m, n, from, lda, tau.data());
      T* to = r.at<T>(i);
      for (Int c = 0; c < n; c++)
        for (Int row = 0; row < rows; row++)
          to[int64_t(c) * rows + row] = row <= c && row < m ? from[int64_t(c) * m + row] : T(0);
      if (mode == QrMode::R || !rows || !m) return;
      T* basis = q.at<T>(i);
      std::memcpy(static_cast<void*>(basis), from, size_t(m) * std::min(rows, n) * sizeof(T));
      if (k) make_q(l, m, rows, k, basis, lda, tau.data());
      else
        for (Int c = 0; c < rows; c++)
          for (Int row = 0; row < m; row++) basis[int64_t(c) * m + row] = T(row == c);
    });
  });
  if (f.outs[0].numel()) copy_elements(q.tensor(), f.outs[0]);
  if (f.outs[1].numel()) copy_elements(r.tensor(), f.outs[1]);
}

void geqrf_shape(Frame& f) {
  const Tensor& a = matrix_argument(f, 0);
  f.output(0, a.sizes(), a.dtype());
  f.output(1, joined(batch_of(a), {std::min(a.size(-1), a.size(-2))}), a.dtype());
}
void geqrf_kernel(Frame& f) {
  Columns a(f.tensor(0));
  const Int m = a.rows(), n = a.columns(), k = std::min(m, n);
  with_type(a.tensor().dtype(), [&]<class T>(T) {
    const auto& l = lapack::routines<T>(f.name());
    T* tau = f.outs[1].data<T>();
    for_matrices(a.count(), 2.0 * m * n * k, [&](int64_t i) {
      if (k) factor_qr(l, m, n, a.at<T>(i), a.leading(), tau + i * k);
    });
  });
  if (f.outs[0].numel()) copy_elements(a.tensor(), f.outs[0]);
}

void check_reflectors(const Frame& f) {
  const Tensor &a = matrix_argument(f, 0), &tau = tensor_argument(f, 1);
  check_same_dtype(f, 0, 1);
  MOKA_CHECK(a.size(-2) >= a.size(-1), f.name(),
             ": input.shape[-2] must be greater than or equal to input.shape[-1], got shape ", a.sizes());
  MOKA_CHECK(tau.dim() == a.dim() - 1 && tau.size(-1) <= a.size(-1), f.name(), ": tau of shape ", tau.sizes(),
             " does not fit input of shape ", a.sizes());
  for (int d = 0; d + 2 < a.dim(); d++)
    MOKA_CHECK(tau.size(d) == a.size(d), f.name(), ": tau of shape ", tau.sizes(),
               " does not have the batch sizes of input, shape ", a.sizes());
}
void reflectors_shape(Frame& f) {
  check_reflectors(f);
  f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype());
}
void reflectors_kernel(Frame& f) {
  Columns a(f.tensor(0));
  Tensor tau = as_contiguous(f.tensor(1));
  const Int m = a.rows(), n = a.columns(), k = static_cast<Int>(tau.size(-1));
  with_type(a.tensor().dtype(), [&]<class T>(T) {
    const auto& l = lapack::routines<T>(f.name());
    for_matrices(a.count(), 4.0 * m * n * k, [&](int64_t i) {
      if (n) make_q(l, m, n, k, a.at<T>(i), a.leading(), tau.data<T>() + i * k);
    });
  });
  if (f.outs[0].numel()) copy_elements(a.tensor(), f.outs[0]);
}

// Every product with Q or its adjoint, from reflectors.
void ormqr_shape(Frame& f) {
  const Tensor &a = matrix_argument(f, 0), &tau = tensor_argument(f, 1), &c = matrix_argument(f, 2);
  check_same_dtype(f, 0, 1);
  check_same_dtype(f, 0, 2);
  const std::string_view rows = f.flag(3) ? "other.shape[-2]" : "other.shape[-1]";
  const int64_t m = c.size(f.flag(3) ? -2 : -1);
  const auto shapes = [&] {
    return cat("; got input ", a.sizes(), ", tau ", tau.sizes(), " and other ", c.sizes());
  };
  MOKA_CHECK(tau.dim() == a.dim() - 1 && c.dim() == a.dim(), "ormqr: expected other to have as many ",
             "dimensions as input, and tau one less", shapes());
  MOKA_CHECK(m >= tau.size(-1), "ormqr: ", rows, " must be greater than or equal to tau.shape[-1]", shapes());
  MOKA_CHECK(m == a.size(-2), "ormqr: ", rows, " must be equal to input.shape[-2]", shapes());
  MOKA_CHECK(tau.size(-1) <= a.size(-1), "ormqr: input.shape[-1] must be at least tau.shape[-1]", shapes());
  for (int d = 0; d + 2 < a.dim(); d++) {
    MOKA_CHECK(a.size(d) == tau.size(d),
               "ormqr: expected batch dimensions of tau to be equal to input.shape[:-2]", shapes());
    MOKA_CHECK(a.size(d) == c.size(d),
               "ormqr: expected batch dimensions of other to be equal to input.shape[:-2]", shapes());
  }
  f.output(0, c.sizes(), c.dtype());
}
void ormqr_kernel(Frame& f) {
  Columns a(f.tensor(0)), c(f.tensor(2));
  Tensor tau = as_contiguous(f.tensor(1));
  bool left = f.flag(3), transposed = f.flag(4);
  const Int m = c.rows(), n = c.columns(), k = static_cast<Int>(tau.size(-1)), lda = a.leading(),
            ldc = c.leading();
  with_type(a.tensor().dtype(), [&]<class T>(T) {
    const auto& l = lapack::routines<T>(f.name());
    for_matrices(a.count(), 4.0 * m * n * k, [&](int64_t i) {
      Int info = 0;
      if (!m || !n || !k) return;
      with_work<T>([&](T* work, Int size) {
        l.ormqr(left ? "L" : "R",
                !transposed                    ? "N"
                : lapack::is_complex_number<T> ? "C"
                                               : "T",
                &m, &n, &k, a.at<T>(i), &lda, tau.data<T>() + i * k, c.at<T>(i), &ldc, work, &size, &info, 1,
                1);
      });
    });
  });
  if (f.outs[0].numel()) copy_elements(c.tensor(), f.outs[0]);
}

constexpr auto no_format = [] { return none("ONNX has no operator for it"); };
constexpr auto no_netdef = [] { return none("Caffe2 has no operator for it"); };
}  // namespace

constinit const Op linalg_cholesky_ex_op{
    .schema =
        "linalg_cholesky_ex(Tensor input, *, bool upper=False, bool check_errors=False) -> (Tensor L, Tensor "
        "info)",
    .doc =
        "Cholesky factor L of input = L L^H (or U of U^H U), and LAPACK's code for each matrix: 0 where all "
        "is well.",
    .method = "function",
    .shape = cholesky_shape,
    .kernels = {KernelRow{.name = "lapack", .run = cholesky_kernel}},
    .derivative = {wrt(
        "input", [](auto dy, auto, auto upper, auto, auto L) { return cholesky_backward(dy, L, upper); })},
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(0, 0).no_gradient(), shape(2, 1, 1).in(Domain::Positive).no_gradient()},
};
constinit const Op linalg_cholesky_op{
    .schema = "linalg_cholesky(Tensor input, *, bool upper=False) -> Tensor",
    .doc = "Cholesky factor of positive-definite matrices: input = L L^H, or U^H U where upper.",
    .method = "function",
    .body = body([](auto a, auto upper) { return op_results(linalg_cholesky_ex, a, upper, true)[0]; }),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(0, 0).no_gradient(), shape(2, 1, 1).in(Domain::Positive)},
};
constinit const Op cholesky_op{
    .schema = "cholesky(Tensor input, bool upper=False) -> Tensor",
    .doc = "The same as linalg.cholesky.",
    .body = body([](auto a, auto upper) { return op_results(linalg_cholesky_ex, a, upper, true)[0]; }),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(0, 0).no_gradient(), shape(2, 1, 1).in(Domain::Positive)},
};

constinit const Op linalg_lu_factor_ex_op{
    .schema =
        "linalg_lu_factor_ex(Tensor A, *, bool pivot=True, bool check_errors=False) -> (Tensor LU, Tensor "
        "pivots, "
        "Tensor info)",
    .doc =
        "A = P L U packed in one matrix, the row exchanges (counted from 1), and LAPACK's code for each "
        "matrix.",
    .method = "function",
    .shape = lu_shape,
    .kernels = {KernelRow{.name = "lapack", .run = lu_kernel}},
    .derivative = {wrt("A", [](auto dy, auto, auto, auto, auto LU,
                               auto pivots) { return lu_factor_backward(dy, LU, pivots); })},
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3), shape(2, 3, 2), shape(2, 4), shape(0, 2, 2)},
};
constinit const Op linalg_lu_factor_op{
    .schema = "linalg_lu_factor(Tensor A, *, bool pivot=True) -> (Tensor LU, Tensor pivots)",
    .doc = "A = P L U packed in one matrix, and the row exchanges (counted from 1).",
    .method = "function",
    .body = body([](auto a, auto pivot) {
      auto all = op_results(linalg_lu_factor_ex, a, pivot, false);
      return results(all[0], all[1]);
    }),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3), shape(2, 3, 2)},
};
constinit const Op pivots_to_permutation_op{
    .schema = "pivots_to_permutation(Tensor pivots, int size) -> Tensor",
    .doc = "Row exchanges of LU factorizations as permutations: row i of P^T A is row permutation[i] of A.",
    .method = "none",
    .shape = permutation_shape,
    .kernels = {KernelRow{.name = "swaps", .run = permutation_kernel}},
    .derivative = none("integers"),
    .onnx = no_format(),
    .netdef = no_netdef(),
};

constinit const Op linalg_qr_op{
    .schema = "linalg_qr(Tensor A, str mode='reduced') -> (Tensor Q, Tensor R)",
    .doc =
        "A = Q R with orthonormal columns in Q and R upper triangular; mode 'reduced', 'complete', or 'r' (R "
        "alone).",
    .method = "function",
    .shape = qr_shape,
    .kernels = {KernelRow{.name = "lapack", .run = qr_kernel}},
    .derivative = {wrt<2>("A", [](auto dq, auto dr, auto, auto mode, auto q,
                                  auto r) { return qr_backward(dq, dr, q, r, mode); })},
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3), shape(2, 4, 3), shape(2, 3), shape(0, 3).no_gradient()},
};
constinit const Op qr_op{
    .schema = "qr(Tensor input, bool some=True) -> (Tensor Q, Tensor R)",
    .doc = "The same as linalg.qr, reduced where `some`.",
    .body = eager_body([](const Any* in, Any* out) {
      auto r = op_results(linalg_qr, in[0], in[1].to_bool() ? "reduced" : "complete");
      out[0] = Any(r[0]), out[1] = Any(r[1]);
    }),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3), shape(2, 4, 3)},
};
constinit const Op geqrf_op{
    .schema = "geqrf(Tensor input) -> (Tensor a, Tensor tau)",
    .doc =
        "QR factorization as Householder reflectors: R in the upper triangle of `a`, the reflectors below "
        "it.",
    .shape = geqrf_shape,
    .kernels = {KernelRow{.name = "lapack", .run = geqrf_kernel}},
    .derivative = {unwritten("use linalg.qr, which has one")},
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3), shape(2, 4, 2)},
};
constinit const Op reflectors_product_op{
    .schema = "reflectors_product(Tensor input, Tensor tau) -> Tensor",
    .doc = "The first columns of a product of Householder reflectors, without gradients.",
    .method = "none",
    .shape = reflectors_shape,
    .kernels = {KernelRow{.name = "lapack", .run = reflectors_kernel}},
    .derivative = none("linalg.householder_product has one"),
    .onnx = no_format(),
    .netdef = no_netdef(),
};
constinit const Op reflectors_times_op{
    .schema =
        "reflectors_times(Tensor input, Tensor tau, Tensor other, bool left=True, bool transpose=False) -> "
        "Tensor",
    .doc = "The product of ormqr, without gradients.",
    .method = "none",
    .shape = ormqr_shape,
    .kernels = {KernelRow{.name = "lapack", .run = ormqr_kernel}},
    .derivative = none("ormqr has one"),
    .onnx = no_format(),
    .netdef = no_netdef(),
};

}  // namespace moka::ops
