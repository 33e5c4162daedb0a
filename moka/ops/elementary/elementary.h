// The elementary family: trigonometric and hyperbolic functions, logarithms, remainders, bits and other functions of one
// or two numbers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_ELEMENTARY_OPS(OP) \
  OP(tan) OP(asin) OP(acos) OP(atan) OP(sinh) OP(cosh) OP(asinh) OP(acosh) OP(atanh) OP(sinc) OP(deg2rad) \
  OP(rad2deg) OP(exp2) OP(log2) OP(log10) OP(logaddexp) OP(logaddexp2) OP(logit_eps) OP(logit) OP(xlogy) \
  OP(xlog1py) OP(widest) OP(float_power) OP(float_power_exponent) OP(float_power_base) OP(ldexp) OP(atan2) OP(hypot) \
  OP(copysign) OP(fmax) OP(fmin) OP(nextafter) OP(heaviside) OP(addcdiv) OP(frac) OP(isinf) OP(isposinf) \
  OP(isneginf) OP(signbit) OP(nan_to_num) OP(fmod) OP(remainder) OP(floor_divide) OP(div_mode) \
  OP(div_mode_backward) OP(round_decimals) OP(bitwise_and) OP(bitwise_or) OP(bitwise_xor) OP(bitwise_not) \
  OP(bitwise_left_shift) OP(bitwise_right_shift) OP(gcd) OP(lcm) OP(clamp_lower) OP(clamp_upper) \
  OP(isclose) OP(fill)
// clang-format on
MOKA_ELEMENTARY_OPS(MOKA_DECLARE_OP)
