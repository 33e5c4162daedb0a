// Products of vectors and matrices that are matmul with other shapes.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/contraction/contraction.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/indexing/indexing.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/linear/linear.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/tensor/scalar_name.h"

namespace moka::ops {

namespace {
void need_rank(const Tensor& t, int rank, std::string_view op, std::string_view name) {
  MOKA_CHECK(t.dim() == rank, op, ": ", name, " must have ", rank, " dimension", rank == 1 ? "" : "s",
             ", got shape ", t.sizes());
}
void same_type(const Tensor& a, const Tensor& b, std::string_view op) {
  MOKA_CHECK(a.dtype() == b.dtype(), op, ": expected both vectors to have same dtype, but found ",
             scalar_name(a.dtype()), " and ", scalar_name(b.dtype()), "; convert one of them");
}
Tensor dot_of(const Tensor& a, const Tensor& b, std::string_view op) {
  need_rank(a, 1, op, "input");
  need_rank(b, 1, op, "the other tensor");
  same_type(a, b, op);
  MOKA_CHECK(a.size(0) == b.size(0), op, ": both tensors must have the same number of elements, got ",
             a.size(0), " and ", b.size(0));
  return matmul(a, b);
}
void dot_run(const Any* in, Any* out) { out[0] = Any(dot_of(in[0].tensor(), in[1].tensor(), "dot")); }
void vdot_run(const Any* in, Any* out) { out[0] = Any(dot_of(conj(in[0].tensor()), in[1].tensor(), "vdot")); }
void mv_run(const Any* in, Any* out) {
  need_rank(in[0].tensor(), 2, "mv", "input");
  need_rank(in[1].tensor(), 1, "mv", "vec");
  out[0] = Any(matmul(in[0].tensor(), in[1].tensor()));
}
void vecdot_run(const Any* in, Any* out) {
  const Tensor &x = in[0].tensor(), &y = in[1].tensor();
  MOKA_CHECK(is_floating(x.dtype()) || is_complex(x.dtype()),
             "linalg.vecdot: Expected a floating point or complex "
             "tensor as input. Got ",
             x.dtype());
  same_type(x, y, "linalg.vecdot");
  out[0] = Any(sum(conj(x) * y, Dims{in[2].to_int()}));
}
void inner_run(const Any* in, Any* out) {
  const Tensor &a = in[0].tensor(), &b = in[1].tensor();
  if (a.dim() == 0 || b.dim() == 0) {
    out[0] = Any(a * b);
    return;
  }
  MOKA_CHECK(a.size(-1) == b.size(-1),
             "inner() the last dimension must match on both input tensors but got shapes ", a.sizes(),
             " and ", b.sizes());
  out[0] = Any(tensordot(a, b, Dims{-1}, Dims{-1}));
}
void outer_run(const Any* in, Any* out) {
  const Tensor &a = in[0].tensor(), &b = in[1].tensor();
  need_rank(a, 1, "outer", "input");
  need_rank(b, 1, "outer", "vec2");
  out[0] = Any(unsqueeze(a, -1) * b);
}

// beta * input + alpha * product, where a beta of 0 forgets input, whatever it holds.
Tensor added(const Any& input, const Tensor& product, const Any& given_beta, const Any& given_alpha,
             std::string_view op) {
  const Tensor& x = input.tensor();
  // Numbers take the type of the tensors: fractions are cut off among integers.
  auto typed = [&](const Any& v) {
    return is_integral(x.dtype()) && v.tag() == Tag::Float ? Any(static_cast<int64_t>(v.to_double())) : v;
  };
  Any beta = typed(given_beta), alpha = typed(given_alpha);
  same_type(x, product, op);
  Dims shape = broadcast_shape(x.sizes(), product.sizes(), op);
  MOKA_CHECK(std::equal(shape.begin(), shape.end(), product.sizes().begin(), product.sizes().end()), op,
             ": input of shape ", x.sizes(), " does not expand to the product's shape ", product.sizes());
  auto is = [](const Any& v, double wanted) { return v.arg().is_number() && v.to_double() == wanted; };
  Tensor scaled = is(alpha, 1) ? product : mul(product, alpha).tensor();
  if (is(beta, 0)) return scaled;
  return add(is(beta, 1) ? x : mul(x, beta).tensor(), scaled);
}
void addmv_run(const Any* in, Any* out) {
  need_rank(in[1].tensor(), 2, "addmv", "mat");
  need_rank(in[2].tensor(), 1, "addmv", "vec");
  out[0] = Any(added(in[0], matmul(in[1].tensor(), in[2].tensor()), in[3], in[4], "addmv"));
}
void addr_run(const Any* in, Any* out) {
  const Tensor &a = in[1].tensor(), &b = in[2].tensor();
  need_rank(a, 1, "addr", "vec1");
  need_rank(b, 1, "addr", "vec2");
  Tensor product = unsqueeze(a, -1) * b;
  const Tensor& x = in[0].tensor();
  DType common = promote(x.dtype(), product.dtype());
  const auto check = [&](const Any& factor, const char* argument) {
    MOKA_CHECK(factor.tag() != Tag::Bool || common == DType::Bool, "addr: Boolean ", argument,
               " only supported for Boolean results.");
    MOKA_CHECK(factor.tag() != Tag::Float || !(is_integral(common) || common == DType::Bool),
               "addr: For integral input tensors, argument ", argument,
               " must not be a floating point number.");
  };
  check(in[3], "beta");
  check(in[4], "alpha");
  Tensor result = added(Any(to(x, common)), to(product, common), in[3], in[4], "addr");
  out[0] = Any(to(result, common));
}
void check_batches(const Any& a, const Any& b, std::string_view op) {
  need_rank(a.tensor(), 3, op, "batch1");
  need_rank(b.tensor(), 3, op, "batch2");
}
void addbmm_run(const Any* in, Any* out) {
  check_batches(in[1], in[2], "addbmm");
  const Tensor &a = in[1].tensor(), &b = in[2].tensor();
  MOKA_CHECK(a.size(0) == b.size(0) && a.size(2) == b.size(1), "addbmm: batch1 of shape ", a.sizes(),
             " does not fit batch2 of shape ", b.sizes());
  Tensor left = reshape(permute(a, Dims{1, 0, 2}), Dims{a.size(1), a.size(0) * a.size(2)});
  Tensor right = reshape(b, Dims{b.size(0) * b.size(1), b.size(2)});
  out[0] = Any(added(in[0], mm(left, right), in[3], in[4], "addbmm"));
}
void baddbmm_run(const Any* in, Any* out) {
  check_batches(in[1], in[2], "baddbmm");
  out[0] = Any(added(in[0], bmm(in[1].tensor(), in[2].tensor()), in[3], in[4], "baddbmm"));
}

void kron_run(const Any* in, Any* out) {
  Tensor a = in[0].tensor(), b = in[1].tensor();
  int rank = std::max(a.dim(), b.dim());
  Dims left, right, sizes;
  for (int d = 0; d < rank; d++) {
    int64_t m = d < rank - a.dim() ? 1 : a.size(d - (rank - a.dim())),
            n = d < rank - b.dim() ? 1 : b.size(d - (rank - b.dim()));
    left.push_back(m), left.push_back(1);
    right.push_back(1), right.push_back(n);
    sizes.push_back(m * n);
  }
  out[0] = Any(reshape(reshape(a, left) * reshape(b, right), sizes));
}

constexpr int64_t few_elements = 1 << 15;  // up to here calls cost more than passes over memory
Tensor cross_of(const Tensor& a, const Tensor& b, int64_t dim, std::string_view op) {
  MOKA_CHECK(a.dim() == b.dim(), op, ": inputs must have the same number of dimensions, got shapes ",
             a.sizes(), " and ", b.sizes());
  int d = wrap_dim(dim, a.dim(), op);
  MOKA_CHECK(a.size(d) == 3 && b.size(d) == 3, op, ": inputs dimension ", dim, " must have length 3. Got ",
             a.size(d), " and ", b.size(d));
  if (std::max(a.numel(), b.numel()) > few_elements) {
    const auto part = [d](const Tensor& t, int64_t i) { return select(t, d, i); };
    const auto entry = [&](int i, int j) { return part(a, i) * part(b, j) - part(a, j) * part(b, i); };
    const std::vector<Tensor> parts{entry(1, 2), entry(2, 0), entry(0, 1)};
    return stack(std::span<const Tensor>(parts), d);
  }
  // Fewer calls: with t' = (t1, t2, t0), a * b' - a' * b holds the entries 2, 0, 1.
  Tensor next = new_tensor(Dims{3}, DType::I64);
  for (int64_t i = 0; i < 3; i++) next.data<int64_t>()[i] = (i + 1) % 3;
  const auto turned = [&](const Tensor& t) { return index_select(t, d, next); };
  return turned(a * turned(b) - turned(a) * b);
}
void linalg_cross_run(const Any* in, Any* out) {
  out[0] = Any(cross_of(in[0].tensor(), in[1].tensor(), in[2].to_int(), "linalg.cross"));
}
void cross_run(const Any* in, Any* out) {
  const Tensor &a = in[0].tensor(), &b = in[1].tensor();
  int64_t dim = in[2].is_none() ? -1 : in[2].to_int();
  if (in[2].is_none()) {  // the first dimension of size 3
    int found = -1;
    for (int d = a.dim(); d-- > 0;)
      if (a.size(d) == 3) found = d;
    MOKA_CHECK(found >= 0, "cross: no dimension of size 3 in input, shape ", a.sizes());
    dim = found;
  }
  out[0] = Any(cross_of(a, b, dim, "cross"));
}

constexpr auto netdef_none = [] { return none("written by its parts"); };
}  // namespace

#define MOKA_CONTRACTION_AS(name, arguments, kind, rule, text, run, onnx_map, ...)                     \
  constinit const Op name##_op {                                                                       \
    .schema = #name arguments, .doc = text, .method = kind, .body = eager_body(run), .onnx = onnx_map, \
    .netdef = netdef_none(), .autocast = Autocast::rule, .samples = {__VA_ARGS__},                     \
  }
#define MOKA_CONTRACTION(name, arguments, ...) MOKA_CONTRACTION_AS(name, arguments, "", None, __VA_ARGS__)
#define MOKA_PRODUCT(name, arguments, ...) MOKA_CONTRACTION_AS(name, arguments, "", Lower, __VA_ARGS__)
#define MOKA_CONTRACTION_FUNCTION(name, arguments, ...) \
  MOKA_CONTRACTION_AS(name, arguments, "function", None, __VA_ARGS__)
MOKA_CONTRACTION(dot, "(Tensor input, Tensor tensor) -> Tensor", "The sum of products of two vectors.",
                 dot_run, "MatMul(input, tensor)", shapes({4}, {4}), shapes({0}, {0}));
MOKA_CONTRACTION(vdot, "(Tensor input, Tensor other) -> Tensor",
                 "The sum of products of two vectors, the first one conjugated.", vdot_run,
                 none("ONNX has no complex operators besides DFT's; of real vectors it is dot"),
                 shapes({4}, {4}), shapes({0}, {0}));
MOKA_CONTRACTION_FUNCTION(linalg_vecdot, "(Tensor x, Tensor y, *, int dim=-1) -> Tensor",
                          "Sums of products along a dimension, x conjugated.", vecdot_run,
                          none("written by its parts"), shapes({3, 4}, {3, 4}), shapes({3, 4}, {4}),
                          shapes({2, 3}, {2, 3}).with("dim", 0));
MOKA_CONTRACTION(inner, "(Tensor input, Tensor other) -> Tensor",
                 "Sums of products along the last dimensions.", inner_run, none("written by its parts"),
                 shapes({4}, {4}), shapes({2, 3}, {4, 3}), shapes({}, {3}));
MOKA_CONTRACTION(outer, "(Tensor input, Tensor vec2) -> Tensor", "All products of elements of two vectors.",
                 outer_run, none("written by its parts"), shapes({3}, {4}), shapes({0}, {2}));
MOKA_CONTRACTION(ger, "(Tensor input, Tensor vec2) -> Tensor", "The same as outer.", outer_run,
                 none("written by its parts"), shapes({3}, {4}), shapes({0}, {2}));
MOKA_CONTRACTION(mv, "(Tensor input, Tensor vec) -> Tensor", "A matrix times a vector.", mv_run,
                 "MatMul(input, vec)", shapes({3, 4}, {4}), shapes({2, 0}, {0}));
MOKA_CONTRACTION(addmv, "(Tensor input, Tensor mat, Tensor vec, *, Number beta=1, Number alpha=1) -> Tensor",
                 "beta * input + alpha * (mat vec).", addmv_run, none("written by its parts"),
                 shapes({3}, {3, 4}, {4}), shapes({1}, {3, 4}, {4}).with("beta", 0.5).with("alpha", 2.0));
MOKA_CONTRACTION(addr, "(Tensor input, Tensor vec1, Tensor vec2, *, Number beta=1, Number alpha=1) -> Tensor",
                 "beta * input + alpha * outer(vec1, vec2).", addr_run, none("written by its parts"),
                 shapes({3, 4}, {3}, {4}), shapes({}, {3}, {4}).with("beta", 0.5).with("alpha", 2.0));
MOKA_PRODUCT(addbmm,
             "(Tensor input, Tensor batch1, Tensor batch2, *, Number beta=1, Number alpha=1) -> Tensor",
             "beta * input + alpha * the sum of all products of the batches.", addbmm_run,
             none("written by its parts"), shapes({3, 5}, {2, 3, 4}, {2, 4, 5}),
             shapes({5}, {2, 3, 4}, {2, 4, 5}).with("beta", 0.5).with("alpha", 2.0));
MOKA_PRODUCT(baddbmm,
             "(Tensor input, Tensor batch1, Tensor batch2, *, Number beta=1, Number alpha=1) -> Tensor",
             "beta * input + alpha * bmm(batch1, batch2).", baddbmm_run, none("written by its parts"),
             shapes({2, 3, 5}, {2, 3, 4}, {2, 4, 5}),
             shapes({5}, {2, 3, 4}, {2, 4, 5}).with("beta", 0.5).with("alpha", 2.0));
MOKA_CONTRACTION(kron, "(Tensor input, Tensor other) -> Tensor",
                 "The Kronecker product: every element of input times all of other, laid out in blocks.",
                 kron_run, none("written by its parts"), shapes({2, 3}, {3, 2}), shapes({2}, {2, 2}),
                 shapes({}, {3}));
MOKA_CONTRACTION(cross, "(Tensor input, Tensor other, int? dim=None) -> Tensor",
                 "Cross products of vectors of three along dim, the first dimension of size 3 when None.",
                 cross_run, none("written by its parts"), shapes({2, 3}, {2, 3}), shapes({3, 2}, {3, 2}));
MOKA_CONTRACTION_FUNCTION(linalg_cross, "(Tensor input, Tensor other, *, int dim=-1) -> Tensor",
                          "Cross products of vectors of three along dim.", linalg_cross_run,
                          none("written by its parts"), shapes({2, 3}, {2, 3}),
                          shapes({3, 2}, {3, 1}).with("dim", 0));

}  // namespace moka::ops

MOKA_OP_TABLE(contraction, MOKA_CONTRACTION_OPS)
