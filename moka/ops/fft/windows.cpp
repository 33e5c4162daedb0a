// Windows: weights that fall off towards the ends of a frame.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/ops/creation/creation.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/fft/fft.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
constexpr double pi = 3.14159265358979323846;

// The modified Bessel function of order 0 by its power series.
double bessel_i0(double x) {
  double sum = 1, term = 1, q = x * x / 4;
  for (int k = 1; k < 500 && term > sum * 1e-17; k++) {
    term *= q / (double(k) * k);
    sum += term;
  }
  return sum;
}

// A periodic window is the symmetric one of one point more, without its last point. f takes the place, 0 to 1.
template <class F>
void window(const Any& length, const Any& periodic, const Any& dtype, Any* out, std::string_view op, F f) {
  int64_t n = length.to_int();
  MOKA_CHECK(n >= 0, op, ": requires non-negative window_length, got window_length=", n);
  DType d = dtype.is_none() ? default_float() : dtype.dtype();
  MOKA_CHECK(is_floating(d), op, ": expects floating point dtypes, got: ", d);
  Tensor t = new_tensor(Dims{n}, DType::F64);
  double last = periodic.to_bool() ? double(n) : double(n - 1);
  for (int64_t k = 0; k < n; k++) t.data<double>()[k] = n == 1 ? 1 : f(double(k) / last);
  out[0] = Any(to(t, d));
}
void hann_run(const Any* in, Any* out) {
  window(in[0], in[1], in[2], out, "hann_window", [](double x) { return 0.5 - 0.5 * std::cos(2 * pi * x); });
}
void hamming_run(const Any* in, Any* out) {
  double alpha = in[2].to_double(), beta = in[3].to_double();
  window(in[0], in[1], in[4], out, "hamming_window",
         [=](double x) { return alpha - beta * std::cos(2 * pi * x); });
}
void blackman_run(const Any* in, Any* out) {
  window(in[0], in[1], in[2], out, "blackman_window",
         [](double x) { return 0.42 - 0.5 * std::cos(2 * pi * x) + 0.08 * std::cos(4 * pi * x); });
}
void bartlett_run(const Any* in, Any* out) {
  window(in[0], in[1], in[2], out, "bartlett_window", [](double x) { return 1 - std::abs(2 * x - 1); });
}
void kaiser_run(const Any* in, Any* out) {
  double beta = in[2].to_double();
  window(in[0], in[1], in[3], out, "kaiser_window", [=](double x) {
    double from_middle = 2 * x - 1;
    return bessel_i0(beta * std::sqrt(std::max(0.0, 1 - from_middle * from_middle))) / bessel_i0(beta);
  });
}
}  // namespace

#define MOKA_WINDOW(op_name, more, text, run, onnx_map)                          \
  constinit const Op op_name##_op {                                              \
    .schema = #op_name "(int window_length, bool periodic=True" more             \
                       ", *, DType? dtype=None, Device? device=None) -> Tensor", \
    .doc = text, .method = "function", .body = eager_body(run),                  \
    .derivative = none("it has no tensor arguments"), .onnx = onnx_map,          \
    .netdef = none("a constant in graphs"),                                      \
    .samples = {no_tensors().with("window_length", 6),                           \
                no_tensors().with("window_length", 5).with("periodic", false)},  \
  }
MOKA_WINDOW(hann_window, "", "Hann's window: a raised cosine.", hann_run, none("a constant in graphs"));
MOKA_WINDOW(hamming_window, ", float alpha=0.54, float beta=0.46", "Hamming's window: alpha - beta cos.",
            hamming_run, none("a constant in graphs"));
MOKA_WINDOW(blackman_window, "", "Blackman's window.", blackman_run, none("a constant in graphs"));
MOKA_WINDOW(bartlett_window, "", "Bartlett's window: a triangle.", bartlett_run,
            none("a constant in graphs"));
MOKA_WINDOW(kaiser_window, ", float beta=12.0", "Kaiser's window, of a modified Bessel function.", kaiser_run,
            none("a constant in graphs"));

}  // namespace moka::ops
