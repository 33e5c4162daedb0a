// Matrix products with the shapes of PyTorch: vectors, matrices, and stacks of matrices that broadcast.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/conj.h"
#include "moka/ops/define.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/linear/linear.h"
#include "moka/ops/linear/products.h"
#include "moka/ops/parts.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
// The shapes of one matmul, vectors read as matrices of one row or column.
struct MatmulShape {
  Dims batch, result;
  int64_t m, n, k;
};

MatmulShape matmul_shape(std::string_view op, std::span<const int64_t> a, std::span<const int64_t> b) {
  MOKA_CHECK(!a.empty() && !b.empty(), op, ": both operands must have at least 1 dimension, got shapes ", a,
             " and ", b);
  MatmulShape s;
  s.m = a.size() > 1 ? a[a.size() - 2] : 1;
  s.k = a.back();
  s.n = b.size() > 1 ? b.back() : 1;
  int64_t other_k = b.size() > 1 ? b[b.size() - 2] : b[0];
  if (s.k != other_k && a.size() == 2 && b.size() == 2)
    fail(op, ": mat1 and mat2 shapes cannot be multiplied (", s.m, "x", s.k, " and ", other_k, "x", s.n,
         "): the columns of the first must be as many as the rows of the second");
  MOKA_CHECK(s.k == other_k, op, ": size mismatch: the last dimension of input (", s.k, ", shape ", a,
             ") must equal the ", b.size() > 1 ? "second to last dimension" : "size", " of other (", other_k,
             ", shape ", b, ")");
  if (a.size() > 2 || b.size() > 2) try {
      s.batch = broadcast_shape(a.size() > 2 ? a.first(a.size() - 2) : a.first(0),
                                b.size() > 2 ? b.first(b.size() - 2) : b.first(0), op);
    } catch (Error& e) {
      e.add_context(cat("these are the batch dimensions of ", a, " and ", b));
      throw;
    }
  s.result = s.batch;
  if (a.size() > 1) s.result.push_back(s.m);
  if (b.size() > 1) s.result.push_back(s.n);
  return s;
}

void product_kernel(Frame& f, const MatmulShape& s) {
  Tensor a = in_kernel_dtype(f.tensor(0)), b = in_kernel_dtype(f.tensor(1));
  KernelOutput out(f, 0);
  Matrices result;
  result.data = out.tensor().raw_data();
  result.row = s.n;
  result.column = 1;
  Dims strides = contiguous_strides(s.batch);
  for (size_t i = 0; i < strides.size(); i++)
    result.batch_strides.push_back(s.batch[i] == 1 ? 0 : strides[i] * s.m * s.n);
  if (out.tensor().numel())
    batched_product(out.tensor().dtype(), s.batch, s.m, s.n, s.k, as_matrices(a, s.batch.size(), false),
                    as_matrices(b, s.batch.size(), true), result);
  out.finish();
}

void matmul_shape_of(Frame& f) {
  check_factors(f, 0, 1);
  exact_output(f, 0, matmul_shape(f.name(), f.tensor(0).sizes(), f.tensor(1).sizes()).result,
               f.tensor(0).dtype());
}
void matmul_kernel(Frame& f) {
  product_kernel(f, matmul_shape(f.name(), f.tensor(0).sizes(), f.tensor(1).sizes()));
}

// Both gradients: which = 0 gives that of input from (grad, other), 1 that of other from (grad, input).
MatmulShape gradient_shape(const Frame& f, int which, const Dims& sizes) {
  std::span<const int64_t> known = f.tensor(1).sizes();
  MatmulShape s = which == 0 ? matmul_shape(f.name(), sizes, known) : matmul_shape(f.name(), known, sizes);
  std::span<const int64_t> grad = f.tensor(0).sizes();
  MOKA_CHECK(std::equal(grad.begin(), grad.end(), s.result.begin(), s.result.end()), f.name(),
             ": grad must have the shape ", s.result, " of the product, got ", grad);
  return s;
}
template <int Which>
void matmul_backward_shape(Frame& f) {
  check_factors(f, 0, 1);
  Dims sizes = ints_argument(f, 2);
  checked_numel(sizes, "matmul");
  gradient_shape(f, Which, sizes);
  f.output(0, sizes, f.tensor(0).dtype());
}
template <int Which>
void matmul_backward_kernel(Frame& f) {
  Dims sizes = ints_argument(f, 2);
  MatmulShape s = gradient_shape(f, Which, sizes);
  Tensor grad = as_contiguous(in_kernel_dtype(f.tensor(0))), known = in_kernel_dtype(f.tensor(1));
  KernelOutput out(f, 0);
  size_t dims = s.batch.size();
  Matrices dy;
  dy.data = grad.raw_data();
  dy.row = s.n, dy.column = 1;
  Dims strides = contiguous_strides(s.batch);
  for (size_t i = 0; i < dims; i++) dy.batch_strides.push_back(s.batch[i] == 1 ? 0 : strides[i] * s.m * s.n);
  Matrices result = as_matrices(out.tensor(), dims, Which == 1);
  if (out.tensor().numel()) {
    DType d = out.tensor().dtype();
    if (Which == 0)
      batched_product(d, s.batch, s.m, s.k, s.n, dy, transposed(as_matrices(known, dims, true)), result);
    else batched_product(d, s.batch, s.k, s.n, s.m, transposed(as_matrices(known, dims, false)), dy, result);
  }
  out.finish();
}

void need_rank(const Frame& f, int i, int rank) {
  MOKA_CHECK(tensor_argument(f, i).dim() == rank, f.name(), ": ", argument_name(f, i), " must have ", rank,
             " dimensions, got shape ", f.tensor(i).sizes(), "; matmul takes other ranks");
}
void mm_shape(Frame& f) {
  need_rank(f, 0, 2);
  need_rank(f, 1, 2);
  matmul_shape_of(f);
}
void bmm_shape(Frame& f) {
  need_rank(f, 0, 3);
  need_rank(f, 1, 3);
  MOKA_CHECK(f.tensor(0).size(0) == f.tensor(1).size(0), "bmm: input has ", f.tensor(0).size(0),
             " matrices (shape ", f.tensor(0).sizes(), ") but mat2 has ", f.tensor(1).size(0), " (shape ",
             f.tensor(1).sizes(), ")");
  matmul_shape_of(f);
}
}  // namespace

constinit const Op matmul_op{
    .schema = "matmul(Tensor input, Tensor other) -> Tensor",
    .doc =
        "Product of vectors, matrices or stacks of matrices: [..., m, k] with [..., k, n] gives [..., m, n]; "
        "the "
        "leading dimensions broadcast, a vector is a row on the left and a column on the right.",
    .shape = matmul_shape_of,
    .kernels = {KernelRow{.name = "gemm", .run = matmul_kernel}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto other) {
                         return matmul_backward_input(dy, conj(other), shape_of(input));
                       }),
                   wrt("other",
                       [](auto dy, auto input, auto other) {
                         return matmul_backward_other(dy, conj(input), shape_of(other));
                       })},
    .batch = batch_product,
    .onnx = "MatMul(input, other)",
    .netdef = "MatMul(input, other)",
    .autocast = Autocast::Lower,
    .samples = {shapes({3, 4}, {4, 5}), shapes({2, 1, 3, 4}, {5, 4, 2}), shapes({4}, {4}),
                shapes({2, 3, 4}, {4}), shapes({4}, {2, 4, 3}), shapes({2, 3, 4}, {4, 5}),
                shapes({3, 0}, {0, 2}), shapes({0, 3}, {3, 2})},
};

constinit const Op matmul_backward_input_op{
    .schema = "matmul_backward_input(Tensor grad, Tensor other, int[] sizes) -> Tensor",
    .doc = "Gradient of matmul(input, other) with respect to input, whose shape is `sizes`.",
    .method = "function",
    .shape = matmul_backward_shape<0>,
    .kernels = {KernelRow{.name = "gemm", .run = matmul_backward_kernel<0>}},
    .derivative = {wrt("grad", [](auto dy, auto, auto other) { return matmul(dy, conj(other)); }),
                   wrt("other",
                       [](auto dy, auto grad, auto other) {
                         return matmul_backward_other(conj(grad), dy, shape_of(other));
                       })},
    .onnx = none("a gradient: export the forward graph, or write it as MatMul"),
    .netdef = none("Caffe2's gradient of MatMul is MatMul"),
    .samples = {shapes({3, 5}, {4, 5}).with("sizes", {3, 4}),
                shapes({2, 3, 5}, {2, 4, 5}).with("sizes", {3, 4}), shapes({2}, {4, 2}).with("sizes", {4})},
};
constinit const Op matmul_backward_other_op{
    .schema = "matmul_backward_other(Tensor grad, Tensor input, int[] sizes) -> Tensor",
    .doc = "Gradient of matmul(input, other) with respect to other, whose shape is `sizes`.",
    .method = "function",
    .shape = matmul_backward_shape<1>,
    .kernels = {KernelRow{.name = "gemm", .run = matmul_backward_kernel<1>}},
    .derivative = {wrt("grad", [](auto dy, auto, auto input) { return matmul(conj(input), dy); }),
                   wrt("input",
                       [](auto dy, auto grad, auto input) {
                         return matmul_backward_input(conj(grad), dy, shape_of(input));
                       })},
    .onnx = none("a gradient: export the forward graph, or write it as MatMul"),
    .netdef = none("Caffe2's gradient of MatMul is MatMul"),
    .samples = {shapes({3, 5}, {3, 4}).with("sizes", {4, 5}),
                shapes({2, 3, 5}, {2, 3, 4}).with("sizes", {4, 5}), shapes({3}, {3, 4}).with("sizes", {4})},
};

constinit const Op mm_op{
    .schema = "mm(Tensor input, Tensor mat2) -> Tensor",
    .doc = "Product of two matrices.",
    .shape = mm_shape,
    .kernels = {KernelRow{.name = "gemm", .run = matmul_kernel}},
    .derivative = {wrt("input", [](auto dy, auto, auto mat2) { return mm(dy, t(conj(mat2))); }),
                   wrt("mat2", [](auto dy, auto input) { return mm(t(conj(input)), dy); })},
    .batch = batch_product,
    .onnx = "MatMul(input, mat2, =rank(input):2)",
    .netdef = "MatMul(input, mat2)",
    .autocast = Autocast::Lower,
    .samples = {shapes({3, 4}, {4, 5}), shapes({1, 1}, {1, 3}), shapes({2, 0}, {0, 3})},
};

constinit const Op bmm_op{
    .schema = "bmm(Tensor input, Tensor mat2) -> Tensor",
    .doc = "Products of equally many matrices: [b, m, k] with [b, k, n] gives [b, m, n].",
    .shape = bmm_shape,
    .kernels = {KernelRow{.name = "gemm", .run = matmul_kernel}},
    .derivative = {wrt("input",
                       [](auto dy, auto, auto mat2) { return bmm(dy, transpose(conj(mat2), 1, 2)); }),
                   wrt("mat2", [](auto dy, auto input) { return bmm(transpose(conj(input), 1, 2), dy); })},
    .batch = batch_product,
    .onnx = "MatMul(input, mat2, =rank(input):3)",
    .netdef = "BatchMatMul(input, mat2)",
    .autocast = Autocast::Lower,
    .samples = {shapes({2, 3, 4}, {2, 4, 5}), shapes({0, 3, 4}, {0, 4, 2})},
};

namespace {
// A beta of 0 forgets input, whatever it holds.
Tensor addmm_of(const Tensor& input, const Tensor& mat1, const Tensor& mat2, const Any& beta,
                const Any& alpha) {
  Tensor product = mul(mm(mat1, mat2), alpha).tensor();
  if (!beta.arg().is_number() || beta.to_double() != 0) return mul(input, beta).tensor() + product;
  MOKA_CHECK(broadcast_shape(input.sizes(), product.sizes(), "addmm") == Dims(product.sizes()),
             "addmm: input of shape ", input.sizes(), " does not expand to the product's shape ",
             product.sizes());
  return product;
}
constexpr Body addmm_body = [] {
  Body b = body([](auto input, auto mat1, auto mat2, auto beta, auto alpha) {
    return mul(input, beta) + mul(mm(mat1, mat2), alpha);
  });
  b.eager = parts<addmm_of>().eager;
  return b;
}();
}  // namespace

constinit const Op addmm_op{
    .schema = "addmm(Tensor input, Tensor mat1, Tensor mat2, *, Number beta=1, Number alpha=1) -> Tensor",
    .doc = "beta * input + alpha * (mat1 mat2); input broadcasts to the product's shape.",
    .body = addmm_body,
    .onnx = "Gemm(mat1, mat2, input, alpha=alpha, beta=beta, transA=0, transB=0)",
    .netdef = none("written as MatMul, Scale and Add"),
    .autocast = Autocast::Lower,
    .samples = {shapes({3, 5}, {3, 4}, {4, 5}),
                shapes({5}, {3, 4}, {4, 5}).with("beta", 0.5).with("alpha", 2.0)},
};

}  // namespace moka::ops

MOKA_OP_TABLE(linear, MOKA_LINEAR_OPS)
