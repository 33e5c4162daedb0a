// Bessel and Airy functions as operators.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/special/lanes.h"

namespace moka {
MOKA_LANES(i0, special::bessel_i0)
MOKA_LANES(special_i0e, special::scaled_bessel_i0)
MOKA_LANES(special_i1, special::bessel_i1)
MOKA_LANES(special_i1e, special::scaled_bessel_i1)
MOKA_LANES(special_modified_bessel_k0, special::bessel_k0)
MOKA_LANES(special_modified_bessel_k1, special::bessel_k1)
MOKA_LANES(special_scaled_modified_bessel_k0, special::scaled_bessel_k0)
MOKA_LANES(special_scaled_modified_bessel_k1, special::scaled_bessel_k1)
MOKA_LANES(special_bessel_j0, special::bessel_j0)
MOKA_LANES(special_bessel_j1, special::bessel_j1)
MOKA_LANES(special_bessel_y0, special::bessel_y0)
MOKA_LANES(special_bessel_y1, special::bessel_y1)
MOKA_LANES(special_spherical_bessel_j0, special::spherical_bessel_j0)
MOKA_LANES(special_airy_ai, special::airy_ai)
MOKA_LANES(airy_ai_slope, special::airy_ai_slope)
}  // namespace moka

namespace moka::ops {

MOKA_SPECIAL(i0, I0, 80, "", "The modified Bessel function of the first kind of order 0.", dy* special_i1(x),
             Domain::Real);
MOKA_SPECIAL(special_i0e, I0e, 60, "function", "exp(-|input|) I0(input).", dy*(special_i1e(x) - sign(x) * y),
             Domain::Real);
MOKA_SPECIAL(special_i1, I1, 80, "function", "The modified Bessel function of the first kind of order 1.",
             dy* where(eq(x, 0), 0.5, i0(x) - y / x), Domain::Real);
MOKA_SPECIAL(special_i1e, I1e, 60, "function", "exp(-|input|) I1(input).",
             dy* where(eq(x, 0), 0.5, special_i0e(x) - y * (sign(x) + 1 / x)), Domain::Real);
MOKA_SPECIAL(special_modified_bessel_k0, K0, 80, "function",
             "The modified Bessel function of the second kind of order 0.",
             neg(dy* special_modified_bessel_k1(x)), Domain::Positive);
MOKA_SPECIAL(special_modified_bessel_k1, K1, 80, "function",
             "The modified Bessel function of the second kind of order 1.",
             neg(dy*(special_modified_bessel_k0(x) + y / x)), Domain::Positive);
MOKA_SPECIAL(special_scaled_modified_bessel_k0, K0e, 80, "function", "exp(input) K0(input).",
             dy*(y - special_scaled_modified_bessel_k1(x)), Domain::Positive);
MOKA_SPECIAL(special_scaled_modified_bessel_k1, K1e, 80, "function", "exp(input) K1(input).",
             dy*(y - special_scaled_modified_bessel_k0(x) - y / x), Domain::Positive);
MOKA_SPECIAL(special_bessel_j0, J0, 80, "function", "The Bessel function of the first kind of order 0.",
             neg(dy* special_bessel_j1(x)), Domain::Real);
MOKA_SPECIAL(special_bessel_j1, J1, 80, "function", "The Bessel function of the first kind of order 1.",
             dy* where(eq(x, 0), 0.5, special_bessel_j0(x) - y / x), Domain::Real);
MOKA_SPECIAL(special_bessel_y0, Y0, 80, "function",
             "The Bessel function of the second kind of order 0; NaN below 0.", neg(dy* special_bessel_y1(x)),
             Domain::Positive);
MOKA_SPECIAL(special_bessel_y1, Y1, 80, "function",
             "The Bessel function of the second kind of order 1; NaN below 0.",
             dy*(special_bessel_y0(x) - y / x), Domain::Positive);
MOKA_SPECIAL(special_spherical_bessel_j0, SphericalJ0, 60, "function", "sin(input) / input, 1 at 0.",
             dy* where(eq(x, 0), 0, (cos(x) - y) / x), Domain::Real);
MOKA_SPECIAL(special_airy_ai, AiryAi, 200, "function", "The Airy function Ai.", dy* airy_ai_slope(x),
             Domain::Real);
MOKA_SPECIAL(airy_ai_slope, AiryAiSlope, 200, "function", "The derivative of the Airy function Ai.",
             dy * x * special_airy_ai(x), Domain::Real);

}  // namespace moka::ops
