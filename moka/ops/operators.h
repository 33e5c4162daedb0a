// Arithmetic and comparison signs for every reading but formula numbers, which bring their own.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/pointwise/pointwise.h"

namespace moka {

template <class T>
concept Reading =
    std::is_same_v<T, Tensor> || std::is_same_v<T, Any> || !std::is_void_v<typename ReadingOf<T>::type>;
template <class A, class B>
concept ReadingPair = (Reading<A> || Reading<B>) && !is_formula_number<A> && !is_formula_number<B>;

#define MOKA_READING_OPERATOR(sign, name)      \
  template <class A, class B>                  \
    requires ReadingPair<A, B>                 \
  auto operator sign(const A& a, const B& b) { \
    return name(a, b);                         \
  }
MOKA_READING_OPERATOR(+, add)
MOKA_READING_OPERATOR(-, sub)
MOKA_READING_OPERATOR(*, mul)
MOKA_READING_OPERATOR(/, div)
MOKA_READING_OPERATOR(<, lt)
MOKA_READING_OPERATOR(<=, le)
MOKA_READING_OPERATOR(>, gt)
MOKA_READING_OPERATOR(>=, ge)
#undef MOKA_READING_OPERATOR
template <Reading A>
auto operator-(const A& a) {
  return neg(a);
}

}  // namespace moka
