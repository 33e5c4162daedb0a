// Orthogonal polynomials as operators of the point and the degree.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/special/lanes.h"

namespace moka {
MOKA_LANES2(special_chebyshev_polynomial_t, special::chebyshev_t)
MOKA_LANES2(special_chebyshev_polynomial_u, special::chebyshev_u)
MOKA_LANES2(special_chebyshev_polynomial_v, special::chebyshev_v)
MOKA_LANES2(special_chebyshev_polynomial_w, special::chebyshev_w)
MOKA_LANES2(special_hermite_polynomial_h, special::hermite_h)
MOKA_LANES2(special_hermite_polynomial_he, special::hermite_he)
MOKA_LANES2(special_laguerre_polynomial_l, special::laguerre_l)
MOKA_LANES2(special_legendre_polynomial_p, special::legendre_p)
}  // namespace moka

namespace moka::ops {

#define MOKA_POLYNOMIAL(name, Name, text)                                                                  \
  struct Name {                                                                                            \
    constexpr auto operator()(auto x, auto n) const { return name(x, n); }                                 \
  };                                                                                                       \
  constinit const Op name##_op {                                                                           \
    .schema = #name "(Operand input, Operand n) -> Tensor",                                                \
    .doc = "The " text " polynomial of degree n at input; 0 for negative n.", .method = "function",        \
    .formula = pointwise<Name>(DTypeRule::Floating, 60),                                                   \
    .derivative = none("not differentiable in PyTorch either"), .onnx = none("ONNX has no such operator"), \
    .netdef = none("Caffe2 has no such operator"),                                                         \
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Index, 1, 5).no_gradient(),                              \
                shapes({0}, {1}).no_gradient()},                                                           \
  }
MOKA_POLYNOMIAL(special_chebyshev_polynomial_t, ChebyshevT, "Chebyshev (first kind)");
MOKA_POLYNOMIAL(special_chebyshev_polynomial_u, ChebyshevU, "Chebyshev (second kind)");
MOKA_POLYNOMIAL(special_chebyshev_polynomial_v, ChebyshevV, "Chebyshev (third kind)");
MOKA_POLYNOMIAL(special_chebyshev_polynomial_w, ChebyshevW, "Chebyshev (fourth kind)");
MOKA_POLYNOMIAL(special_hermite_polynomial_h, HermiteH, "physicist's Hermite");
MOKA_POLYNOMIAL(special_hermite_polynomial_he, HermiteHe, "probabilist's Hermite");
MOKA_POLYNOMIAL(special_laguerre_polynomial_l, LaguerreL, "Laguerre");
MOKA_POLYNOMIAL(special_legendre_polynomial_p, LegendreP, "Legendre");
#undef MOKA_POLYNOMIAL

}  // namespace moka::ops
