// Operators about complex numbers themselves: conjugates, parts, views, and making them of parts.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <complex>

#include "moka/base/checked.h"
#include "moka/base/parallel.h"
#include "moka/ops/complex/complex.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/tensor/complex_half.h"
#include "moka/tensor/half.h"
#include "moka/tensor/meta.h"
#include "moka/tensor/scalar_name.h"

namespace moka::ops {

namespace {
// The same memory seen as another element type; sizes, strides and offset count its elements.
Tensor retyped(const Tensor& base, DType dtype, const Dims& sizes, const Dims& strides, int64_t offset) {
  Tensor out = shape_only(sizes, dtype);
  TensorImpl* t = out.impl();
  for (size_t i = 0; i < sizes.size(); i++) t->strides[i] = strides[i];
  t->offset = offset;
  t->inference = base.impl()->inference;
  if ((t->counter = base.impl()->counter)) add_ref(t->counter);
  if (Storage* s = base.impl()->storage) {
    add_ref(s);
    t->storage = s;
  }
  return out;
}
void set_output(Frame& f, Tensor t) {
  f.outs.resize(1);
  f.outs[0] = std::move(t);
}
Tensor part_view(const Tensor& z, int64_t which) {
  Dims strides(z.strides());
  for (int64_t& s : strides) s = checked_mul(s, 2, "real");
  return retyped(z, part_type(z.dtype()), Dims(z.sizes()), strides, 2 * z.impl()->offset + which);
}
void real_view(Frame& f) {
  const Tensor& z = tensor_argument(f, 0);
  set_output(f, is_complex(z.dtype()) ? part_view(z, 0) : z);
}
void imag_view(Frame& f) {
  const Tensor& z = tensor_argument(f, 0);
  MOKA_CHECK(is_complex(z.dtype()), "imag: is not implemented for tensors with non-complex dtypes, got ",
             z.dtype());
  set_output(f, part_view(z, 1));
}
void as_real_view(Frame& f) {
  const Tensor& z = tensor_argument(f, 0);
  MOKA_CHECK_KIND(Type, is_complex(z.dtype()), "view_as_real: is only supported for complex tensors, got ",
                  z.dtype());
  Tensor parts = part_view(z, 0);
  Dims sizes(parts.sizes()), strides(parts.strides());
  sizes.push_back(2);
  strides.push_back(1);
  set_output(f, retyped(z, parts.dtype(), sizes, strides, parts.impl()->offset));
}
void as_complex_view(Frame& f) {
  const Tensor& x = tensor_argument(f, 0);
  MOKA_CHECK(x.dtype() == DType::F16 || x.dtype() == DType::F32 || x.dtype() == DType::F64,
             "view_as_complex: is only supported for float16, float32 and float64 tensors, got ", x.dtype());
  MOKA_CHECK(x.dim() > 0 && x.size(-1) == 2,
             "view_as_complex: the last dimension must have size 2, got shape ", x.sizes());
  MOKA_CHECK(x.stride(-1) == 1 && x.impl()->offset % 2 == 0,
             "view_as_complex: real and imaginary parts must lie side by side; use contiguous() before");
  Dims sizes(x.sizes().first(size_t(x.dim() - 1))), strides(x.strides().first(size_t(x.dim() - 1)));
  for (size_t i = 0; i < strides.size(); i++) {
    MOKA_CHECK(strides[i] % 2 == 0 || sizes[i] <= 1,
               "view_as_complex: strides must be even except the last, got ", x.strides());
    strides[i] /= 2;
  }
  set_output(f, retyped(x, whole_type(x.dtype()), sizes, strides, x.impl()->offset / 2));
}

template <class R>
void conjugate(R* p, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    R& imaginary = p[2 * i + 1];
    if constexpr (std::is_same_v<R, Float16>) imaginary.bits ^= 0x8000;
    else imaginary = -imaginary;
  }
}
Tensor conjugated(const Tensor& z) {
  if (!z.has_storage()) return shape_only(z.sizes(), z.dtype());
  Tensor out = new_tensor(z.sizes(), z.dtype(), z.device());
  if (is_meta(out)) return out;
  copy_elements(z, out);
  parallel_for(0, out.numel(), 32768, [&](int64_t first, int64_t last) {
    if (z.dtype() == complex_half) conjugate(out.data<Float16>() + 2 * first, last - first);
    else if (z.dtype() == DType::C64) conjugate(out.data<float>() + 2 * first, last - first);
    else conjugate(out.data<double>() + 2 * first, last - first);
  });
  return out;
}
void conj_view(Frame& f) {
  const Tensor& z = tensor_argument(f, 0);
  set_output(f, is_complex(z.dtype()) ? conjugated(z) : z);
}
void same_view(Frame& f) { set_output(f, tensor_argument(f, 0)); }

void complex_shape(Frame& f) {
  const Tensor &re = tensor_argument(f, 0), &im = tensor_argument(f, 1);
  const auto serves = [](DType d) { return d == DType::F16 || d == DType::F32 || d == DType::F64; };
  MOKA_CHECK(serves(re.dtype()) && serves(im.dtype()), f.name(),
             ": Expected both inputs to be Half, Float or Double tensors but got ", scalar_name(re.dtype()),
             " and ", scalar_name(im.dtype()));
  MOKA_CHECK(re.dtype() == im.dtype(), f.name(), ": Expected object of scalar type ", scalar_name(re.dtype()),
             " but got scalar type ", scalar_name(im.dtype()), " for second argument");
  exact_output(f, 0, broadcast_shape(re.sizes(), im.sizes(), "complex"), whole_type(re.dtype()));
}
void complex_kernel(Frame& f) {
  const Tensor& out = f.outs[0];
  if (!out.numel()) return;
  copy_elements(f.tensor(0), part_view(out, 0));
  copy_elements(f.tensor(1), part_view(out, 1));
}

Tensor plain(const Op& op, std::initializer_list<Tensor> in) {
  Arg args[2];
  int count = 0;
  for (const Tensor& t : in) args[count++] = Arg(t);
  Frame inner(op, args, count);
  run_op(inner);
  return inner.outs[0];
}
void polar_kernel(Frame& f) {
  const Tensor& out = f.outs[0];
  if (!out.numel()) return;
  const Tensor &length = f.tensor(0), &turn = f.tensor(1);
  copy_elements(plain(mul_op, {length, plain(cos_op, {turn})}), part_view(out, 0));
  copy_elements(plain(mul_op, {length, plain(sin_op, {turn})}), part_view(out, 1));
}

// Formulas whose complex readings stand in kernels_parts.cpp.
struct Angle {
  constexpr auto operator()(auto x) const {
    return where(x < 0, 3.141592653589793238, where(eq(x, x), 0, x));
  }
};
struct Sgn {
  constexpr auto operator()(auto x) const { return where(x > 0, 1, where(x < 0, -1, 0)); }
};
}  // namespace

constinit const Op conj_op{
    .schema = "conj(Tensor input) -> Tensor",
    .doc = "The complex conjugate; a real tensor itself.",
    .view = conj_view,
    .derivative = {wrt("input", [](auto dy) { return conj(dy); })},
    .onnx = none("ONNX has no complex operators besides DFT's; of a real tensor it is Identity"),
    .netdef = none("Caffe2 has no complex numbers"),
    .samples = {shape(2, 3), shape(0)},
};
constinit const Op conj_physical_op{
    .schema = "conj_physical(Tensor input) -> Tensor",
    .doc = "The complex conjugate as numbers in memory.",
    .body = body([](auto input) { return conj(input); }),
    .onnx = none("ONNX has no complex operators besides DFT's"),
    .netdef = none("Caffe2 has no complex numbers"),
    .samples = {shape(2, 3), shape(0)},
};
constinit const Op resolve_conj_op{
    .schema = "resolve_conj(Tensor input) -> Tensor",
    .doc = "input itself: conjugates are numbers in memory here, never marks.",
    .view = same_view,
    .derivative = {wrt("input", [](auto dy) { return dy; })},
    .onnx = none("ONNX has no complex operators besides DFT's"),
    .netdef = none("Caffe2 has no complex numbers"),
    .samples = {shape(2, 3), shape(0)},
};
constinit const Op resolve_neg_op{
    .schema = "resolve_neg(Tensor input) -> Tensor",
    .doc = "input itself: negatives are numbers in memory here, never marks.",
    .view = same_view,
    .derivative = {wrt("input", [](auto dy) { return dy; })},
    .onnx = none("ONNX has no complex operators besides DFT's"),
    .netdef = none("Caffe2 has no complex numbers"),
    .samples = {shape(2, 3), shape(0)},
};
constinit const Op real_op{
    .schema = "real(Tensor input) -> Tensor",
    .doc = "The real parts, as a view; a real tensor itself.",
    .view = real_view,
    .derivative = {wrt("input", [](auto dy) { return dy; })},
    .onnx = none("ONNX has no complex operators besides DFT's"),
    .netdef = none("Caffe2 has no complex numbers"),
    .samples = {shape(2, 3), shape(0)},
};
constinit const Op imag_op{
    .schema = "imag(Tensor input) -> Tensor",
    .doc = "The imaginary parts of a complex tensor, as a view.",
    .view = imag_view,
    .derivative = {wrt("input", [](auto dy) { return complex(mul(dy, 0), dy); })},
    .onnx = none("ONNX has no complex operators besides DFT's"),
    .netdef = none("Caffe2 has no complex numbers"),
};
constinit const Op view_as_real_op{
    .schema = "view_as_real(Tensor input) -> Tensor",
    .doc = "A complex tensor shown as real numbers with a last dimension of two: real and imaginary part.",
    .method = "function",
    .view = as_real_view,
    .derivative = {wrt("input", [](auto dy) { return view_as_complex(contiguous(dy)); })},
    .onnx = none("ONNX has no complex operators besides DFT's"),
    .netdef = none("Caffe2 has no complex numbers"),
};
constinit const Op view_as_complex_op{
    .schema = "view_as_complex(Tensor input) -> Tensor",
    .doc = "Real numbers whose last dimension is two shown as complex numbers.",
    .method = "function",
    .view = as_complex_view,
    .derivative = {wrt("input", [](auto dy) { return view_as_real(dy); })},
    .onnx = none("ONNX has no complex operators besides DFT's"),
    .netdef = none("Caffe2 has no complex numbers"),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 2).no_gradient(), shape(0, 2).no_gradient()},
};
constinit const Op complex_op{
    .schema = "complex(Tensor real, Tensor imag) -> Tensor",
    .doc = "real + imag i.",
    .method = "function",
    .shape = complex_shape,
    .kernels = {KernelRow{.name = "copy", .run = complex_kernel}},
    .derivative = {wrt("real", [](auto dy) { return real(dy); }),
                   wrt("imag", [](auto dy) { return imag(dy); })},
    .onnx = none("ONNX has no complex operators besides DFT's"),
    .netdef = none("Caffe2 has no complex numbers"),
    .samples = {shapes({2, 3}, {2, 3}).no_gradient(), shapes({3}, {2, 1}).no_gradient()},
};
constinit const Op polar_op{
    .schema = "polar(Tensor abs, Tensor angle) -> Tensor",
    .doc = "abs * (cos(angle) + sin(angle) i).",
    .method = "function",
    .shape = complex_shape,
    .kernels = {KernelRow{.name = "formula", .run = polar_kernel}},
    .derivative = {wrt("abs",
                       [](auto dy, auto, auto turn) { return real(dy) * cos(turn) + imag(dy) * sin(turn); }),
                   wrt("angle",
                       [](auto dy, auto, auto, auto y) { return imag(dy) * real(y) - real(dy) * imag(y); })},
    .onnx = none("ONNX has no complex operators besides DFT's"),
    .netdef = none("Caffe2 has no complex numbers"),
    .autocast = Autocast::Float32,
    .samples = {shapes({2, 3}, {2, 3}).no_gradient(), shapes({3}, {2, 1}).no_gradient()},
};
constinit const Op angle_op{
    .schema = "angle(Tensor input) -> Tensor",
    .doc = "The angle of complex numbers in the plane; of real ones 0 or pi.",
    .formula = pointwise<Angle>(DTypeRule::Floating),
    .derivative = {wrt("input", [](auto dy, auto input) { return angle_backward(dy, input); })},
    .onnx = none("ONNX has no complex operators besides DFT's"),
    .netdef = none("Caffe2 has no complex numbers"),
    .samples = {shape(2, 3), shape(0)},
};
constinit const Op angle_backward_op{
    .schema = "angle_backward(Tensor grad, Tensor input) -> Tensor",
    .doc = "Gradient of angle: i z / |z|^2 times grad; 0 for real numbers.",
    .method = "none",
    .body = eager_body([](const Any* in, Any* out) {
      const Tensor &dy = in[0].tensor(), &z = in[1].tensor();
      if (!is_complex(z.dtype())) {
        out[0] = Any(mul(dy, 0));
        return;
      }
      Tensor x = real(z), y = imag(z), size = x * x + y * y, slope = where(eq(size, 0), 0, dy / size);
      out[0] = Any(complex(neg(slope * y), slope * x));
    }),
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
};
constinit const Op sgn_op{
    .schema = "sgn(Tensor input) -> Tensor",
    .doc = "The sign; of complex numbers input / |input|; 0 of 0 and of a real NaN.",
    .formula = pointwise_all<Sgn>(DTypeRule::Same),
    .shape = keep_type,
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto y) {
                         // (dy - y Re(conj(y) dy)) / |z|, which is 0 for real numbers.
                         auto size = abs(input);
                         auto along = mul(y, real(mul(conj(y), dy)));
                         return where(eq(size, 0), 0, (dy - along) / size);
                       })},
    .onnx = "Sign(input)",
    .netdef = "Sign(input)",
    .samples = {shape(2, 3).no_gradient(), shape(0)},
};

}  // namespace moka::ops

#define MOKA_COMPLEX_TABLE(OP) OP(conj) MOKA_COMPLEX_OPS(OP)
MOKA_OP_TABLE(complex, MOKA_COMPLEX_TABLE)
