// Linear systems: kernels on factors, and the operators that users call.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <limits>

#include "moka/ops/eager_body.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/linalg/linalg.h"
#include "moka/ops/linalg/matrices.h"
#include "moka/ops/linalg/tensors.h"
#include "moka/ops/linear/linear.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/tensor/meta.h"

namespace moka::ops {

namespace {
using lapack::Int;
using namespace matrix;

Dims common_batch(const Frame& f, int i, int j) {
  return broadcast_shape(batch_of(f.tensor(i)), batch_of(f.tensor(j)), f.name());
}
// A copy of argument t by columns, its batch broadcast.
Columns broadcast_columns(const Tensor& t, std::span<const int64_t> batch) {
  Columns c(batch, t.size(-2), t.size(-1), t.dtype());
  if (c.tensor().numel()) copy_elements(t, c.tensor());
  return c;
}

// ---- triangular systems
void triangular_shape(Frame& f) {
  const Tensor &a = square_argument(f, 0), &b = matrix_argument(f, 1);
  check_same_dtype(f, 0, 1);
  bool left = f.flag(3);
  MOKA_CHECK(a.size(-1) == b.size(left ? -2 : -1), f.name(), ": A of shape ", a.sizes(),
             " does not fit B of shape ", b.sizes(), left ? "" : " from the right");
  exact_output(f, 0, joined(common_batch(f, 0, 1), {b.size(-2), b.size(-1)}), a.dtype());
}
void triangular_kernel(Frame& f) {
  Dims batch = common_batch(f, 0, 1);
  Columns a = broadcast_columns(f.tensor(0), batch), b = broadcast_columns(f.tensor(1), batch);
  bool upper = f.flag(2), left = f.flag(3), unit = f.flag(4);
  const Int m = b.rows(), n = b.columns(), lda = a.leading(), ldb = b.leading();
  with_type(b.tensor().dtype(), [&]<class T>(T) {
    const auto& l = lapack::routines<T>(f.name());
    const T one(1);
    for_matrices(b.count(), double(m) * n * a.rows(), [&](int64_t i) {
      if (m && n)
        l.trsm(left ? "L" : "R", upper ? "U" : "L", "N", unit ? "U" : "N", &m, &n, &one, a.at<T>(i), &lda,
               b.at<T>(i), &ldb, 1, 1, 1, 1);
    });
  });
  if (f.outs[0].numel()) copy_elements(b.tensor(), f.outs[0]);
}

// ---- systems with LU factors
void check_lu(const Frame& f) {
  const Tensor &lu = square_argument(f, 0), &pivots = tensor_argument(f, 1);
  MOKA_CHECK(pivots.dtype() == DType::I32, f.name(), ": pivots must be int32, got ", pivots.dtype());
  MOKA_CHECK(pivots.dim() == lu.dim() - 1 && pivots.size(-1) == lu.size(-1), f.name(), ": pivots of shape ",
             pivots.sizes(), " do not fit LU of shape ", lu.sizes());
}
void lu_solve_shape(Frame& f) {
  check_lu(f);
  const Tensor &lu = f.tensor(0), &b = matrix_argument(f, 2);
  check_same_dtype(f, 0, 2);
  MOKA_CHECK(lu.size(-1) == b.size(-2), f.name(), ": LU of shape ", lu.sizes(), " does not fit B of shape ",
             b.sizes());
  exact_output(f, 0, joined(common_batch(f, 0, 2), {b.size(-2), b.size(-1)}), lu.dtype());
}
Tensor broadcast_pivots(const Tensor& pivots, std::span<const int64_t> batch) {
  Tensor out = new_tensor(joined(batch, {pivots.size(-1)}), DType::I32);
  if (out.numel()) copy_elements(pivots, out);
  int64_t n = pivots.size(-1);
  for (int64_t i = 0; i < out.numel(); i++) {
    const int32_t pivot = out.data<int32_t>()[i];
    MOKA_CHECK(pivot >= 1, "lu_solve: pivots must be greater or equal to 1, got ", pivot);
    MOKA_CHECK(pivot <= n, "lu_solve: pivots must be smaller or equal to LU.size(-2), which is ", n, ", got ",
               pivot);
  }
  return out;
}
void lu_solve_kernel(Frame& f) {
  Dims batch = common_batch(f, 0, 2);
  Columns a = broadcast_columns(f.tensor(0), batch), b = broadcast_columns(f.tensor(2), batch);
  Tensor pivots = broadcast_pivots(f.tensor(1), batch);
  bool adjoint = f.flag(3);
  const Int n = b.rows(), columns = b.columns(), lda = a.leading(), ldb = b.leading();
  with_type(b.tensor().dtype(), [&]<class T>(T) {
    const auto& l = lapack::routines<T>(f.name());
    for_matrices(b.count(), 2.0 * n * n * columns, [&](int64_t i) {
      Int info = 0;
      if (n && columns)
        l.getrs(!adjoint                       ? "N"
                : lapack::is_complex_number<T> ? "C"
                                               : "T",
                &n, &columns, a.at<T>(i), &lda, pivots.data<int32_t>() + i * n, b.at<T>(i), &ldb, &info, 1);
    });
  });
  if (f.outs[0].numel()) copy_elements(b.tensor(), f.outs[0]);
}

// ---- factor and solve in one
void solve_shape(Frame& f) {
  const Tensor &a = square_argument(f, 0), &b = matrix_argument(f, 1);
  check_same_dtype(f, 0, 1);
  MOKA_CHECK(a.size(-1) == b.size(-2), f.name(), ": A of shape ", a.sizes(), " does not fit B of shape ",
             b.sizes());
  Dims batch = common_batch(f, 0, 1);
  exact_output(f, 0, joined(batch, {b.size(-2), b.size(-1)}), a.dtype());
  f.output(1, joined(batch, {a.size(-1), a.size(-1)}), a.dtype());
  f.output(2, joined(batch, {a.size(-1)}), DType::I32);
  exact_output(f, 3, batch, DType::I32);
}
void solve_kernel(Frame& f) {
  Dims batch = common_batch(f, 0, 1);
  Columns a = broadcast_columns(f.tensor(0), batch), b = broadcast_columns(f.tensor(1), batch);
  const Int n = b.rows(), columns = b.columns(), lda = a.leading(), ldb = b.leading();
  int32_t *pivots = f.outs[2].data<int32_t>(), *codes = f.outs[3].data<int32_t>();
  with_type(b.tensor().dtype(), [&]<class T>(T) {
    const auto& l = lapack::routines<T>(f.name());
    for_matrices(b.count(), double(n) * n * (n + 2.0 * columns), [&](int64_t i) {
      codes[i] = 0;
      if (!n) return;
      l.getrf(&n, &n, a.at<T>(i), &lda, pivots + i * n, &codes[i]);
      Int info = 0;
      if (columns && codes[i] == 0)
        l.getrs("N", &n, &columns, a.at<T>(i), &lda, pivots + i * n, b.at<T>(i), &ldb, &info, 1);
    });
  });
  if (f.outs[0].numel()) copy_elements(b.tensor(), f.outs[0]);
  if (f.outs[1].numel()) copy_elements(a.tensor(), f.outs[1]);
}

void inverse_shape(Frame& f) {
  const Tensor& a = square_argument(f, 0);
  exact_output(f, 0, a.sizes(), a.dtype());
  exact_output(f, 1, batch_of(a), DType::I32);
}
void inverse_kernel(Frame& f) {
  Columns a(f.tensor(0)), out(batch_of(f.tensor(0)), a.rows(), a.rows(), a.tensor().dtype());
  const Int n = a.rows(), lda = a.leading();
  int32_t* codes = f.outs[1].data<int32_t>();
  with_type(a.tensor().dtype(), [&]<class T>(T) {
    const auto& l = lapack::routines<T>(f.name());
    for_matrices(a.count(), 3.0 * n * n * n, [&](int64_t i) {
      codes[i] = 0;
      if (!n) return;
      std::vector<Int> pivots(static_cast<size_t>(n));
      l.getrf(&n, &n, a.at<T>(i), &lda, pivots.data(), &codes[i]);
      T* to = out.at<T>(i);
      for (int64_t k = 0; k < int64_t(n) * n; k++) to[k] = T(k % (n + 1) == 0);
      Int info = 0;
      if (codes[i] == 0) l.getrs("N", &n, &n, a.at<T>(i), &lda, pivots.data(), to, &lda, &info, 1);
    });
  });
  if (f.outs[0].numel()) copy_elements(out.tensor(), f.outs[0]);
  if (f.flag(1)) check_info(f.name(), f.outs[1], singular_inverse);
}

// ---- least squares
void lstsq_shape(Frame& f) {
  const Tensor &a = matrix_argument(f, 0), &b = matrix_argument(f, 1);
  check_same_dtype(f, 0, 1);
  MOKA_CHECK(a.size(-2) == b.size(-2), f.name(),
             ": input.size(-2) should match other.size(-2): the rows are equations; got shapes ", a.sizes(),
             " and ", b.sizes());
  Dims batch = common_batch(f, 0, 1);
  f.output(0, joined(batch, {a.size(-1), b.size(-1)}), a.dtype());
  f.output(1, batch, DType::I64);
  f.output(2, joined(batch, {std::min(a.size(-1), a.size(-2))}), real_dtype(a.dtype()));
}
template <class T>
Int least_squares(const lapack::Routines<T>& l, Int m, Int n, Int columns, T* a, T* b, Int ldb,
                  lapack::Real<T>* s, lapack::Real<T> rcond, Int& rank) {
  using R = lapack::Real<T>;
  Int info = 0, ask = -1, ints = 0, lda = std::max(1, m);
  T work_size{};
  R real_size{};
  auto run = [&](T* work, const Int* lwork, R* reals, Int* integers) {
    if constexpr (lapack::is_complex_number<T>)
      reinterpret_cast<void (*)(const Int*, const Int*, const Int*, T*, const Int*, T*, const Int*, R*,
                                const R*, Int*, T*, const Int*, R*, Int*, Int*)>(l.gelsd)(
          &m, &n, &columns, a, &lda, b, &ldb, s, &rcond, &rank, work, lwork, reals, integers, &info);
    else
      reinterpret_cast<void (*)(const Int*, const Int*, const Int*, T*, const Int*, T*, const Int*, R*,
                                const R*, Int*, T*, const Int*, Int*, Int*)>(l.gelsd)(
          &m, &n, &columns, a, &lda, b, &ldb, s, &rcond, &rank, work, lwork, integers, &info);
  };
  run(&work_size, &ask, &real_size, &ints);
  Int lwork = std::max<Int>(1, static_cast<Int>(std::real(work_size)));
  std::vector<T> work(static_cast<size_t>(lwork));
  std::vector<R> reals(static_cast<size_t>(std::max<R>(1, real_size)));
  std::vector<Int> integers(static_cast<size_t>(std::max(1, ints)));
  run(work.data(), &lwork, reals.data(), integers.data());
  return info;
}
void lstsq_kernel(Frame& f) {
  Dims batch = common_batch(f, 0, 1);
  const Tensor &x = f.tensor(0), &y = f.tensor(1);
  Columns a = broadcast_columns(x, batch);
  const Int m = a.rows(), n = a.columns(), columns = static_cast<Int>(y.size(-1)), k = std::min(m, n);
  const Int ldb = std::max({1, m, n});
  Columns b(batch, std::max(m, n), columns, x.dtype());
  Tensor top = strided_view(b.tensor(), joined(batch, {m, columns}), b.tensor().strides(), 0);
  Tensor solution = strided_view(b.tensor(), joined(batch, {n, columns}), b.tensor().strides(), 0);
  if (n > m && b.tensor().numel())  // rows without equations
    std::memset(b.tensor().raw_data(), 0, static_cast<size_t>(b.tensor().numel()) * item_size(x.dtype()));
  if (top.numel()) copy_elements(y, top);
  int64_t* ranks = f.outs[1].data<int64_t>();
  with_type(x.dtype(), [&]<class T>(T) {
    using R = lapack::Real<T>;
    const auto& l = lapack::routines<T>(f.name());
    R rcond = f.has(2) ? static_cast<R>(f.number(2)) : std::numeric_limits<R>::epsilon() * R(std::max(m, n));
    R* s = f.outs[2].data<R>();
    for_matrices(a.count(), 8.0 * m * n * k, [&](int64_t i) {
      Int rank = 0, info = 0;
      if (k && columns &&
          !(all_finite(a.at<T>(i), int64_t(m) * n) && all_finite(b.at<T>(i), int64_t(ldb) * columns))) {
        std::fill_n(b.at<T>(i), int64_t(ldb) * columns, T(std::numeric_limits<R>::quiet_NaN()));
        std::fill_n(s + i * k, k, std::numeric_limits<R>::quiet_NaN());
      } else if (k && columns)
        info = least_squares<T>(l, m, n, columns, a.at<T>(i), b.at<T>(i), ldb, s + i * k, rcond, rank);
      else
        for (int64_t e = 0; e < int64_t(ldb) * columns; e++) b.at<T>(i)[e] = T(0);
      MOKA_CHECK(info == 0, f.name(), ": the singular values did not converge (LAPACK's code ", info, ")");
      ranks[i] = rank;
    });
  });
  if (f.outs[0].numel()) copy_elements(solution, f.outs[0]);
}

constexpr auto no_format = [] { return none("ONNX has no operator for it"); };
constexpr auto no_netdef = [] { return none("Caffe2 has no operator for it"); };

// B is a vector for each matrix of A where it has that shape; A x = b then is solved as a matrix of one column.
bool is_vector(const Tensor& a, const Tensor& b) {
  return b.dim() == 1 ||
         (a.dim() - 1 == b.dim() && std::equal(b.sizes().begin(), b.sizes().end(), a.sizes().begin()));
}
Outputs run_solve(const Any& a_any, const Any& b_any, bool left) {
  const Tensor &a = a_any.tensor(), &b = b_any.tensor();
  MOKA_CHECK(a.dim() >= 2, "linalg.solve: A must have at least 2 dimensions, got shape ", a.sizes());
  bool vector = is_vector(a, b);
  MOKA_CHECK(b.dim() >= 1 && (vector || b.dim() >= 2),
             "linalg.solve: B must have at least 1 dimension, got shape ", b.sizes());
  MOKA_CHECK(left || !vector, "linalg.solve: a vector B is only meant from the left; give left=True");
  Outputs out;
  if (vector) {
    out = op_results(solve_factored, a, unsqueeze(b, -1));
    out[0] = squeeze_dim(out[0], Dims{-1});
  } else if (left) {
    out = op_results(solve_factored, a, b);
  } else {
    out = op_results(solve_factored, mT(a), mT(b));
    out[0] = mT(out[0]);
  }
  return out;
}
void solve_ex_body(const Any* in, Any* out) {
  Outputs r = run_solve(in[0], in[1], in[2].to_bool());
  if (in[3].to_bool()) check_info("linalg.solve", r[3], singular_solver);
  out[0] = Any(r[0]), out[1] = Any(r[3]);
}
void solve_body(const Any* in, Any* out) {
  Outputs r = run_solve(in[0], in[1], in[2].to_bool());
  check_info("linalg.solve", r[3], singular_solver);
  out[0] = Any(r[0]);
}
void lu_solve_any(const Tensor& lu, const Tensor& pivots, const Tensor& b, bool left, bool adjoint,
                  Any* out) {
  if (left) out[0] = Any(lu_solve_left(lu, pivots, b, adjoint));
  else out[0] = Any(mH(lu_solve_left(lu, pivots, mH(b), !adjoint)));
}
void cholesky_solve_body(const Any* in, Any* out) {
  const Tensor &b = in[0].tensor(), &l = in[1].tensor();
  MOKA_CHECK(b.dim() >= 2 && l.dim() >= 2, "cholesky_solve: both arguments must be matrices, got shapes ",
             b.sizes(), " and ", l.sizes());
  bool upper = in[2].to_bool();
  Tensor lower = upper ? mH(l) : l, adjoint = upper ? l : mH(l);
  Tensor y = linalg_solve_triangular(lower, b, false);
  out[0] = Any(linalg_solve_triangular(adjoint, y, true));
}
void cholesky_inverse_body(const Any* in, Any* out) {
  const Tensor& l = in[0].tensor();
  MOKA_CHECK(l.dim() >= 2, "cholesky_inverse: L must have at least 2 dimensions, got shape ", l.sizes());
  MOKA_CHECK(l.size(-1) == l.size(-2), "cholesky_inverse: L must be batches of square matrices, got shape ",
             l.sizes());
  Tensor lower = in[1].to_bool() ? mH(triu(l)) : tril(l);
  Tensor inverse = linalg_solve_triangular(lower, identity(l, l.size(-1)), false);
  out[0] = Any(matmul(mH(inverse), inverse));
}
void lstsq_body(const Any* in, Any* out) {
  const Tensor &a = in[0].tensor(), &b = in[1].tensor();
  std::string_view driver = in[3].is_none() ? std::string_view("gelsy") : in[3].string();
  MOKA_CHECK(driver == "gelsy" || driver == "gels" || driver == "gelsd" || driver == "gelss",
             "linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss), got '", driver,
             "'");
  MOKA_CHECK(a.dim() >= 2, "linalg.lstsq: input must have at least 2 dimensions, got shape ", a.sizes());
  MOKA_CHECK(b.dim() >= 1, "linalg.lstsq: other must have at least 1 dimension, got shape ", b.sizes());
  MOKA_CHECK(a.dtype() == b.dtype(), "linalg.lstsq: input and other must have the same dtype, got ",
             a.dtype(), " and ", b.dtype());
  MOKA_CHECK(b.dim() > 1 || a.size(-2) == b.size(-1),
             "linalg.lstsq: input.size(-2) should match other.size(-1), got shapes ", a.sizes(), " and ",
             b.sizes());
  bool vector = a.dim() - 1 == b.dim() && std::equal(b.sizes().begin(), b.sizes().end(), a.sizes().begin());
  Tensor right = vector ? unsqueeze(b, -1) : b;
  Outputs r = op_results(lstsq_parts, a, right, in[2]);
  int64_t m = a.size(-2), n = a.size(-1);
  bool full = true;
  for (int64_t i = 0; full && !is_meta(r[1]) && i < r[1].numel(); i++) full = element_as_int(r[1], i) == n;
  Tensor none_real = new_tensor(Dims{0}, real_dtype(a.dtype()), a.device());
  Tensor none_int = new_tensor(Dims{0}, DType::I64, a.device());
  // Empty, but made of the solution, whose gradients it follows.
  Tensor residuals = narrow(reshape(real_part(r[0]), Dims{-1}), 0, int64_t(0), int64_t(0));
  if (m > n && (driver == "gels" || full) && driver != "gelsy") {
    Tensor difference = matmul(a, r[0]) - right;
    residuals = sum(square(abs(difference)), Dims{-2});
  }
  out[0] = Any(vector ? Tensor(squeeze_dim(r[0], Dims{-1})) : r[0]);
  out[1] = Any(residuals);
  out[2] = Any(driver == "gels" ? none_int : r[1]);
  out[3] = Any(driver == "gelsd" || driver == "gelss" ? r[2] : none_real);
}
}  // namespace

constinit const Op linalg_solve_triangular_op{
    .schema =
        "linalg_solve_triangular(Tensor A, Tensor B, *, bool upper, bool left=True, bool "
        "unitriangular=False) -> "
        "Tensor",
    .doc = "X with A X = B, or X A = B where not left; only one triangle of A is read.",
    .method = "function",
    .shape = triangular_shape,
    .kernels = {KernelRow{.name = "lapack", .run = triangular_kernel}},
    .derivative = {wrt("A B",
                       [](auto dy, auto A, auto, auto upper, auto left, auto unitriangular, auto X) {
                         auto d = op_results(solve_triangular_backward, dy, A, X, upper, left, unitriangular);
                         return results(d[0], d[1]);
                       })},
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shapes({3, 3}, {3, 2}).in(Domain::Positive).with("upper", true),
                shapes({2, 3, 3}, {2, 3}).in(Domain::Positive).with("upper", false).with("left", false)},
};
constinit const Op triangular_solve_op{
    .schema =
        "triangular_solve(Tensor b, Tensor A, bool upper=True, bool transpose=False, bool "
        "unitriangular=False) -> "
        "(Tensor solution, Tensor cloned_coefficient)",
    .doc = "The older form of linalg.solve_triangular.",
    .body = eager_body([](const Any* in, Any* out) {
      const Tensor& a = in[1].tensor();
      bool upper = in[2].to_bool(), transposed = in[3].to_bool();
      out[0] = Any(linalg_solve_triangular(transposed ? mT(a) : a, in[0], upper != transposed, true, in[4]));
      out[1] = Any(clone(a));
    }),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .samples = {shapes({3, 2}, {3, 3}).in(Domain::Positive),
                shapes({2, 3, 1}, {2, 3, 3}).in(Domain::Positive)},
};
constinit const Op lu_solve_left_op{
    .schema = "lu_solve_left(Tensor LU, Tensor pivots, Tensor B, bool adjoint=False) -> Tensor",
    .doc = "X with A X = B or A^H X = B, A given by its factors.",
    .method = "none",
    .shape = lu_solve_shape,
    .kernels = {KernelRow{.name = "lapack", .run = lu_solve_kernel}},
    .derivative = {wrt("LU B",
                       [](auto dy, auto LU, auto pivots, auto B, auto adjoint, auto X) {
                         auto d = op_results(lu_solve_backward, dy, LU, pivots, B, X, adjoint);
                         return results(d[0], d[1]);
                       })},
    .onnx = no_format(),
    .netdef = no_netdef(),
};
constinit const Op linalg_lu_solve_op{
    .schema =
        "linalg_lu_solve(Tensor LU, Tensor pivots, Tensor B, *, bool left=True, bool adjoint=False) -> "
        "Tensor",
    .doc =
        "X with A X = B (X A = B where not left; A^H where adjoint), A given by the factors of "
        "linalg.lu_factor.",
    .method = "function",
    .body = eager_body([](const Any* in, Any* out) {
      lu_solve_any(in[0].tensor(), in[1].tensor(), in[2].tensor(), in[3].to_bool(), in[4].to_bool(), out);
    }),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {},
};
constinit const Op lu_solve_op{
    .schema = "lu_solve(Tensor b, Tensor LU_data, Tensor LU_pivots) -> Tensor",
    .doc = "X with A X = b, A given by the factors of linalg.lu_factor.",
    .body =
        eager_body([](const Any* in, Any* out) { out[0] = Any(lu_solve_left(in[1], in[2], in[0], false)); }),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {},
};
constinit const Op solve_factored_op{
    .schema = "solve_factored(Tensor A, Tensor B) -> (Tensor result, Tensor LU, Tensor pivots, Tensor info)",
    .doc = "X with A X = B for matrices B, with the factors found on the way.",
    .method = "none",
    .shape = solve_shape,
    .kernels = {KernelRow{.name = "lapack", .run = solve_kernel}},
    .derivative = {wrt("A B",
                       [](auto dy, auto A, auto, auto X, auto LU, auto pivots) {
                         auto d = op_results(solve_backward, dy, A, X, LU, pivots);
                         return results(d[0], d[1]);
                       }),
                   constants("LU", "solve differentiates its result alone")},
    .onnx = no_format(),
    .netdef = no_netdef(),
    .samples = {shapes({3, 3}, {3, 2}), shapes({2, 2, 2}, {2, 2, 1})},
};
constinit const Op linalg_solve_ex_op{
    .schema =
        "linalg_solve_ex(Tensor A, Tensor B, *, bool left=True, bool check_errors=False) -> (Tensor result, "
        "Tensor "
        "info)",
    .doc = "linalg.solve with LAPACK's code for each matrix instead of errors.",
    .method = "function",
    .body = eager_body(solve_ex_body),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shapes({3, 3}, {3, 2}), shapes({2, 3, 3}, {2, 3})},
};
constinit const Op linalg_solve_op{
    .schema = "linalg_solve(Tensor A, Tensor B, *, bool left=True) -> Tensor",
    .doc = "X with A X = B, or X A = B where not left; B may hold one vector for each matrix.",
    .method = "function",
    .body = eager_body(solve_body),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shapes({3, 3}, {3, 2}), shapes({2, 3, 3}, {2, 3}), shapes({0, 0}, {0, 2}).no_gradient()},
};
constinit const Op linalg_inv_ex_op{
    .schema = "linalg_inv_ex(Tensor A, *, bool check_errors=False) -> (Tensor inverse, Tensor info)",
    .doc = "The inverse matrix, and LAPACK's code for each: 0 where it exists.",
    .method = "function",
    .shape = inverse_shape,
    .kernels = {KernelRow{.name = "lapack", .run = inverse_kernel}},
    .derivative = {wrt("A",
                       [](auto dy, auto, auto, auto y) {
                         auto adjoint = conj(transpose(y, -2, -1));
                         return neg(matmul(adjoint, matmul(dy, adjoint)));
                       })},
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3), shape(2, 2, 2), shape(0, 0).no_gradient()},
};
constinit const Op linalg_inv_op{
    .schema = "linalg_inv(Tensor A) -> Tensor",
    .doc = "The inverse matrix; an error where there is none.",
    .method = "function",
    .body = body([](auto a) { return op_results(linalg_inv_ex, a, true)[0]; }),
    .onnx = {{.map = "Inverse(A)", .domain = "com.microsoft"}},
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3), shape(2, 2, 2), shape(0, 0).no_gradient()},
};
constinit const Op inverse_op{
    .schema = "inverse(Tensor input) -> Tensor",
    .doc = "The same as linalg.inv.",
    .body = body([](auto a) { return op_results(linalg_inv_ex, a, true)[0]; }),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3), shape(2, 2, 2)},
};
constinit const Op cholesky_solve_op{
    .schema = "cholesky_solve(Tensor B, Tensor L, bool upper=False) -> Tensor",
    .doc = "X with A X = B for A = L L^H (U^H U where upper), given L.",
    .body = eager_body(cholesky_solve_body),
    .derivative = {wrt("B L",
                       [](auto dy, auto, auto L, auto upper, auto y) {
                         auto d = op_results(cholesky_solve_backward, dy, L, y, upper);
                         return results(d[0], d[1]);
                       })},
    .onnx = no_format(),
    .netdef = no_netdef(),
    // One triangle of L is read; its gradient, as PyTorch's, is that of a full L: tests/python/test_linalg.py.
    .autocast = Autocast::Float32,
    .samples = {shapes({3, 2}, {3, 3}).in(Domain::Positive).no_gradient(),
                shapes({2, 3, 1}, {3, 3}).in(Domain::Positive).with("upper", true).no_gradient()},
};
constinit const Op cholesky_inverse_op{
    .schema = "cholesky_inverse(Tensor L, bool upper=False) -> Tensor",
    .doc = "The inverse of L L^H (U^H U where upper), given L.",
    .body = eager_body(cholesky_inverse_body),
    .derivative = {wrt(
        "L", [](auto dy, auto L, auto upper, auto y) { return cholesky_inverse_backward(dy, L, y, upper); })},
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3).in(Domain::Positive).no_gradient(),
                shape(2, 2, 2).in(Domain::Positive).with("upper", true).no_gradient()},
};
constinit const Op lstsq_parts_op{
    .schema =
        "lstsq_parts(Tensor A, Tensor B, float? rcond=None) -> (Tensor solution, Tensor rank, Tensor "
        "singular_values)",
    .doc =
        "The shortest X that minimises |A X - B|, the rank of A as far as rcond tells it, and its singular "
        "values.",
    .method = "none",
    .shape = lstsq_shape,
    .kernels = {KernelRow{.name = "lapack", .run = lstsq_kernel}},
    .derivative = {wrt("A B",
                       [](auto dy, auto A, auto B) {
                         auto d = op_results(lstsq_backward, dy, A, B);
                         return results(d[0], d[1]);
                       }),
                   constants("singular_values", "lstsq differentiates its solution alone")},
    .onnx = no_format(),
    .netdef = no_netdef(),
    .samples = {shapes({4, 3}, {4, 2}), shapes({2, 4, 2}, {2, 4, 1})},
};
constinit const Op linalg_lstsq_op{
    .schema =
        "linalg_lstsq(Tensor input, Tensor b, float? rcond=None, *, str? driver=None) -> (Tensor solution, "
        "Tensor "
        "residuals, Tensor rank, Tensor singular_values)",
    .doc =
        "Least squares: X that minimises |input X - b|; residuals, rank and singular values as the driver "
        "gives them.",
    .method = "function",
    .body = eager_body(lstsq_body),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shapes({4, 3}, {4, 2}), shapes({2, 3, 4}, {2, 3, 2})},
};

}  // namespace moka::ops
