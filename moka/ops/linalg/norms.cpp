// Norms of vectors and matrices.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/ops/complex/complex.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/linalg/linalg.h"
#include "moka/ops/linalg/tensors.h"
#include "moka/ops/reduction/kernels.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/tensor/meta.h"

namespace moka::ops {

namespace {
constexpr double infinity = __builtin_inf();

Dims dims_of(const Any& dim) {
  if (dim.is_none()) return {};
  if (dim.tag() == Tag::Int) return Dims{dim.to_int()};
  if (dim.tag() == Tag::List) return {};
  return Dims(dim.ints());
}
Tensor in_type(const Tensor& x, const Any& dtype, std::string_view op) {
  if (dtype.is_none()) {
    MOKA_CHECK(is_floating(x.dtype()) || is_complex(x.dtype()), op,
               ": Expected a floating point or complex tensor as input. Got ", x.dtype());
    return x;
  }
  DType to_type = dtype.dtype();
  MOKA_CHECK(is_floating(to_type) || is_complex(to_type), op,
             ": dtype should be floating point or complex, but got ", to_type);
  MOKA_CHECK(is_complex(to_type) || !is_complex(x.dtype()), op,
             ": dtype should be complex for complex inputs, but got ", to_type);
  MOKA_CHECK(promote(x.dtype(), to_type) == to_type, op, ": the dtype of the input (", x.dtype(),
             ") should be convertible without narrowing to the specified dtype (", to_type, ")");
  return to(x, to_type);
}

// Powers and their sums leave the range of 16 bits long before the norm does.
Tensor widened(const Tensor& t) {
  return is_floating(t.dtype()) && item_size(t.dtype()) < 4 ? Tensor(to(t, DType::F32)) : t;
}
void vector_norm_run(const Any* in, Any* out) {
  double p = in[1].to_double();
  Tensor x = in_type(in[0].tensor(), in[4], "linalg.vector_norm");
  const Any &dim = in[2], &keepdim = in[3];
  Dims dims = dims_of(dim);
  if (x.numel() == 0 && (p < 0 || p == infinity)) {
    bool all = dims.empty();
    for (int64_t d : dims) all = all || x.size(wrap_dim(d, x.dim(), "linalg.vector_norm")) == 0;
    MOKA_CHECK(!all, "linalg.vector_norm cannot compute the ", p,
               " norm on an empty tensor because the operation does not have an identity");
  }
  if (p == 2 && dims.empty() && x.is_contiguous() && x.has_storage() && !is_meta(x) && x.numel() > 0 &&
      !thread_layers.forced &&  // a trace has to see the parts
      (x.dtype() == DType::F32 || x.dtype() == DType::F64)) {
    Dims sizes = keepdim.to_bool() ? Dims(static_cast<size_t>(x.dim()), 1) : Dims();
    Tensor total = new_tensor(sizes, x.dtype());
    if (x.dtype() == DType::F32) sum_of_squares(x.numel(), x.data<float>(), total.data<float>());
    else sum_of_squares(x.numel(), x.data<double>(), total.data<double>());
    out[0] = Any(sqrt(total));
    return;
  }
  const DType type = x.dtype();
  x = widened(x);
  Any over = dims.empty() ? Any() : Any(dims);
  Tensor size = p == 2 && !is_complex(x.dtype()) ? x : Tensor(abs(x));
  if (p == infinity) out[0] = Any(dims.empty() ? amax(size, Dims{}, keepdim) : amax(size, over, keepdim));
  else if (p == -infinity)
    out[0] = Any(dims.empty() ? amin(size, Dims{}, keepdim) : amin(size, over, keepdim));
  else if (p == 0) out[0] = Any(to(sum(ne(size, 0), over, keepdim), size.dtype()));
  else if (p == 1) out[0] = Any(sum(size, over, keepdim));
  else if (p == 2) out[0] = Any(sqrt(sum(size * size, over, keepdim)));
  else out[0] = Any(pow(sum(pow(size, p), over, keepdim), 1 / p));
  if (x.dtype() != type) out[0] = Any(to(out[0].tensor(), type));
}

// dy / y^power, 0 where y is, in derivatives too.
Tensor over(const Tensor& dy, const Tensor& y, double power = 1) {
  Tensor zero = eq(y, 0), divisor = where(zero, 1, y);
  return where(zero, 0, dy / (power == 1 ? divisor : pow(divisor, power)));
}
// d|x|_p: x |x|^(p-2) / |x|^(p-1), 0 where the norm is 0, shared out among equal largest elements for infinity.
void vector_norm_backward_run(const Any* in, Any* out) {
  Tensor dy = widened(in[0].tensor()), x = widened(in[1].tensor()), y = widened(in[2].tensor());
  double p = in[3].to_double();
  Dims dims = dims_of(in[4]);
  if (!in[5].to_bool() && x.dim()) {
    if (dims.empty())
      for (int d = 0; d < x.dim(); d++) dims.push_back(d);
    uint64_t gone = 0;
    for (int64_t d : dims) gone |= uint64_t(1) << wrap_dim(d, x.dim(), "linalg.vector_norm");
    for (int d = 0; d < x.dim(); d++)
      if (gone >> d & 1) dy = unsqueeze(dy, d), y = unsqueeze(y, d);
  }
  if (p == 0) {
    out[0] = Any(zeros_like(x));
  } else if (p == 1) {
    out[0] = Any(sgn(x) * dy);
  } else if (std::isinf(p)) {
    Tensor size = abs(x), top = logical_or(eq(size, y), logical_and(isnan(size), isnan(y)));
    Tensor ties = sum(top, dims.empty() ? Any() : Any(dims), true).tensor();
    out[0] = Any(sgn(x) * where(top, dy / ties, 0));
  } else if (p == 2) {
    out[0] = Any(x * over(dy, y));
  } else if (p < 2) {
    Tensor size = abs(x), zero = eq(size, 0);
    Tensor slope = where(zero, 0, pow(where(zero, 1, size), p - 1));
    out[0] = Any(sgn(x) * slope * over(dy, y, p - 1));
  } else {
    out[0] = Any(sgn(x) * pow(abs(x), p - 1) * over(dy, y, p - 1));
  }
  if (x.dtype() != in[1].tensor().dtype()) out[0] = Any(to(out[0].tensor(), in[1].tensor().dtype()));
}

Tensor matrix_norm(const Any& input, const Any& ord, const Any& dim, bool keepdim, const Any& dtype) {
  const Tensor& a = input.tensor();
  constexpr std::string_view op = "linalg.matrix_norm";
  Dims dims = dim.is_none() ? Dims{-2, -1} : dims_of(dim);
  MOKA_CHECK(dims.size() == 2, op, ": dim must be a 2-tuple, got ", dims);
  MOKA_CHECK(a.dim() >= 2, op, ": The input tensor A must have at least 2 dimensions.");
  int r = wrap_dim(dims[0], a.dim(), op), c = wrap_dim(dims[1], a.dim(), op);
  MOKA_CHECK(r != c, op, ": dims must be different. Got (", dims[0], ", ", dims[1], ")");
  std::string_view name = ord.tag() == Tag::String ? ord.string() : ord.is_none() ? "fro" : "";
  MOKA_CHECK(name.empty() || name == "fro" || name == "nuc", op, ": Order ", name, " not supported.");
  if (name == "fro") return linalg_vector_norm(a, 2.0, Dims{r, c}, keepdim, dtype).tensor();
  double p = name.empty() ? ord.to_double() : 0;
  MOKA_CHECK(name == "nuc" || std::abs(p) == 1 || std::abs(p) == 2 || std::isinf(p), op, ": Order ", ord,
             " not supported.");
  Tensor x = in_type(a, dtype, op);
  if (name == "nuc" || std::abs(p) == 2) {
    Dims order;
    for (int d = 0; d < a.dim(); d++)
      if (d != r && d != c) order.push_back(d);
    order.push_back(r);
    order.push_back(c);
    Tensor s = linalg_svdvals(permute(x, order));
    Tensor result = name == "nuc" ? sum(s, Dims{-1}) : p > 0 ? amax(s, Dims{-1}) : amin(s, Dims{-1});
    if (keepdim) result = unsqueeze(unsqueeze(result, std::min(r, c)), std::max(r, c));
    return result;
  }
  bool by_rows = std::isinf(p);
  int first = by_rows ? c : r, then = by_rows ? r : c;
  Tensor sums = linalg_vector_norm(x, 1.0, Dims{first}, keepdim);
  if (!keepdim && first < then) then--;
  return p > 0 ? amax(sums, Dims{then}, keepdim) : amin(sums, Dims{then}, keepdim);
}
Tensor vector_norm(const Any& input, const Any& p, const Any& dim, bool keepdim, const Any& dtype) {
  return linalg_vector_norm(input, p, dim, keepdim, dtype).tensor();
}

void linalg_norm_run(const Any* in, Any* out) {
  const Tensor& x = in[0].tensor();
  const Any &ord = in[1], &dim = in[2], &dtype = in[4];
  bool keepdim = in[3].to_bool();
  size_t dims = dims_of(dim).size();
  if (ord.is_none()) {
    out[0] = Any(vector_norm(in[0], Any(2.0), dim, keepdim, dtype));
    return;
  }
  MOKA_CHECK(dim.is_none() ? x.dim() == 1 || x.dim() == 2 : dims == 1 || dims == 2,
             "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D, and dim must name "
             "one or two "
             "dimensions; got a tensor of shape ",
             x.sizes(), " and dim ", dim);
  bool matrix = dim.is_none() ? x.dim() == 2 : dims == 2;
  MOKA_CHECK(matrix || ord.tag() != Tag::String,
             "linalg.norm: the input tensor A must have at least 2 dimensions for order ", ord,
             ", and dim must name two of them");
  out[0] = Any(matrix ? matrix_norm(in[0], ord, dim, keepdim, dtype)
                      : vector_norm(in[0], ord, dim, keepdim, dtype));
}
void norm_run(const Any* in, Any* out) {
  const Any& p = in[1];
  if (p.tag() == Tag::String && p.string() == "nuc") {
    out[0] = Any(matrix_norm(in[0], p, in[2], in[3].to_bool(), in[4]));
    return;
  }
  MOKA_CHECK(p.tag() != Tag::String || p.string() == "fro", "norm: p must be a number, 'fro' or 'nuc', got ",
             p);
  Any order = p.tag() == Tag::String || p.is_none() ? Any(2.0) : p;
  out[0] = Any(vector_norm(in[0], order, in[2], in[3].to_bool(), in[4]));
}
}  // namespace

constinit const Op linalg_vector_norm_op{
    .schema =
        "linalg_vector_norm(Tensor x, Number ord=2, int[]? dim=None, bool keepdim=False, *, DType? "
        "dtype=None) -> "
        "Tensor",
    .doc =
        "(sum |x|^ord)^(1/ord) over the dimensions `dim`, all when None; infinity gives the largest, 0 "
        "counts.",
    .method = "function",
    .body = eager_body(vector_norm_run),
    .derivative = {wrt("x", [](auto dy, auto x, auto ord, auto dim, auto keepdim, auto,
                               auto y) { return vector_norm_backward(dy, x, y, ord, dim, keepdim); })},
    .onnx = none("written by norm as ReduceL1 or ReduceL2"),
    .netdef = none("Caffe2's LpNorm knows whole tensors and p 1 and 2 only"),
    .samples = {shape(3, 4), shape(2, 3, 4).with("ord", 3.0).with("dim", {1}),
                shape(2, 3).with("ord", 1).with("dim", {0, 1}).with("keepdim", true), shape(0)},
};
constinit const Op vector_norm_backward_op{
    .schema =
        "vector_norm_backward(Tensor grad, Tensor x, Tensor result, Number ord, int[]? dim, bool keepdim) -> "
        "Tensor",
    .doc = "Gradient of linalg.vector_norm.",
    .method = "none",
    .body = eager_body(vector_norm_backward_run),
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
};
constinit const Op linalg_matrix_norm_op{
    .schema =
        "linalg_matrix_norm(Tensor A, Any? ord=None, int[]? dim=None, bool keepdim=False, *, DType? "
        "dtype=None) -> "
        "Tensor",
    .doc = "Norms of matrices over two dimensions: 'fro' (the default), 'nuc', 1, -1, 2, -2, inf, -inf.",
    .method = "function",
    .body = eager_body([](const Any* in, Any* out) {
      out[0] = Any(matrix_norm(in[0], in[1], in[2], in[3].to_bool(), in[4]));
    }),
    .onnx = none("written by its parts"),
    .netdef = none("written by its parts"),
    .samples = {shape(3, 4), shape(2, 3, 4).with("ord", "nuc"), shape(3, 4).with("ord", 1)},
};
constinit const Op linalg_norm_op{
    .schema =
        "linalg_norm(Tensor A, Any? ord=None, int[]? dim=None, bool keepdim=False, *, DType? dtype=None) -> "
        "Tensor",
    .doc = "A vector norm over one dimension or all, or a matrix norm over two.",
    .method = "function",
    .body = eager_body(linalg_norm_run),
    .onnx = none("written by its parts"),
    .netdef = none("written by its parts"),
    .samples = {shape(3, 4), shape(4).with("ord", 3.0), shape(3, 4).with("ord", "nuc")},
};
constinit const Op norm_op{
    .schema =
        "norm(Tensor input, Any? p=None, int[]? dim=None, bool keepdim=False, *, DType? dtype=None) -> "
        "Tensor",
    .doc =
        "(sum |input|^p)^(1/p) over the dimensions `dim`, all when None; p is 2 unless given, 'nuc' the sum "
        "of "
        "singular values.",
    .body = eager_body(norm_run),
    .onnx = none("written by its parts"),
    .netdef = none("written by its parts"),
    .samples = {shape(3, 4), shape(2, 3, 4).with("p", 1).with("dim", {1}), shape(3, 4).with("p", "nuc")},
};

}  // namespace moka::ops
