// What users call: lengths, padding, norms and defaults around the transforms.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/ops/complex/complex.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/fft/fft.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
// "backward" (None), "ortho" or "forward": where the division by the number of points goes.
double scale_of(const Any& norm, double points, bool forward, std::string_view op) {
  std::string_view n = norm.is_none() ? std::string_view("backward") : norm.string();
  if (n == "ortho") return 1 / std::sqrt(points);
  MOKA_CHECK(n == "backward" || n == "forward", op, ": Invalid normalization mode: \"", n, "\"");
  return (n == "forward") == forward ? 1 / points : 1;
}

Tensor as_float(const Tensor& x, std::string_view op) {
  MOKA_CHECK(x.dtype() != DType::F16 && x.dtype() != DType::BF16, op, ": Unsupported dtype ", x.dtype(),
             "; convert it with .float()");
  return is_floating(x.dtype()) || is_complex(x.dtype()) ? x : Tensor(to(x, default_float()));
}
Tensor as_complex(const Tensor& x, std::string_view op) {
  Tensor t = as_float(x, op);
  return is_complex(t.dtype()) ? t : Tensor(to(t, t.dtype() == DType::F64 ? DType::C128 : DType::C64));
}
Tensor as_real(const Tensor& x, std::string_view op) {
  MOKA_CHECK_KIND(Type, !is_complex(x.dtype()), op, ": expects a real input tensor, but got ", x.dtype());
  return as_float(x, op);
}

// Cut, or padded with zeros, to the given sizes along dims.
Tensor resized(Tensor x, const Dims& dims, const Dims& sizes, std::string_view op) {
  Dims pad(size_t(2 * x.dim()), 0);
  bool needed = false;
  for (size_t i = 0; i < dims.size(); i++) {
    int d = static_cast<int>(dims[i]);
    MOKA_CHECK(sizes[i] >= 1, op, ": Invalid number of data points (", sizes[i], ") specified");
    if (sizes[i] < x.size(d)) x = narrow(x, d, int64_t(0), sizes[i]);
    if (sizes[i] > x.size(d)) pad[size_t(2 * (x.dim() - 1 - d) + 1)] = sizes[i] - x.size(d), needed = true;
  }
  return needed ? Tensor(pad_constant(x, pad)) : x;
}
double points_of(const Dims& sizes) {
  double n = 1;
  for (int64_t s : sizes) n *= double(s);
  return n;
}

struct Axes {
  Dims dims, sizes;  // sizes of the transform; those of the input where the user gives none
};
// s and dim as torch reads them: dim alone takes the input's sizes, s alone the last dimensions; -1 in s too.
Axes axes_of(const Tensor& x, const Any& s, const Any& dim, std::string_view op) {
  Axes a;
  auto list = [](const Any& v) {
    return v.tag() == Tag::Int ? Dims{v.to_int()} : v.tag() == Tag::List ? Dims{} : Dims(v.ints());
  };
  if (!dim.is_none()) {
    a.dims = list(dim);
    MOKA_CHECK_KIND(Index, a.dims.empty() || x.dim() > 0, op, ": dimension ", dim,
                    " is out of range: a 0-d tensor has none");
    uint64_t seen = 0;
    for (int64_t& d : a.dims) {
      d = wrap_dim(d, x.dim(), op);
      MOKA_CHECK(!(seen >> d & 1), op, ": FFT dims must be unique");
      seen |= uint64_t(1) << d;
    }
  }
  if (!s.is_none()) {
    Dims sizes = list(s);
    MOKA_CHECK(dim.is_none() || sizes.size() == a.dims.size(), op,
               ": When given, dim and shape arguments must have the "
               "same length");
    MOKA_CHECK(sizes.size() <= size_t(x.dim()), op, ": Got shape with ", int64_t(sizes.size()),
               " values but input tensor only has ", x.dim(), " dimensions.");
    if (dim.is_none())
      for (size_t i = 0; i < sizes.size(); i++)
        a.dims.push_back(x.dim() - int64_t(sizes.size()) + int64_t(i));
    for (size_t i = 0; i < sizes.size(); i++)
      a.sizes.push_back(sizes[i] == -1 ? x.size(int(a.dims[i])) : sizes[i]);
  } else {
    if (dim.is_none())
      for (int d = 0; d < x.dim(); d++) a.dims.push_back(d);
    for (int64_t d : a.dims) a.sizes.push_back(x.size(int(d)));
  }
  for (size_t i = 0; i < a.sizes.size(); i++)
    MOKA_CHECK(a.sizes[i] >= 1, op, ": Invalid number of data points (", a.sizes[i], ") specified");
  return a;
}

enum class Kind { Complex, RealIn, RealOut };
// in: input, s or n, dim, norm.
template <Kind kind, bool forward>
void transform_run(const Any* in, Any* out, std::string_view op, const Any& s, const Any& dim) {
  const Tensor& input = in[0].tensor();
  Tensor x = kind == Kind::RealIn ? as_real(input, op) : as_complex(input, op);
  Axes a = axes_of(x, s, dim, op);
  if (kind == Kind::Complex) {
    if (a.dims.empty()) {
      out[0] = Any(x);
      return;
    }
    out[0] = Any(fft_c2c(resized(x, a.dims, a.sizes, op), a.dims,
                         scale_of(in[3], points_of(a.sizes), forward, op), forward));
    return;
  }
  MOKA_CHECK(!a.dims.empty(), op, ": must transform at least one axis");
  if (kind == Kind::RealIn) {
    double scale = scale_of(in[3], points_of(a.sizes), forward, op);
    x = resized(x, a.dims, a.sizes, op);
    out[0] = Any(fft_r2c(x, a.dims, scale, forward));
    return;
  }
  bool given = !s.is_none();
  if (given) {
    const Dims wanted = s.tag() == Tag::Int ? Dims{s.to_int()} : Dims(s.ints());
    given = wanted.back() != -1;
  }
  Dims results = a.sizes, sizes = a.sizes;
  if (!given) results.back() = 2 * (a.sizes.back() - 1);
  MOKA_CHECK(results.back() >= 1, op, ": Invalid number of data points (", results.back(), ") specified");
  sizes.back() = results.back() / 2 + 1;
  x = resized(x, a.dims, sizes, op);
  double scale = scale_of(in[3], points_of(results), forward, op);
  out[0] = Any(fft_c2r(x, a.dims, scale, forward, results.back()));
}
template <Kind kind, bool forward>
void one(const Any* in, Any* out, std::string_view op) {
  MOKA_CHECK_KIND(Index, in[0].tensor().dim() > 0, op, ": dimension ", in[2],
                  " is out of range: a 0-d tensor has none");
  transform_run<kind, forward>(in, out, op, in[1], in[2]);
}

#define MOKA_FFT(op_name, text, kind, forward)                                                               \
  constinit const Op fft_##op_name##_op {                                                                    \
    .schema = "fft_" #op_name "(Tensor input, int? n=None, int dim=-1, str? norm=None) -> Tensor",           \
    .doc = text, .method = "function",                                                                       \
    .body = eager_body([](const Any* in, Any* out) { one<Kind::kind, forward>(in, out, "fft." #op_name); }), \
    .onnx = none(                                                                                            \
        "ONNX's DFT keeps complex numbers as pairs of real ones in a last dimension, which graphs here do "  \
        "not"),                                                                                              \
    .netdef = none("Caffe2 has no Fourier transforms"), .autocast = Autocast::Float32,                       \
    .samples = {shape(8).no_gradient(), shape(2, 5).with("n", 6).no_gradient(),                              \
                shape(4, 3).with("dim", 0).with("norm", "ortho").no_gradient()},                             \
  }
#define MOKA_FFT_N(op_name, default_dim, text, kind, forward)                                               \
  constinit const Op fft_##op_name##_op {                                                                   \
    .schema = "fft_" #op_name "(Tensor input, int[]? s=None, int[]? dim=" default_dim                       \
              ", str? norm=None) -> Tensor",                                                                \
    .doc = text, .method = "function",                                                                      \
    .body = eager_body([](const Any* in, Any* out) {                                                        \
      transform_run<Kind::kind, forward>(in, out, "fft." #op_name, in[1], in[2]);                           \
    }),                                                                                                     \
    .onnx = none(                                                                                           \
        "ONNX's DFT keeps complex numbers as pairs of real ones in a last dimension, which graphs here do " \
        "not"),                                                                                             \
    .netdef = none("Caffe2 has no Fourier transforms"), .autocast = Autocast::Float32,                      \
    .samples = {shape(4, 4).no_gradient(), shape(2, 3, 5).with("norm", "ortho").no_gradient()},             \
  }
}  // namespace

MOKA_FFT(fft, "The discrete Fourier transform along one dimension.", Complex, true);
MOKA_FFT(ifft, "The inverse transform along one dimension.", Complex, false);
MOKA_FFT(rfft, "The first half of the spectrum of real numbers.", RealIn, true);
MOKA_FFT(irfft, "Real numbers from the first half of their spectrum; n of them, 2 (m - 1) when None.",
         RealOut, false);
MOKA_FFT_N(fft2, "[-2, -1]", "The transform along two dimensions.", Complex, true);
MOKA_FFT_N(ifft2, "[-2, -1]", "The inverse transform along two dimensions.", Complex, false);
MOKA_FFT_N(rfft2, "[-2, -1]", "The half spectrum of real numbers along two dimensions.", RealIn, true);
MOKA_FFT_N(irfft2, "[-2, -1]", "Real numbers from their half spectrum along two dimensions.", RealOut, false);
MOKA_FFT_N(fftn, "None", "The transform along several dimensions, all when None.", Complex, true);
MOKA_FFT_N(ifftn, "None", "The inverse transform along several dimensions, all when None.", Complex, false);
MOKA_FFT_N(rfftn, "None", "The half spectrum of real numbers along several dimensions, all when None.",
           RealIn, true);
MOKA_FFT_N(irfftn, "None", "Real numbers from their half spectrum along several dimensions, all when None.",
           RealOut, false);

namespace {
// hfft: real spectrum of a signal given by its first half; the other dimensions are transformed before.
void hermitian_run(const Any* in, Any* out, std::string_view op) {
  Tensor x = as_complex(in[0].tensor(), op);
  Any s = in[1];
  Axes a = axes_of(x, s, in[2], op);
  MOKA_CHECK(!a.dims.empty(), op, ": must transform at least one axis");
  bool given = !s.is_none() && (s.tag() == Tag::Int ? s.to_int() : s.ints().back()) != -1;
  Dims results = a.sizes, sizes = a.sizes;
  if (!given) results.back() = 2 * (a.sizes.back() - 1);
  MOKA_CHECK(results.back() >= 1, op, ": Invalid number of data points (", results.back(), ") specified");
  sizes.back() = results.back() / 2 + 1;
  x = resized(x, a.dims, sizes, op);
  double scale = scale_of(in[3], points_of(results), true, op);
  Dims rest(std::span<const int64_t>(a.dims).first(a.dims.size() - 1));
  if (!rest.empty()) x = fft_c2c(x, rest, 1.0, true);
  out[0] = Any(fft_c2r(conj(x), Dims{a.dims.back()}, scale, false, results.back()));
}
void inverse_hermitian_run(const Any* in, Any* out, std::string_view op) {
  Tensor x = as_real(in[0].tensor(), op);
  Axes a = axes_of(x, in[1], in[2], op);
  MOKA_CHECK(!a.dims.empty(), op, ": must transform at least one axis");
  x = resized(x, a.dims, a.sizes, op);
  double scale = scale_of(in[3], points_of(a.sizes), false, op);
  Dims rest(std::span<const int64_t>(a.dims).first(a.dims.size() - 1));
  Tensor y = fft_r2c(x, Dims{a.dims.back()}, scale, false);
  out[0] = Any(rest.empty() ? y : Tensor(fft_c2c(y, rest, 1.0, false)));
}
}  // namespace

#define MOKA_HFFT(op_name, arguments, text, run)                                                            \
  constinit const Op fft_##op_name##_op {                                                                   \
    .schema = "fft_" #op_name arguments, .doc = text, .method = "function",                                 \
    .body = eager_body([](const Any* in, Any* out) { run(in, out, "fft." #op_name); }),                     \
    .onnx = none(                                                                                           \
        "ONNX's DFT keeps complex numbers as pairs of real ones in a last dimension, which graphs here do " \
        "not"),                                                                                             \
    .netdef = none("Caffe2 has no Fourier transforms"), .autocast = Autocast::Float32,                      \
    .samples = {shape(4, 4).no_gradient(), shape(2, 3, 5).with("norm", "ortho").no_gradient()},             \
  }
MOKA_HFFT(hfft, "(Tensor input, int? n=None, int dim=-1, str? norm=None) -> Tensor",
          "The real spectrum of a Hermitian signal given by its first half.", hermitian_run);
MOKA_HFFT(ihfft, "(Tensor input, int? n=None, int dim=-1, str? norm=None) -> Tensor",
          "The first half of the Hermitian signal with a real spectrum.", inverse_hermitian_run);
MOKA_HFFT(hfft2, "(Tensor input, int[]? s=None, int[]? dim=[-2, -1], str? norm=None) -> Tensor",
          "hfft along two dimensions.", hermitian_run);
MOKA_HFFT(ihfft2, "(Tensor input, int[]? s=None, int[]? dim=[-2, -1], str? norm=None) -> Tensor",
          "ihfft along two dimensions.", inverse_hermitian_run);
MOKA_HFFT(hfftn, "(Tensor input, int[]? s=None, int[]? dim=None, str? norm=None) -> Tensor",
          "hfft along several dimensions, all when None.", hermitian_run);
MOKA_HFFT(ihfftn, "(Tensor input, int[]? s=None, int[]? dim=None, str? norm=None) -> Tensor",
          "ihfft along several dimensions, all when None.", inverse_hermitian_run);

namespace {
// 0, 1, ... (n - 1) / 2, -(n / 2), ... -1, divided by n d.
void frequencies_run(const Any* in, Any* out, bool half) {
  int64_t n = in[0].to_int(), count = half ? n / 2 + 1 : n;
  MOKA_CHECK(n >= 0, "fft.fftfreq: n must not be negative, got ", n);
  DType dtype = in[2].is_none() ? default_float() : in[2].dtype();
  Tensor t = new_tensor(Dims{count}, DType::F64);
  double unit = 1 / (double(n) * in[1].to_double());
  for (int64_t k = 0; k < count; k++)
    t.data<double>()[k] = double(half || k <= (n - 1) / 2 ? k : k - n) * unit;
  out[0] = Any(to(t, dtype));
}
void shift_run(const Any* in, Any* out, bool inverse) {
  Tensor x = in[0].tensor();
  Dims dims;
  if (in[1].is_none())
    for (int d = 0; d < x.dim(); d++) dims.push_back(d);
  else dims = in[1].tag() == Tag::Int ? Dims{in[1].to_int()} : Dims(in[1].ints());
  for (int64_t dim : dims) {
    int d = wrap_dim(dim, x.dim(), inverse ? "fft.ifftshift" : "fft.fftshift");
    int64_t n = x.size(d), by = inverse ? n / 2 : (n + 1) / 2;  // elements that go to the end
    if (n < 2) continue;
    x = concat(std::vector<Tensor>{narrow(x, d, by, n - by), narrow(x, d, int64_t(0), by)}, d);
  }
  out[0] = Any(x == in[0].tensor() ? Tensor(clone(x)) : x);
}
}  // namespace

#define MOKA_FREQUENCIES(op_name, text, half)                                                              \
  constinit const Op fft_##op_name##_op {                                                                  \
    .schema = "fft_" #op_name "(int n, float d=1.0, *, DType? dtype=None, Device? device=None) -> Tensor", \
    .doc = text, .method = "function",                                                                     \
    .body = eager_body([](const Any* in, Any* out) { frequencies_run(in, out, half); }),                   \
    .derivative = none("it has no tensor arguments"), .onnx = none("a constant in graphs"),                \
    .netdef = none("a constant in graphs"),                                                                \
    .samples = {no_tensors().with("n", 5), no_tensors().with("n", 4).with("d", 0.5)},                      \
  }
MOKA_FREQUENCIES(fftfreq, "The frequencies that the elements of fft stand for, with samples d apart.", false);
MOKA_FREQUENCIES(rfftfreq, "The frequencies that the elements of rfft stand for, with samples d apart.",
                 true);
#define MOKA_SHIFT(op_name, text, inverse)                                                                  \
  constinit const Op fft_##op_name##_op {                                                                   \
    .schema = "fft_" #op_name "(Tensor input, int[]? dim=None) -> Tensor", .doc = text,                     \
    .method = "function", .body = eager_body([](const Any* in, Any* out) { shift_run(in, out, inverse); }), \
    .onnx = none("written as Slice and Concat"), .netdef = none("written as Slice and Concat"),             \
    .samples = {shape(5), shape(2, 4).with("dim", {1})},                                                    \
  }
MOKA_SHIFT(fftshift, "Moves frequency 0 to the middle.", false);
MOKA_SHIFT(ifftshift, "Undoes fftshift.", true);

}  // namespace moka::ops

MOKA_OP_TABLE(fft, MOKA_FFT_OPS)
