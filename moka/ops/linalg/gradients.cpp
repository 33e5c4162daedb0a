// Derivatives of factorizations, solvers and spectra, written with operators: they are differentiable in turn. Formulas
// after Giles, "An extended collection of matrix derivative results" (2008), and Townsend (2016) for singular values.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/complex/complex.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/linalg/linalg.h"
#include "moka/ops/linalg/tensors.h"
#include "moka/ops/linear/linear.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
using namespace matrix;

Tensor solve_right(const Tensor& b, const Tensor& a, bool upper, bool unit = false) {  // b a^-1
  return linalg_solve_triangular(a, b, upper, false, unit);
}
Tensor solve_left(const Tensor& a, const Tensor& b, bool upper, bool unit = false) {  // a^-1 b
  return linalg_solve_triangular(a, b, upper, true, unit);
}
Tensor half_diagonal(const Tensor& a) {  // the diagonal divided by two
  return a - diagonal_matrix(diagonal_of(a)) * 0.5;
}

// These arguments must be matrices or stacks of them.
void check_matrices(const Any* in, std::initializer_list<int> which, std::string_view op) {
  for (int i : which)
    MOKA_CHECK(in[i].is_none() || in[i].tensor().dim() >= 2, op, ": argument ", i,
               " must have at least 2 dimensions, got shape ", in[i].tensor().sizes());
}

void cholesky_body(const Any* in, Any* out) {
  check_matrices(in, {0, 1}, "cholesky_backward");
  bool upper = in[2].to_bool();
  Tensor L = upper ? mH(in[1].tensor()) : in[1].tensor(), gL = upper ? mH(in[0].tensor()) : in[0].tensor();
  Tensor phi = half_diagonal(tril(matmul(mH(L), gL)));
  Tensor g = solve_right(solve_left(mH(L), phi, true), L, false);
  out[0] = Any((g + mH(g)) * 0.5);
}

// L counts whole, as in L L^H, though only a triangle of it is read.
void cholesky_solve_gradient(const Any* in, Any* out) {
  check_matrices(in, {0, 1, 2}, "cholesky_solve_backward");
  const Tensor &dy = in[0].tensor(), &L = in[1].tensor(), &X = in[2].tensor();
  bool upper = in[3].to_bool();
  Tensor dB = cholesky_solve(dy, L, upper), outer = matmul(dB, mH(X)), both = outer + mH(outer);
  out[0] = Any(dB);
  out[1] = Any(neg(upper ? matmul(L, both) : matmul(both, L)));
}
void cholesky_inverse_gradient(const Any* in, Any* out) {
  check_matrices(in, {0, 1, 2}, "cholesky_inverse_backward");
  const Tensor &dy = in[0].tensor(), &L = in[1].tensor(), &Y = in[2].tensor();
  Tensor both = matmul(Y, matmul(dy + mH(dy), Y));
  out[0] = Any(neg(in[3].to_bool() ? matmul(L, both) : matmul(both, L)));
}

void solve_triangular_body(const Any* in, Any* out) {
  check_matrices(in, {0, 1, 2}, "solve_triangular_backward");
  const Tensor &dy = in[0].tensor(), &A = in[1].tensor(), &X = in[2].tensor();
  bool upper = in[3].to_bool(), left = in[4].to_bool(), unit = in[5].to_bool();
  Tensor dB = linalg_solve_triangular(mH(A), dy, !upper, left, unit);
  Tensor dA = neg(left ? matmul(dB, mH(X)) : matmul(mH(X), dB));
  int64_t offset = unit ? 1 : 0;
  out[0] = Any(upper ? triu(dA, offset) : tril(dA, -offset));
  out[1] = Any(dB);
}

// With A = P L U and the packed gradient of L (strictly below the diagonal) and U.
void lu_factor_body(const Any* in, Any* out) {
  check_matrices(in, {0, 1}, "lu_factor_backward");
  const Tensor &g = in[0].tensor(), &LU = in[1].tensor(), &pivots = in[2].tensor();
  int64_t m = LU.size(-2), n = LU.size(-1), k = std::min(m, n);
  Tensor first = rows(columns(LU, 0, k), 0, k), gfirst = rows(columns(g, 0, k), 0, k);
  Tensor L = tril(first, -1) + identity(LU, k), U = triu(first);
  Tensor lower = matmul(mH(L), tril(gfirst, -1)), upper = matmul(triu(gfirst), mH(U));
  Tensor right, below;  // gradients of the further columns or rows
  if (n > k) {
    Tensor U2 = columns(LU, k, n - k), gU2 = columns(g, k, n - k);
    lower = lower - matmul(gU2, mH(U2));
    right = solve_left(mH(L), gU2, true, true);
  }
  if (m > k) {
    Tensor L2 = rows(LU, k, m - k), gL2 = rows(g, k, m - k);
    upper = upper - matmul(mH(L2), gL2);
    below = solve_right(gL2, mH(U), false);
  }
  Tensor middle = tril(lower, -1) + triu(upper);
  Tensor result = solve_left(mH(L), solve_right(middle, mH(U), false), true, true);
  if (right) result = concat(std::vector<Tensor>{result, right}, -1);
  if (below) result = concat(std::vector<Tensor>{result, below}, -2);
  out[0] = Any(matmul(permutation_matrix(pivots, m, LU), result));
}

void lu_solve_body(const Any* in, Any* out) {
  check_matrices(in, {0, 1, 4}, "lu_solve_backward");
  const Tensor &dy = in[0].tensor(), &LU = in[1].tensor(), &pivots = in[2].tensor(), &X = in[4].tensor();
  bool adjoint = in[5].to_bool();
  Tensor L = tril(LU, -1) + identity(LU, LU.size(-1)), U = triu(LU);
  if (!adjoint) {
    Tensor gY = solve_left(mH(U), dy, false);  // Y = U X = L^-1 P^T B
    Tensor gZ = solve_left(mH(L), gY, true, true);
    out[0] = Any(neg(triu(matmul(gY, mH(X))) + tril(matmul(gZ, mH(matmul(U, X))), -1)));
    out[1] = Any(matmul(permutation_matrix(pivots, LU.size(-1), LU), gZ));
  } else {  // X = P W, L^H W = Z, U^H Z = B
    Tensor P = permutation_matrix(pivots, LU.size(-1), LU);
    Tensor W = matmul(mT(P), X), Z = matmul(mH(L), W);
    Tensor gZ = solve_left(L, matmul(mT(P), dy), false, true);
    Tensor gB = solve_left(U, gZ, true);
    out[0] = Any(neg(triu(matmul(Z, mH(gB))) + tril(matmul(W, mH(gZ)), -1)));
    out[1] = Any(gB);
  }
}

void solve_body(const Any* in, Any* out) {
  check_matrices(in, {0, 1, 2}, "solve_backward");
  const Tensor &dy = in[0].tensor(), &A = in[1].tensor(), &X = in[2].tensor();
  // The factors do for a first derivative; a recorded one must see how they follow from A.
  Tensor dB = records({dy, A, X}) ? op_results(solve_factored, mH(A), dy)[0]
                                  : lu_solve_left(in[3].tensor(), in[4].tensor(), dy, true);
  out[0] = Any(neg(matmul(dB, mH(X))));
  out[1] = Any(dB);
}

void qr_body(const Any* in, Any* out) {
  check_matrices(in, {0, 1, 2, 3}, "qr_backward");
  const Tensor &gQ = in[0].tensor(), &gR = in[1].tensor(), &Q = in[2].tensor(), &R = in[3].tensor();
  std::string_view mode = in[4].string();
  MOKA_CHECK(mode != "r",
             "linalg.qr: the derivative needs Q, which mode='r' does not compute; use mode='reduced'");
  int64_t m = Q.size(-2), n = R.size(-1), k = R.size(-2);
  MOKA_CHECK(
      mode != "complete" || m <= n,
      "linalg.qr: mode='complete' has no derivative where there are more rows than columns; use 'reduced'");
  auto symmetric = [](const Tensor& x) {  // x + x^H with the real diagonal once
    Tensor s = x + mH(x);
    Tensor d = real_part(diagonal_of(s)) * 0.5;
    return s - to(diagonal_matrix(d), s.dtype());
  };
  auto square_case = [&](const Tensor& gq, const Tensor& gr, const Tensor& r) {
    Tensor inner = matmul(gr, mH(r)) - matmul(mH(Q), gq);
    return solve_right(gq + matmul(Q, symmetric(triu(inner))), mH(r), false);
  };
  if (n <= k) {
    // inner = R gR^H - gQ^H Q in the lower triangle, written with its adjoint above.
    out[0] = Any(square_case(gQ, triu(gR), R));
    return;
  }
  Tensor R1 = columns(R, 0, k), R2 = columns(R, k, n - k), gR1 = columns(gR, 0, k),
         gR2 = columns(gR, k, n - k);
  Tensor A2 = matmul(Q, R2);
  Tensor first = square_case(gQ + matmul(A2, mH(gR2)), triu(gR1), R1);
  out[0] = Any(concat(std::vector<Tensor>{first, matmul(Q, gR2)}, -1));
}

Tensor differences(const Tensor& v) {  // v_j - v_i, ones on the diagonal
  return unsqueeze(v, -2) - unsqueeze(v, -1) + eye(v.size(-1), v.size(-1), v.dtype());
}

// a / b with 0 / 0 = 0: vectors that nothing depends on do no harm where values coincide.
Tensor quotient(const Tensor& a, const Tensor& b) {
  return a / where(logical_and(eq(a, 0), eq(b, 0)), ones_like(b), b);
}

void eigh_body(const Any* in, Any* out) {
  check_matrices(in, {1, 3}, "eigh_backward");
  const Tensor &gL = in[0].tensor(), &gV = in[1].tensor(), &L = in[2].tensor(), &V = in[3].tensor();
  Tensor inner = quotient(matmul(mH(V), gV), differences(L));
  inner = inner - diagonal_matrix(diagonal_of(inner)) + to(diagonal_matrix(gL), inner.dtype());
  out[0] = Any(matmul(V, matmul(inner, mH(V))));
}

void eig_body(const Any* in, Any* out) {
  check_matrices(in, {1, 3}, "eig_backward");
  const Tensor &gL = in[0].tensor(), &gV = in[1].tensor(), &L = in[2].tensor(), &V = in[3].tensor();
  Tensor inner = matmul(mH(V), gV);
  Tensor lengths = real_part(diagonal_of(inner));
  inner = inner - matmul(mH(V), V) * unsqueeze(lengths, -2);
  inner = inner / conj(differences(L));
  inner = inner - diagonal_matrix(diagonal_of(inner)) + diagonal_matrix(gL);
  out[0] = Any(linalg_solve(mH(V), matmul(inner, mH(V))));
}

Tensor skew(const Tensor& a) { return a - mH(a); }

void svd_body(const Any* in, Any* out) {
  check_matrices(in, {3, 5}, "svd_backward");
  Tensor gU = in[0].tensor(), gS = in[1].tensor(), gVh = in[2].tensor(), U = in[3].tensor(),
         S = in[4].tensor(), Vh = in[5].tensor();
  int64_t m = U.size(-2), n = Vh.size(-1), k = S.size(-1);
  if (U.size(-1) > k) U = columns(U, 0, k), gU = columns(gU, 0, k);
  if (Vh.size(-2) > k) Vh = rows(Vh, 0, k), gVh = rows(gVh, 0, k);
  Tensor turnU = skew(matmul(mH(U), gU)), turnV = skew(matmul(Vh, mH(gVh)));
  Tensor squares = differences(S * S);
  Tensor row = unsqueeze(S, -2), column = unsqueeze(S, -1);
  Tensor inner = quotient(turnU, squares) * row + column * quotient(turnV, squares);
  // The phases of complex singular vectors: the diagonal of turnU is twice the imaginary part.
  inner = inner - diagonal_matrix(diagonal_of(inner)) + to(diagonal_matrix(gS), inner.dtype());
  if (is_complex(inner.dtype())) inner = inner + diagonal_matrix(diagonal_of(turnU) / (S * 2));
  if (m > k) {
    Tensor rest = quotient(gU, row);
    Tensor left = matmul(U, inner) + rest - matmul(U, matmul(mH(U), rest));
    out[0] = Any(matmul(left, Vh));
  } else {
    Tensor right = matmul(inner, Vh);
    if (n > k) {
      Tensor rest = quotient(gVh, column);
      right = right + rest - matmul(matmul(rest, mH(Vh)), Vh);
    }
    out[0] = Any(matmul(U, right));
  }
}

void det_body(const Any* in, Any* out) {
  check_matrices(in, {1}, "det_backward");
  const Tensor &g = in[0].tensor(), &A = in[1].tensor(), &det = in[2].tensor();
  Tensor scale = diagonal_matrix(unsqueeze(g * conj(det), -1) + to(zeros(Dims{A.size(-1)}), A.dtype()));
  if (records({g, A, det})) {
    out[0] = Any(op_results(solve_factored, mH(A), scale)[0]);
    return;
  }
  // The determinant is smooth, so where a pivot is zero a tiny one stands for it.
  auto lu = op_results(linalg_lu_factor_ex, A);
  Tensor zero = eq(diagonal_of(lu[0]), 0);
  double tiny = real_part(A).dtype() == DType::F64 ? 1e-16 * 2.220446049250313 : 1.1920929e-7;
  Tensor factors = lu[0] + to(diagonal_matrix(to(zero, A.dtype()) * tiny), A.dtype());
  // What the pivots' product became with the tiny one in place of zero.
  out[0] = Any(lu_solve_left(factors, lu[1], scale, true));
}

void slogdet_body(const Any* in, Any* out) {
  check_matrices(in, {2}, "slogdet_backward");
  const Tensor &gsign = in[0].tensor(), &glog = in[1].tensor(), &A = in[2].tensor(), &sign = in[3].tensor();
  Tensor g = to(glog, A.dtype());
  if (is_complex(A.dtype())) {
    Tensor turn = imag(mul(conj(gsign), sign));  // the phase turns with the logarithm's imaginary part
    g = complex(glog, neg(turn));
  }
  Tensor scale = diagonal_matrix(unsqueeze(g, -1) + to(zeros(Dims{A.size(-1)}), A.dtype()));
  out[0] = Any(op_results(solve_factored, mH(A), scale)[0]);
}

void pinv_body(const Any* in, Any* out) {
  check_matrices(in, {0, 1, 2}, "pinv_backward");
  const Tensor &g = in[0].tensor(), &P = in[1].tensor(), &A = in[2].tensor();
  Tensor Ph = mH(P), gh = mH(g);
  if (A.size(-2) <= A.size(-1)) {
    Tensor K = matmul(gh, P), KPh = matmul(K, Ph);
    out[0] =
        Any(KPh - mH(matmul(P, K)) - matmul(matmul(A, P), KPh) + matmul(matmul(Ph, P), gh - matmul(K, A)));
  } else {
    Tensor K = matmul(P, gh), PhK = matmul(Ph, K);
    out[0] =
        Any(matmul(matmul(gh - matmul(A, K), P), Ph) - mH(matmul(K, P)) + PhK - matmul(matmul(PhK, P), A));
  }
}

void lstsq_body(const Any* in, Any* out) {
  check_matrices(in, {0, 1, 2}, "lstsq_backward");
  const Tensor &g = in[0].tensor(), &A = in[1].tensor(), &B = in[2].tensor();
  Tensor P = linalg_pinv(A), gP = matmul(g, mH(B));
  out[0] = Any(pinv_backward(gP, P, A));
  out[1] = Any(matmul(mH(P), g));
}

constexpr auto gradient = [] { return none("a gradient: export the forward graph"); };
}  // namespace

#define MOKA_MATRIX_GRADIENT(name, text, what, run)                                                   \
  constinit const Op name##_op {                                                                      \
    .schema = #name text, .doc = what, .method = "none", .body = eager_body(run), .onnx = gradient(), \
    .netdef = gradient(),                                                                             \
  }
MOKA_MATRIX_GRADIENT(cholesky_backward, "(Tensor grad, Tensor L, bool upper) -> Tensor",
                     "Gradient of cholesky.", cholesky_body);
MOKA_MATRIX_GRADIENT(cholesky_solve_backward,
                     "(Tensor grad, Tensor L, Tensor result, bool upper) -> (Tensor B, Tensor L)",
                     "Gradients of cholesky_solve.", cholesky_solve_gradient);
MOKA_MATRIX_GRADIENT(cholesky_inverse_backward,
                     "(Tensor grad, Tensor L, Tensor result, bool upper) -> Tensor",
                     "Gradient of cholesky_inverse.", cholesky_inverse_gradient);
MOKA_MATRIX_GRADIENT(
    solve_triangular_backward,
    "(Tensor grad, Tensor A, Tensor X, bool upper, bool left, bool unitriangular) -> (Tensor A, Tensor "
    "B)",
    "Gradients of linalg.solve_triangular.", solve_triangular_body);
MOKA_MATRIX_GRADIENT(lu_factor_backward, "(Tensor grad, Tensor LU, Tensor pivots) -> Tensor",
                     "Gradient of linalg.lu_factor.", lu_factor_body);
MOKA_MATRIX_GRADIENT(
    lu_solve_backward,
    "(Tensor grad, Tensor LU, Tensor pivots, Tensor B, Tensor X, bool adjoint) -> (Tensor LU, Tensor B)",
    "Gradients of linalg.lu_solve.", lu_solve_body);
MOKA_MATRIX_GRADIENT(solve_backward,
                     "(Tensor grad, Tensor A, Tensor X, Tensor LU, Tensor pivots) -> (Tensor A, Tensor B)",
                     "Gradients of linalg.solve.", solve_body);
MOKA_MATRIX_GRADIENT(qr_backward, "(Tensor grad_q, Tensor grad_r, Tensor Q, Tensor R, str mode) -> Tensor",
                     "Gradient of linalg.qr.", qr_body);
MOKA_MATRIX_GRADIENT(eigh_backward,
                     "(Tensor grad_values, Tensor grad_vectors, Tensor values, Tensor vectors) -> Tensor",
                     "Gradient of linalg.eigh.", eigh_body);
MOKA_MATRIX_GRADIENT(eig_backward,
                     "(Tensor grad_values, Tensor grad_vectors, Tensor values, Tensor vectors) -> Tensor",
                     "Gradient of linalg.eig.", eig_body);
MOKA_MATRIX_GRADIENT(
    svd_backward, "(Tensor grad_u, Tensor grad_s, Tensor grad_vh, Tensor U, Tensor S, Tensor Vh) -> Tensor",
    "Gradient of linalg.svd.", svd_body);
MOKA_MATRIX_GRADIENT(det_backward, "(Tensor grad, Tensor A, Tensor result) -> Tensor",
                     "Gradient of linalg.det.", det_body);
MOKA_MATRIX_GRADIENT(slogdet_backward, "(Tensor grad_sign, Tensor grad_log, Tensor A, Tensor sign) -> Tensor",
                     "Gradient of linalg.slogdet.", slogdet_body);
MOKA_MATRIX_GRADIENT(pinv_backward, "(Tensor grad, Tensor result, Tensor A) -> Tensor",
                     "Gradient of linalg.pinv.", pinv_body);
MOKA_MATRIX_GRADIENT(lstsq_backward, "(Tensor grad, Tensor A, Tensor B) -> (Tensor A, Tensor B)",
                     "Gradients of linalg.lstsq.", lstsq_body);

}  // namespace moka::ops
