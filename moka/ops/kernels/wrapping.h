// Arithmetic of integers that wraps around, as it does in tensors; of other numbers it is the usual one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

namespace moka {

namespace detail {
// The unsigned form of V, a number of type T or a vector of such.
template <class T, class V>
struct UnsignedForm {
  typedef std::make_unsigned_t<T> type __attribute__((vector_size(sizeof(V))));
};
template <class T>
struct UnsignedForm<T, T> {
  using type = std::make_unsigned_t<T>;
};
template <class T>
inline constexpr bool wraps = std::is_integral_v<T> && std::is_signed_v<T> && sizeof(T) >= sizeof(int);
}  // namespace detail

template <class T, class V>
inline V wrapping_add(V a, V b) {
  if constexpr (detail::wraps<T>) {
    using U = typename detail::UnsignedForm<T, V>::type;
    return (V)((U)a + (U)b);
  } else {
    return a + b;
  }
}
template <class T, class V>
inline V wrapping_multiply(V a, V b) {
  if constexpr (detail::wraps<T>) {
    using U = typename detail::UnsignedForm<T, V>::type;
    return (V)((U)a * (U)b);
  } else {
    return a * b;
  }
}
// b is not 0.
template <class T>
inline T wrapping_divide(T a, T b) {
  if constexpr (detail::wraps<T>)
    if (b == -1) return static_cast<T>(-static_cast<std::make_unsigned_t<T>>(a));
  return a / b;
}

}  // namespace moka
