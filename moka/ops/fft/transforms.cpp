// Transforms along dimensions of tensors: complex to complex, real to half a spectrum, half a spectrum to real.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "moka/base/parallel.h"
#include "moka/ops/complex/complex.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/fft/fft.h"
#include "moka/ops/fft/passes.h"
#include "moka/ops/fft/plan.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/kernels/scratch.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
DType real_of(DType d) { return d == DType::C128 ? DType::F64 : DType::F32; }
DType complex_of(DType d) { return d == DType::F64 ? DType::C128 : DType::C64; }

// Calls f(line, scratch) for every line along dimension d of a contiguous tensor, gathered side by side, and writes the
// lines back. Several neighbours go together, so that memory is read in runs.
template <class T, class F>
void for_lines(const Tensor& t, int d, int64_t scratch_size, F f) {
  using C = std::complex<T>;
  int64_t n = t.size(d), inner = t.stride(d), lines = n ? t.numel() / n : 0;
  constexpr int64_t together = 8;
  int64_t grain = 1 + 20000 / (n + 1);
  C* data = t.data<C>();
  parallel_for(0, lines, grain, [&](int64_t first, int64_t last) {
    Scratch<C> buffer(n * together), scratch(scratch_size);
    for (int64_t at = first; at < last;) {
      int64_t offset = at / inner * inner * n + at % inner;
      if (inner == 1) {
        f(data + at * n, scratch.data());
        at++;
        continue;
      }
      int64_t count = std::min({together, last - at, inner - at % inner});
      for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < count; k++) buffer[k * n + i] = data[offset + i * inner + k];
      for (int64_t k = 0; k < count; k++) f(buffer.data() + k * n, scratch.data());
      for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < count; k++) data[offset + i * inner + k] = buffer[k * n + i];
      at += count;
    }
  });
}

template <class T>
void conjugate_scaled(std::complex<T>* p, int64_t n, T scale, bool conjugate) {
  T im = conjugate ? -scale : scale;
  for (int64_t i = 0; i < n; i++) p[i] = {p[i].real() * scale, p[i].imag() * im};
}

// In place along every dimension of dims; the last one applied carries the scale.
template <class T>
void transform(const Tensor& t, std::span<const int64_t> dims, double scale, bool forward) {
  for (size_t i = dims.size(); i-- > 0;) {
    int d = static_cast<int>(dims[i]);
    auto plan = fft::plan_for<T>(t.size(d));
    int64_t n = t.size(d);
    T factor = i == 0 ? static_cast<T>(scale) : T(1);
    for_lines<T>(t, d, plan->scratch_size(), [&](std::complex<T>* line, std::complex<T>* scratch) {
      if (!forward) conjugate_scaled(line, n, T(1), true);
      plan->run(line, scratch);
      if (!forward || factor != T(1)) conjugate_scaled(line, n, factor, !forward);
    });
  }
}
void transform_any(const Tensor& t, std::span<const int64_t> dims, double scale, bool forward) {
  if (t.numel() == 0) return;
  if (dims.empty()) return;
  MOKA_CHECK_KIND(NotImplemented, t.dtype() == DType::C64 || t.dtype() == DType::C128,
                  "fft: not defined for ", t.dtype(), "; convert it to complex64");
  if (t.dtype() == DType::C64) transform<float>(t, dims, scale, forward);
  else transform<double>(t, dims, scale, forward);
}

Dims dims_of(const Frame& f, const Tensor& t) {
  Dims dims = ints_argument(f, 1);
  uint64_t seen = 0;
  for (int64_t& d : dims) {
    d = wrap_dim(d, t.dim(), f.name());
    MOKA_CHECK(!(seen >> d & 1), f.name(), ": FFT dims must be unique, got ", ints_argument(f, 1));
    seen |= uint64_t(1) << d;
  }
  for (int64_t d : dims)
    MOKA_CHECK(t.size(static_cast<int>(d)) > 0 || t.numel() == 0, f.name(),
               ": invalid number of data points (0)");
  return dims;
}

void c2c_shape(Frame& f) {
  const Tensor& x = tensor_argument(f, 0);
  MOKA_CHECK(is_complex(x.dtype()), f.name(), ": expected a complex tensor, got ", x.dtype());
  dims_of(f, x);
  f.output(0, x.sizes(), x.dtype());
}
void c2c_kernel(Frame& f) {
  const Tensor &x = f.tensor(0), &y = f.outs[0];
  if (y.numel()) copy_elements(x, y);
  transform_any(y, dims_of(f, x), f.number(2), f.flag(3));
}

// ---- real input: two lines x, y at a time as the complex line x + i y, whose spectra are told apart by symmetry.
void r2c_shape(Frame& f) {
  const Tensor& x = tensor_argument(f, 0);
  MOKA_CHECK(x.dtype() == DType::F32 || x.dtype() == DType::F64, f.name(),
             ": expected a float32 or float64 tensor, got ", x.dtype());
  Dims dims = dims_of(f, x), sizes(x.sizes());
  MOKA_CHECK(!dims.empty(), f.name(), ": must transform at least one axis");
  int64_t& last = sizes[static_cast<size_t>(dims.back())];
  MOKA_CHECK(last > 0, f.name(), ": invalid number of data points (0)");
  last = last / 2 + 1;
  f.output(0, sizes, complex_of(x.dtype()));
}
template <class T>
fft::Pair<T>* pairs_of(std::complex<T>* p) {
  return reinterpret_cast<fft::Pair<T>*>(p);
}
// The last dimension of both is the one transformed; both contiguous.
template <class T>
void real_lines(const Tensor& x, const Tensor& y, T scale, bool forward) {
  using C = std::complex<T>;
  int64_t n = x.size(-1), half = n / 2 + 1, lines = x.numel() / n, pairs = (lines + 1) / 2;
  auto plan = fft::plan_for<T>(n);
  const T* from = x.data<T>();
  C* to = y.data<C>();
  parallel_for(0, pairs, 1 + 10000 / (n + 1), [&](int64_t first, int64_t last) {
    Scratch<C> line(n), scratch(plan->scratch_size());
    for (int64_t p = first; p < last; p++) {
      const T* a = from + 2 * p * n;
      bool two = 2 * p + 1 < lines;
      fft::join_lines<T>(n, a, two ? a + n : nullptr, pairs_of(line.data()));
      plan->run(line.data(), scratch.data());
      C* out = to + 2 * p * half;
      fft::split_spectra<T>(n, pairs_of(line.data()), scale, forward, pairs_of(out),
                            two ? pairs_of(out + half) : nullptr);
    }
  });
}
// t with dimension d moved to the end, contiguous; or a fresh tensor of that form.
Dims moved_last(std::span<const int64_t> sizes, int d) {
  Dims out;
  for (size_t i = 0; i < sizes.size(); i++)
    if (int(i) != d) out.push_back(sizes[i]);
  out.push_back(sizes[size_t(d)]);
  return out;
}
Tensor seen_from(const Tensor& t, int d) {  // the view that moves d to the end
  return strided_view(t, moved_last(t.sizes(), d), moved_last(t.strides(), d), t.impl()->offset);
}
void r2c_kernel(Frame& f) {
  const Tensor &x = f.tensor(0), &y = f.outs[0];
  if (!y.numel()) return;
  Dims dims = dims_of(f, x);
  int last = static_cast<int>(dims.back());
  Dims rest(std::span<const int64_t>(dims).first(dims.size() - 1));
  double scale = f.number(2);
  bool forward = f.flag(3);
  Tensor lines = as_contiguous(seen_from(x, last));
  bool direct = last == y.dim() - 1;
  Tensor target = direct ? y : new_tensor(moved_last(y.sizes(), last), y.dtype());
  if (x.dtype() == DType::F32) real_lines<float>(lines, target, static_cast<float>(scale), forward);
  else real_lines<double>(lines, target, scale, forward);
  if (!direct) copy_elements(target, seen_from(y, last));
  transform_any(y, rest, 1, forward);
}

// ---- half a spectrum to real numbers: two spectra at a time as X + i Y.
void c2r_shape(Frame& f) {
  const Tensor& x = tensor_argument(f, 0);
  MOKA_CHECK(is_complex(x.dtype()), f.name(), ": expected a complex tensor, got ", x.dtype());
  Dims dims = dims_of(f, x), sizes(x.sizes());
  MOKA_CHECK(!dims.empty(), f.name(), ": must transform at least one axis");
  int64_t n = f.integer(4);
  MOKA_CHECK(n >= 1, f.name(), ": Invalid number of data points (", n, ") specified");
  MOKA_CHECK(n / 2 + 1 == sizes[static_cast<size_t>(dims.back())], f.name(), ": ", n, " real numbers need ",
             n / 2 + 1, " complex ones, got shape ", x.sizes());
  sizes[static_cast<size_t>(dims.back())] = n;
  f.output(0, sizes, real_of(x.dtype()));
}
template <class T>
void real_results(const Tensor& x, const Tensor& y, T scale, bool forward) {
  using C = std::complex<T>;
  int64_t n = y.size(-1), half = n / 2 + 1, lines = y.numel() / n, pairs = (lines + 1) / 2;
  auto plan = fft::plan_for<T>(n);
  const C* from = x.data<C>();
  T* to = y.data<T>();
  parallel_for(0, pairs, 1 + 10000 / (n + 1), [&](int64_t first, int64_t last) {
    Scratch<C> line(n), scratch(plan->scratch_size());
    for (int64_t p = first; p < last; p++) {
      const C* a = from + 2 * p * half;
      const C* b = 2 * p + 1 < lines ? a + half : nullptr;
      // The inverse transform is the forward one of the spectrum read backwards; imaginary parts of what must be real
      // are not looked at.
      for (int64_t k = 0; k < half; k++) {
        bool real = k == 0 || 2 * k == n;
        T ar = a[k].real(), ai = real ? T(0) : a[k].imag(), br = b ? b[k].real() : T(0),
          bi = b && !real ? b[k].imag() : T(0);
        C plus(ar - bi, ai + br), minus(ar + bi, br - ai);  // X + i Y at k and at n - k
        if (real) {
          line[k] = plus;
        } else {
          line[k] = forward ? plus : minus;
          line[n - k] = forward ? minus : plus;
        }
      }
      plan->run(line.data(), scratch.data());
      for (int64_t i = 0; i < n; i++) {
        to[2 * p * n + i] = line[i].real() * scale;
        if (b) to[(2 * p + 1) * n + i] = line[i].imag() * scale;
      }
    }
  });
}
void c2r_kernel(Frame& f) {
  const Tensor &x = f.tensor(0), &y = f.outs[0];
  if (!y.numel()) return;
  Dims dims = dims_of(f, x);
  int last = static_cast<int>(dims.back());
  Dims rest(std::span<const int64_t>(dims).first(dims.size() - 1));
  bool forward = f.flag(3);
  Tensor spectrum = x;
  if (!rest.empty()) {
    spectrum = new_tensor(x.sizes(), x.dtype());
    copy_elements(x, spectrum);
    transform_any(spectrum, rest, 1, forward);
  }
  Tensor lines = as_contiguous(seen_from(spectrum, last));
  bool direct = last == y.dim() - 1;
  Tensor target = direct ? y : new_tensor(moved_last(y.sizes(), last), y.dtype());
  if (y.dtype() == DType::F32) real_results<float>(lines, target, static_cast<float>(f.number(2)), forward);
  else real_results<double>(lines, target, f.number(2), forward);
  if (!direct) copy_elements(target, seen_from(y, last));
}

int last_dim(std::span<const int64_t> dims, int rank, std::string_view op) {
  MOKA_CHECK(!dims.empty(), op, ": dim must name at least one dimension");
  return wrap_dim(dims.back(), rank, op);
}
// The gradient of r2c: the half spectrum, padded with zeros, transformed the other way; its real part.
void r2c_backward_run(const Any* in, Any* out) {
  const Tensor& dy = in[0].tensor();
  Dims dims(in[1].ints());
  const int last = last_dim(dims, dy.dim(), "fft_r2c_backward");
  const int64_t n = in[4].to_int();
  MOKA_CHECK(n >= 0, "fft_r2c_backward: sizes must not be negative, got ", n);
  Dims pad;
  for (int d = dy.dim() - 1; d >= last; d--) {
    pad.push_back(0);
    pad.push_back(d == last ? n - dy.size(last) : 0);
  }
  out[0] = Any(real(fft_c2c(pad_constant(dy, pad), dims, in[2], !in[3].to_bool())));
}
void c2r_backward_run(const Any* in, Any* out) {
  const Tensor& dy = in[0].tensor();
  Dims dims(in[1].ints());
  const int last = last_dim(dims, dy.dim(), "fft_c2r_backward");
  Tensor g = fft_r2c(dy, dims, in[2], !in[3].to_bool()).tensor();
  int64_t twice = dy.size(last) - g.size(last);
  if (twice > 0) {
    // Numbers that stand for two, themselves and their mirror images, count twice.
    Tensor weights = new_tensor(Dims{g.size(last)}, dy.dtype());
    for (int64_t i = 0; i < weights.numel(); i++) {
      double w = i >= 1 && i <= twice ? 2 : 1;
      convert_elements(&w, DType::F64,
                       static_cast<char*>(weights.raw_data()) + i * int64_t(item_size(dy.dtype())),
                       dy.dtype(), 1);
    }
    Dims sizes(size_t(g.dim()), 1);
    sizes[size_t(last)] = g.size(last);
    g = g * reshape(weights, sizes);
  }
  out[0] = Any(g);
}
constexpr auto part = [] { return none("a part of the operators of moka.fft"); };
constexpr auto no_netdef = [] { return none("Caffe2 has no Fourier transforms"); };
}  // namespace

constinit const Op fft_c2c_op{
    .schema = "fft_c2c(Tensor input, int[] dim, float scale, bool forward) -> Tensor",
    .doc = "Complex transforms along dim, times scale.",
    .method = "none",
    .shape = c2c_shape,
    .kernels = {KernelRow{.name = "stockham", .run = c2c_kernel}},
    .derivative = {wrt("input", [](auto dy, auto, auto dim, auto scale,
                                   auto forward) { return conj(fft_c2c(conj(dy), dim, scale, forward)); })},
    .onnx = part(),
    .netdef = no_netdef(),
};
constinit const Op fft_r2c_op{
    .schema = "fft_r2c(Tensor input, int[] dim, float scale, bool forward) -> Tensor",
    .doc =
        "Transforms of real numbers along dim, times scale; of the last dimension the first half of the "
        "spectrum.",
    .method = "none",
    .shape = r2c_shape,
    .kernels = {KernelRow{.name = "stockham", .run = r2c_kernel}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto dim, auto scale, auto forward) {
                         return fft_r2c_backward(dy, dim, scale, forward, shape_of(input));
                       })},
    .onnx = part(),
    .netdef = no_netdef(),
};
constinit const Op fft_r2c_backward_op{
    .schema = "fft_r2c_backward(Tensor grad, int[] dim, float scale, bool forward, int[] sizes) -> Tensor",
    .doc = "Gradient of fft_r2c.",
    .method = "none",
    .body = eager_body([](const Any* in, Any* out) {
      Dims sizes(in[4].ints());
      const int last = last_dim(in[1].ints(), static_cast<int>(sizes.size()), "fft_r2c_backward");
      Any changed[5] = {in[0], in[1], in[2], in[3], Any(sizes[static_cast<size_t>(last)])};
      r2c_backward_run(changed, out);
    }),
    .onnx = part(),
    .netdef = no_netdef(),
};
constinit const Op fft_c2r_op{
    .schema = "fft_c2r(Tensor input, int[] dim, float scale, bool forward, int last_size) -> Tensor",
    .doc = "Real numbers from half spectra along dim, times scale.",
    .method = "none",
    .shape = c2r_shape,
    .kernels = {KernelRow{.name = "stockham", .run = c2r_kernel}},
    .derivative = {wrt("input", [](auto dy, auto, auto dim, auto scale,
                                   auto forward) { return fft_c2r_backward(dy, dim, scale, forward); })},
    .onnx = part(),
    .netdef = no_netdef(),
};
constinit const Op fft_c2r_backward_op{
    .schema = "fft_c2r_backward(Tensor grad, int[] dim, float scale, bool forward) -> Tensor",
    .doc = "Gradient of fft_c2r.",
    .method = "none",
    .body = eager_body(c2r_backward_run),
    .onnx = part(),
    .netdef = no_netdef(),
};

}  // namespace moka::ops
