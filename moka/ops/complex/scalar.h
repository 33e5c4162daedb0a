// Complex numbers among the arguments of calls: two floats, real and imaginary part.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/value.h"

namespace moka {

struct ComplexNumber {
  double real = 0, imag = 0;
};
inline bool is_complex_number(const Arg& a) {
  if (a.tag != Tag::Floats) return false;
  return a.count == 2;  // apart: one load of both would wait for the tag that was just written
}
inline ComplexNumber as_complex(const Arg& a) {
  if (is_complex_number(a)) return {a.floats[0], a.floats[1]};
  return {a.as_double(), 0};
}

}  // namespace moka
