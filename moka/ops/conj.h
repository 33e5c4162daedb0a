// conj: the complex conjugate in every reading. Derivatives write it wherever an operand multiplies a gradient; for real
// tensors it is the tensor itself and costs nothing.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/graph/expr.h"
#include "moka/ops/complex/scalar.h"
#include "moka/ops/number.h"
#include "moka/ops/text_number.h"

namespace moka {

// Of the real numbers of formulas; Complex<T, N> brings its own.
template <class T, int N>
MOKA_INLINE Num<T, N> number_conj(Num<T, N> a) {
  return a;
}
template <class T, int N>
MOKA_INLINE Num<T, N> number_sgn(Num<T, N> a) {
  return number_where(a > T(0), T(1), number_where(a < T(0), T(-1), a * T(0)));
}
inline Text number_conj(const Text& a) { return a; }
inline Text number_sgn(const Text& a) { return text_operation("sgn", a); }

namespace ops {
extern const Op conj_op;
}
struct conj_call {
  static const Op& op() { return ops::conj_op; }
  Tensor operator()(const Tensor& x) const {
    return is_complex(x.dtype()) ? EagerReading::call(ops::conj_op, x) : x;
  }
  Any operator()(const Any& x) const {
    return x.is_tensor() && is_complex(x.tensor().dtype()) ? Any(EagerReading::call(ops::conj_op, x))
                                                           : conj_number(x);
  }
  graph::Expr operator()(const graph::Expr& x) const {
    if (!x.value || x.value->type.kind != graph::TypeKind::Tensor) return x;
    if (x.value->type.has_dtype && !is_complex(x.value->type.dtype)) return x;
    return graph::GraphReading::call(ops::conj_op, x);
  }
  Uses operator()(const Uses& x) const { return UsesReading::call(ops::conj_op, x); }
  template <class A>
    requires is_formula_number<A>
  __attribute__((always_inline)) constexpr auto operator()(const A& a) const {
    return number_conj(a);
  }

 private:
  static Any conj_number(const Any& x) {
    if (!is_complex_number(x.arg())) return x;
    ComplexNumber c = as_complex(x.arg());
    const double conjugate[] = {c.real, -c.imag};
    return Any(std::span<const double>(conjugate));
  }
};
inline constexpr conj_call conj{};

}  // namespace moka
