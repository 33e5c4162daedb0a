// Determinants and their logarithms, from LU factors.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/eager_body.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/linalg/linalg.h"
#include "moka/ops/linalg/matrices.h"

namespace moka::ops {

namespace {
using lapack::Int;

void det_shape(Frame& f) {
  const Tensor& a = square_argument(f, 0);
  exact_output(f, 0, batch_of(a), a.dtype());
}
void slogdet_shape(Frame& f) {
  const Tensor& a = square_argument(f, 0);
  exact_output(f, 0, batch_of(a), a.dtype());
  exact_output(f, 1, batch_of(a), real_dtype(a.dtype()));
}
// Calls take(i, diagonal of U, number of row exchanges) for every matrix; the diagonal has steps of n + 1.
template <class T, class F>
void for_diagonals(const Frame& f, const Columns& a, F take) {
  const auto& l = lapack::routines<T>(f.name());
  const Int n = a.rows(), lda = a.leading();
  for_matrices(a.count(), double(n) * n * n, [&](int64_t i) {
    std::vector<Int> pivots(static_cast<size_t>(std::max(1, n)));
    Int info = 0;
    bool odd = false;
    if (n) l.getrf(&n, &n, a.at<T>(i), &lda, pivots.data(), &info);
    for (Int k = 0; k < n; k++) odd ^= pivots[size_t(k)] != k + 1;
    take(i, a.at<T>(i), odd);
  });
}
void det_kernel(Frame& f) {
  Columns a(f.tensor(0));
  const int64_t n = a.rows();
  with_type(a.tensor().dtype(), [&]<class T>(T) {
    T* out = f.outs[0].data<T>();
    for_diagonals<T>(f, a, [&](int64_t i, const T* u, bool odd) {
      T product(1);
      for (int64_t k = 0; k < n; k++) product *= u[k * (n + 1)];
      out[i] = odd ? -product : product;
    });
  });
}
void slogdet_kernel(Frame& f) {
  Columns a(f.tensor(0));
  const int64_t n = a.rows();
  with_type(a.tensor().dtype(), [&]<class T>(T) {
    using R = lapack::Real<T>;
    T* sign = f.outs[0].data<T>();
    R* log = f.outs[1].data<R>();
    for_diagonals<T>(f, a, [&](int64_t i, const T* u, bool odd) {
      T turn(odd ? -1 : 1);
      R total(0);
      for (int64_t k = 0; k < n; k++) {
        T pivot = u[k * (n + 1)];
        R size = std::abs(pivot);
        total += std::log(size);
        turn = size == R(0) ? T(0) : turn * (pivot / size);
      }
      sign[i] = turn;
      log[i] = total;
    });
  });
}

constexpr auto no_netdef = [] { return none("Caffe2 has no operator for it"); };
}  // namespace

#define MOKA_DET(which, onnx_map)                                                                           \
  constinit const Op which##_op {                                                                           \
    .schema = #which "(Tensor A) -> Tensor", .doc = "Determinants of square matrices.", .shape = det_shape, \
    .kernels = {KernelRow{.name = "lapack", .run = det_kernel}},                                            \
    .derivative = {wrt("A", [](auto dy, auto A, auto y) { return det_backward(dy, A, y); })},               \
    .onnx = onnx_map, .netdef = no_netdef(),                                                                \
    .samples = {shape(3, 3), shape(2, 2, 2), shape(0, 0).no_gradient()},                                    \
  }
#define MOKA_SLOGDET(which)                                                                        \
  constinit const Op which##_op {                                                                  \
    .schema = #which "(Tensor A) -> (Tensor sign, Tensor logabsdet)",                              \
    .doc = "Signs of determinants and logarithms of their sizes.", .shape = slogdet_shape,         \
    .kernels = {KernelRow{.name = "lapack", .run = slogdet_kernel}},                               \
    .derivative = {wrt<2>("A", [](auto dsign, auto dlog, auto A,                                   \
                                  auto sign) { return slogdet_backward(dsign, dlog, A, sign); })}, \
    .onnx = none("written as Det, Sign, Abs and Log"), .netdef = no_netdef(),                      \
    .samples = {shape(3, 3), shape(2, 2, 2), shape(0, 0).no_gradient()},                           \
  }
MOKA_DET(linalg_det, none("det is written as Det"));
MOKA_DET(det, "Det(A)");
MOKA_SLOGDET(linalg_slogdet);
MOKA_SLOGDET(slogdet);

constinit const Op logdet_op{
    .schema = "logdet(Tensor input) -> Tensor",
    .doc = "Logarithms of determinants; NaN where one is negative.",
    .body = body([](auto a) {
      auto parts = op_results(linalg_slogdet, a);
      return parts[1] + log(parts[0]);
    }),
    .onnx = none("written as Det and Log"),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(1, 1).in(Domain::Positive), shape(2, 1, 1).in(Domain::Positive)},
};

}  // namespace moka::ops

MOKA_OP_TABLE(linalg, MOKA_LINALG_OPS)
