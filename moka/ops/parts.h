// parts<function>(): a composite whose form depends on ranks, sizes or settings: an ordinary function over other
// operators. Eager calls run it, gradients and traces see its parts; graphs never hold it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "moka/schema/reading.h"

namespace moka {

namespace detail {
// One argument of the schema as the function's parameter; None is an undefined Tensor or an empty optional.
template <class T>
struct Part;
template <>
struct Part<const Tensor&> {
  static const Tensor& of(const Any& a) {
    static const Tensor none;
    return a.is_none() ? none : a.tensor();
  }
};
template <>
struct Part<int64_t> {
  static int64_t of(const Any& a) { return a.to_int(); }
};
template <>
struct Part<bool> {
  static bool of(const Any& a) { return a.to_bool(); }
};
template <>
struct Part<double> {
  static double of(const Any& a) { return a.to_double(); }
};
template <>
struct Part<std::optional<int64_t>> {
  static std::optional<int64_t> of(const Any& a) {
    return a.is_none() ? std::optional<int64_t>() : std::optional<int64_t>(a.to_int());
  }
};
template <>
struct Part<std::span<const int64_t>> {
  static std::span<const int64_t> of(const Any& a) {
    return a.is_none() ? std::span<const int64_t>() : a.ints();
  }
};
template <>
struct Part<std::span<const Tensor>> {
  static std::span<const Tensor> of(const Any& a) { return a.tensors(); }
};
template <>
struct Part<std::string_view> {
  static std::string_view of(const Any& a) { return a.string(); }
};
template <>
struct Part<const Any&> {
  static const Any& of(const Any& a) { return a; }
};

inline void store_parts(Any* out, Tensor result) { out[0] = Any(std::move(result)); }
inline void store_parts(Any* out, const std::vector<Tensor>& result) {
  out[0] = Any(std::span<const Tensor>(result));
}
template <class... T>
void store_parts(Any* out, std::tuple<T...> results) {
  std::apply([&](auto&... r) { ((*out++ = Any(std::move(r))), ...); }, results);
}

template <auto Function, class R, class... A, size_t... I>
void run_parts(R (*)(A...), const Any* in, Any* out, std::index_sequence<I...>) {
  store_parts(out, Function(Part<A>::of(in[I])...));
}
template <auto Function, class R, class... A>
constexpr auto parts_entry(R (*)(A...)) {
  return [](const Any* in, Any* out) {
    run_parts<Function>(Function, in, out, std::index_sequence_for<A...>{});
  };
}
}  // namespace detail

// The function takes the arguments of the schema in order (it may stop early) and returns a Tensor, a vector of them for
// Tensor[], or a tuple for several outputs.
template <auto Function>
constexpr Body parts() {
  Body b;
  b.eager = +detail::parts_entry<Function>(Function);
  return b;
}

}  // namespace moka
