// Functions of matrices composed of factorizations: pseudo-inverse, rank, powers, exponential, condition, tensor forms.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/ops/creation/creation.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/linalg/linalg.h"
#include "moka/ops/linalg/matrices.h"
#include "moka/ops/linalg/tensors.h"
#include "moka/ops/linear/linear.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/reduction/scans.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
using namespace matrix;

double machine_epsilon(DType d) {
  return real_dtype(d) == DType::F64 ? 2.220446049250313e-16 : 1.1920928955078125e-7;
}

const Tensor& matrix_of(const Any& a, std::string_view op) {
  const Tensor& t = a.tensor();
  MOKA_CHECK(t.dim() >= 2, op,
             ": A must have at least 2 dimensions (expected a tensor with 2 or more dimensions), got shape ",
             t.sizes());
  MOKA_CHECK(is_floating(t.dtype()) || is_complex(t.dtype()), op,
             ": Expected a floating point or complex tensor as A, got ", t.dtype());
  return t;
}
const Tensor& square_of(const Any& a, std::string_view op) {
  const Tensor& t = matrix_of(a, op);
  MOKA_CHECK(t.size(-1) == t.size(-2), op, ": A must be batches of square matrices, got shape ", t.sizes());
  return t;
}
// A tolerance given as a tensor or a number, or none.
Tensor tolerance(const Any& t, DType dtype) {
  if (t.is_tensor()) {
    MOKA_CHECK(!is_complex(t.tensor().dtype()),
               "linalg: an atol, rtol or rcond tensor of complex type is not supported");
    return to(t.tensor(), dtype);
  }
  return full(Dims{}, t.to_double(), dtype);
}
// Singular values above max(atol, rtol * the largest): torch's defaults are atol 0 and rtol max(m, n) eps unless atol > 0.
Tensor significant(const Tensor& s, const Tensor& a, const Any& atol, const Any& rtol) {
  double usual = machine_epsilon(a.dtype()) * double(std::max(a.size(-1), a.size(-2)));
  Tensor absolute = atol.is_none() ? full(Dims{}, 0.0, s.dtype()) : tolerance(atol, s.dtype());
  Tensor relative;
  if (!rtol.is_none()) relative = tolerance(rtol, s.dtype());
  else if (atol.is_none()) relative = full(Dims{}, usual, s.dtype());
  else relative = where(gt(absolute, 0.0), full(Dims{}, 0.0, s.dtype()), full(Dims{}, usual, s.dtype()));
  Tensor largest = amax(s, Dims{-1}, true);
  return gt(s, maximum(unsqueeze(absolute, -1), unsqueeze(relative, -1) * largest));
}

void pinv_run(const Any& input, const Any& atol, const Any& rtol, bool hermitian, Any* out) {
  const Tensor& a = hermitian ? square_of(input, "linalg.pinv") : matrix_of(input, "linalg.pinv");
  if (a.numel() == 0) {
    Dims sizes(a.sizes());
    std::swap(sizes[sizes.size() - 1], sizes[sizes.size() - 2]);
    out[0] = Any(reshape(a, sizes));
    return;
  }
  if (hermitian) {
    Outputs r = op_results(linalg_eigh, a);
    Tensor keep = significant(abs(r[0]), a, atol, rtol);
    Tensor inverse = where(keep, 1 / where(keep, r[0], 1), 0);
    out[0] = Any(matmul(r[1] * unsqueeze(inverse, -2), mH(r[1])));
  } else {
    Outputs r = op_results(linalg_svd, a, false);
    Tensor keep = significant(r[1], a, atol, rtol);
    Tensor inverse = where(keep, 1 / where(keep, r[1], 1), 0);
    out[0] = Any(matmul(mH(r[2]) * unsqueeze(inverse, -2), mH(r[0])));
  }
}
void rank_run(const Any& input, const Any& atol, const Any& rtol, bool hermitian, Any* out) {
  const Tensor& a =
      hermitian ? square_of(input, "linalg.matrix_rank") : matrix_of(input, "linalg.matrix_rank");
  if (a.numel() == 0) {
    out[0] = Any(zeros(Dims(batch_of(a)), DType::I64));
    return;
  }
  Tensor s = hermitian ? abs(linalg_eigvalsh(a)) : linalg_svdvals(a);
  out[0] = Any(sum(significant(s, a, atol, rtol), Dims{-1}));
}

void matrix_power_run(const Any* in, Any* out) {
  Tensor a = square_of(in[0], "linalg.matrix_power");
  int64_t n = in[1].to_int();
  if (n == 0) {
    // Depends on a in form alone; its gradient is zero.
    out[0] = Any(where(full(Dims{}, true), identity(a, a.size(-1)), a));
    return;
  }
  uint64_t left = static_cast<uint64_t>(n);
  if (n < 0) {
    a = linalg_inv(a);
    left = 0 - left;
  }
  Tensor power = a, result;
  for (;; power = matmul(power, power)) {
    if (left & 1) result = result ? matmul(result, power) : power;
    left >>= 1;
    if (!left) break;
  }
  out[0] = Any(n == 1 ? clone(result) : result);
}

// Scaling and squaring with the Pade approximant of degree 13 (Higham, 2005): exp(A) = r(A / 2^s)^(2^s).
void matrix_exp_run(const Any* in, Any* out) {
  const Tensor& given = square_of(in[0], "linalg.matrix_exp");
  // In double: squaring again and again loses digits.
  Tensor a = to(given, is_complex(given.dtype()) ? DType::C128 : DType::F64);
  if (a.numel() == 0) {
    out[0] = Any(clone(given));
    return;
  }
  double norm = 0;
  {
    LayersOff off(layer::autograd);
    Tensor largest = amax(sum(abs(a), Dims{-2}));
    norm = element_as_double(largest, 0);
  }
  int squarings =
      norm > 4.25 && std::isfinite(norm) ? std::max(0, int(std::ceil(std::log2(norm / 4.25)))) : 0;
  static const double b[] = {64764752532480000.,
                             32382376266240000.,
                             7771770303897600.,
                             1187353796428800.,
                             129060195264000.,
                             10559470521600.,
                             670442572800.,
                             33522128640.,
                             1323241920.,
                             40840800.,
                             960960.,
                             16380.,
                             182.,
                             1.};
  // Divided by b[0], so that float32 holds every coefficient.
  auto c = [](int k) { return b[k] / b[0]; };
  Tensor x = squarings ? a * std::ldexp(1.0, -squarings) : a;
  Tensor x2 = matmul(x, x), x4 = matmul(x2, x2), x6 = matmul(x2, x4), one = identity(a, a.size(-1));
  Tensor odd = matmul(
      x, matmul(x6, x6 * c(13) + x4 * c(11) + x2 * c(9)) + x6 * c(7) + x4 * c(5) + x2 * c(3) + one * c(1));
  Tensor even = matmul(x6, x6 * c(12) + x4 * c(10) + x2 * c(8)) + x6 * c(6) + x4 * c(4) + x2 * c(2) + one;
  Tensor result = linalg_solve(even - odd, even + odd);
  for (int i = 0; i < squarings; i++) result = matmul(result, result);
  out[0] = Any(to(result, given.dtype()));
}

void cond_run(const Any* in, Any* out) {
  const Any& p = in[1];
  bool spectral = p.is_none() || (p.arg().is_number() && std::abs(p.to_double()) == 2);
  if (spectral) {
    const Tensor& a = matrix_of(in[0], "linalg.cond");
    MOKA_CHECK(a.numel() > 0 || a.size(-1) == 0 || count_of(batch_of(a)) == 0, "linalg.cond: empty matrices");
    Tensor s = linalg_svdvals(a);
    if (s.size(-1) == 0) {
      out[0] = Any(zeros(Dims(batch_of(a)), s.dtype()));
      return;
    }
    Tensor first = select(s, -1, 0), last = select(s, -1, -1);
    bool inverse = !p.is_none() && p.to_double() == -2;
    out[0] = Any(inverse ? last / first : first / last);
    return;
  }
  const Tensor& a = square_of(in[0], "linalg.cond");
  if (a.numel() == 0) {
    out[0] = Any(zeros(Dims(batch_of(a)), real_dtype(a.dtype())));
    return;
  }
  if (p.tag() == Tag::String && p.string() == "nuc") {
    Tensor s = linalg_svdvals(a);
    out[0] = Any(sum(s, Dims{-1}) * sum(1 / s, Dims{-1}));
    return;
  }
  const double order = p.tag() == Tag::String ? 0 : p.to_double();
  const bool known = p.tag() == Tag::String ? p.string() == "fro" : std::abs(order) == 1 || std::isinf(order);
  MOKA_CHECK_KIND(Value, known, "linalg.cond: got an invalid norm type: ", p);
  auto norm = [&](const Tensor& x) { return linalg_matrix_norm(x, p); };
  Outputs inverse = op_results(linalg_inv_ex, a);
  Tensor n = norm(a).tensor(), m = norm(inverse[0]).tensor();
  out[0] = Any(where(ne(inverse[1], 0), __builtin_inf(), n * m));
}

void tensorinv_run(const Any* in, Any* out) {
  const Tensor& a = in[0].tensor();
  int64_t ind = in[1].to_int();
  MOKA_CHECK(ind > 0, "linalg.tensorinv: Expected a strictly positive integer for 'ind', got ", ind);
  MOKA_CHECK(ind <= a.dim(), "linalg.tensorinv: ind ", ind, " is more than the ", a.dim(),
             " dimensions of A");
  std::span<const int64_t> all = a.sizes();
  std::span<const int64_t> head = all.first(size_t(ind)), tail = all.subspan(size_t(ind));
  int64_t rows = count_of(head), columns = count_of(tail);
  MOKA_CHECK(rows == columns,
             "linalg.tensorinv: Expected self to satisfy the requirement prod(self.shape[ind:]) == "
             "prod(self.shape[:ind]), but got ",
             columns, " != ", rows);
  Dims sizes(tail);
  for (int64_t n : head) sizes.push_back(n);
  out[0] = Any(reshape(linalg_inv(reshape(a, Dims{rows, columns})), sizes));
}
void tensorsolve_run(const Any* in, Any* out) {
  Tensor a = in[0].tensor();
  const Tensor& b = in[1].tensor();
  if (!in[2].is_none()) {
    Dims order;
    uint64_t moved = 0;
    Dims last;
    for (int64_t d : in[2].ints()) {
      int w = wrap_dim(d, a.dim(), "linalg.tensorsolve");
      moved |= uint64_t(1) << w;
      last.push_back(w);
    }
    for (int d = 0; d < a.dim(); d++)
      if (!(moved >> d & 1)) order.push_back(d);
    for (int64_t d : last) order.push_back(d);
    a = permute(a, order);
  }
  MOKA_CHECK(a.dim() >= b.dim(), "linalg.tensorsolve: A has fewer dimensions (", a.dim(), ") than B (",
             b.dim(), ")");
  std::span<const int64_t> tail = a.sizes().subspan(size_t(b.dim()));
  int64_t n = count_of(tail);
  MOKA_CHECK(n == b.numel() && a.numel() == n * n,
             "linalg.tensorsolve: Expected self to satisfy the requirement "
             "prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), but got ",
             n, " != ", b.numel());
  Dims sizes(tail);
  out[0] = Any(reshape(linalg_solve(reshape(a, Dims{b.numel(), n}), reshape(b, Dims{b.numel()})), sizes));
}

void vander_run(const Any* in, Any* out) {
  Tensor x = in[0].tensor();
  if (x.dtype() == DType::Bool) x = to(x, DType::I64);
  int64_t n = !in[1].is_none() ? in[1].to_int() : x.dim() ? x.size(-1) : 1;
  MOKA_CHECK(n > (in[1].is_none() ? -1 : 1), "linalg.vander: N must be greater than 1.");
  if (is_integral(x.dtype())) x = to(x, DType::I64);
  Dims sizes(x.sizes());
  sizes.push_back(std::max<int64_t>(n - 1, 0));
  const Tensor rest = cumprod(expand(unsqueeze(x, -1), sizes), -1);
  out[0] = Any(n ? concat(std::vector<Tensor>{unsqueeze(ones_like(x), -1), rest}, -1) : rest);
}

constexpr auto no_format = [] { return none("ONNX has no operator for it"); };
constexpr auto no_netdef = [] { return none("Caffe2 has no operator for it"); };
}  // namespace

constinit const Op linalg_pinv_op{
    .schema =
        "linalg_pinv(Tensor input, *, Operand? atol=None, Operand? rtol=None, bool hermitian=False) -> "
        "Tensor",
    .doc = "The pseudo-inverse: singular values not above max(atol, rtol * the largest) count as zero.",
    .method = "function",
    .body = eager_body([](const Any* in, Any* out) { pinv_run(in[0], in[1], in[2], in[3].to_bool(), out); }),
    .derivative = {wrt(
        "input", [](auto dy, auto input, auto, auto, auto, auto y) { return pinv_backward(dy, y, input); })},
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3), shape(2, 4, 3), shape(0, 3).no_gradient()},
};
constinit const Op linalg_pinv_rtol_op{
    .schema = "linalg_pinv.rcond(Tensor input, Operand rcond, bool hermitian=False) -> Tensor",
    .doc =
        "The pseudo-inverse with NumPy's argument: singular values not above rcond * the largest count as "
        "zero.",
    .method = "function",
    .body =
        eager_body([](const Any* in, Any* out) { pinv_run(in[0], Any(0.0), in[1], in[2].to_bool(), out); }),
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto, auto, auto y) { return pinv_backward(dy, y, input); })},
    .onnx = no_format(),
    .netdef = no_netdef(),
    .samples = {shape(3, 3).with("rcond", 1e-12), shape(2, 4, 3).with("rcond", 1e-12)},
};
constinit const Op pinverse_op{
    .schema = "pinverse(Tensor input, float rcond=1e-15) -> Tensor",
    .doc = "The same as linalg.pinv.",
    .body = body([](auto input, auto rcond) { return linalg_pinv_rtol(input, rcond); }),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3), shape(2, 4, 3)},
};
constinit const Op linalg_matrix_rank_op{
    .schema =
        "linalg_matrix_rank(Tensor input, *, Operand? atol=None, Operand? rtol=None, bool hermitian=False) "
        "-> Tensor",
    .doc = "The number of singular values above max(atol, rtol * the largest).",
    .method = "function",
    .body = eager_body([](const Any* in, Any* out) { rank_run(in[0], in[1], in[2], in[3].to_bool(), out); }),
    .derivative = none("integers"),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3), shape(2, 4, 3)},
};
constinit const Op linalg_matrix_rank_tolerances_op{
    .schema = "linalg_matrix_rank.tol(Tensor input, Operand tol, bool hermitian=False) -> Tensor",
    .doc = "The number of singular values above tol.",
    .method = "function",
    .body =
        eager_body([](const Any* in, Any* out) { rank_run(in[0], in[1], Any(0.0), in[2].to_bool(), out); }),
    .derivative = none("integers"),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .samples = {shape(3, 3).with("tol", 0.5), shape(2, 4, 3).with("tol", 1e-3)},
};
#define MOKA_TWICE(name, text, alias, arguments, doc_text, run, ...)                           \
  constinit const Op name##_op{.schema = #name arguments,                                      \
                               .doc = doc_text,                                                \
                               .method = "function",                                           \
                               .body = eager_body(run),                                        \
                               .onnx = no_format(),                                            \
                               .netdef = no_netdef(),                                          \
                               __VA_ARGS__};                                                   \
  constinit const Op alias##_op {                                                              \
    .schema = #alias arguments, .doc = doc_text, .body = eager_body(run), .onnx = no_format(), \
    .netdef = no_netdef(), __VA_ARGS__                                                         \
  }
MOKA_TWICE(linalg_matrix_power, "", matrix_power, "(Tensor input, int n) -> Tensor",
           "The n-th power of square matrices; negative powers go through the inverse.", matrix_power_run,
           .samples = {shape(3, 3).with("n", 3), shape(2, 2, 2).with("n", 0), shape(3, 3).with("n", -2)});
MOKA_TWICE(linalg_matrix_exp, "", matrix_exp, "(Tensor input) -> Tensor",
           "The exponential of square matrices.", matrix_exp_run,
           .samples = {shape(3, 3), shape(2, 2, 2), shape(0, 0).no_gradient()});
constinit const Op linalg_cond_op{
    .schema = "linalg_cond(Tensor input, Any? p=None) -> Tensor",
    .doc =
        "Condition numbers: norm times norm of the inverse; with p None or 2 the ratio of singular values.",
    .method = "function",
    .body = eager_body(cond_run),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3), shape(2, 3, 3).with("p", 1)},
};
constinit const Op linalg_tensorinv_op{
    .schema = "linalg_tensorinv(Tensor input, int ind=2) -> Tensor",
    .doc = "The inverse of input as a linear map from its last dimensions to its first `ind`.",
    .method = "function",
    .body = eager_body(tensorinv_run),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(2, 2, 4).with("ind", 2), shape(4, 2, 2).with("ind", 1)},
};
constinit const Op linalg_tensorsolve_op{
    .schema = "linalg_tensorsolve(Tensor input, Tensor other, int[]? dims=None) -> Tensor",
    .doc = "X with tensordot(input, X, X.ndim) = other; `dims` are moved to the end of input before.",
    .method = "function",
    .body = eager_body(tensorsolve_run),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shapes({2, 2, 4}, {2, 2}), shapes({3, 3}, {3})},
};
constinit const Op linalg_vander_op{
    .schema = "linalg_vander(Tensor x, *, int? N=None) -> Tensor",
    .doc = "Powers x^0, x^1, ... x^(N-1) in a further last dimension.",
    .method = "function",
    .body = eager_body(vander_run),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .samples = {shape(3), shape(2, 3).with("N", 2)},
};

}  // namespace moka::ops
