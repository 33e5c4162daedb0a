// Special functions of one number in double precision; formulas call them lane by lane.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace moka::special {

double digamma(double x);
double log_gamma(double x);  // log |Gamma(x)|, without the C library's global sign
double zeta(double x, double q);  // Hurwitz: sum of (q + k)^-x over k >= 0
double polygamma(double n, double x);  // n-th derivative of digamma
// Multivariate gamma function of dimension p.
double multivariate_log_gamma(double x, double p);
double multivariate_digamma(double x, double p);
double inverse_erf(double x);
double scaled_erfc(double x);  // exp(x^2) erfc(x)
double log_normal_cdf(double x);
double inverse_normal_cdf(double p);

// Modified Bessel functions; scaled: exp(-|x|) I(x), exp(x) K(x).
double bessel_i0(double x);
double scaled_bessel_i0(double x);
double bessel_i1(double x);
double scaled_bessel_i1(double x);
double bessel_k0(double x);
double scaled_bessel_k0(double x);
double bessel_k1(double x);
double scaled_bessel_k1(double x);
double bessel_j0(double x);
double bessel_j1(double x);
double bessel_y0(double x);
double bessel_y1(double x);
double spherical_bessel_j0(double x);
double airy_ai(double x);
double airy_ai_slope(double x);  // its derivative

// Regularized incomplete gamma functions, lower and upper.
double gamma_p(double a, double x);
double gamma_q(double a, double x);

// Orthogonal polynomials of degree n (truncated to an integer; 0 where negative).
double chebyshev_t(double x, double n);
double chebyshev_u(double x, double n);
double chebyshev_v(double x, double n);
double chebyshev_w(double x, double n);
double hermite_h(double x, double n);
double hermite_he(double x, double n);
double laguerre_l(double x, double n);
double legendre_p(double x, double n);

}  // namespace moka::special
