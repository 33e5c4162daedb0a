// What operator pages use to define Ops: wrt, fused and body turn one generic lambda into all its readings; the family
// macros make declarations and the table from one list.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/graph/expr.h"
#include "moka/ops/batch_rules.h"
#include "moka/ops/formula.h"
#include "moka/ops/operators.h"

namespace moka {

namespace detail {

template <class F, class R, size_t... I>
constexpr bool takes(std::index_sequence<I...>) {
  return std::is_invocable_v<F, std::enable_if_t<(I >= 0), R>...>;
}
// Number of parameters of a generic lambda: the one count with which it can be called.
template <class F, class R, int N = 1>
constexpr int lambda_arity() {
  if constexpr (takes<F, R>(std::make_index_sequence<N>{})) return N;
  else {
    static_assert(N < max_args, "a derivative or body takes at most max_args parameters");
    return lambda_arity<F, R, N + 1>();
  }
}

template <class R, class T>
void store_results(R* out, T&& result) {
  out[0] = R(std::forward<T>(result));
}
template <class R, class... T>
void store_results(R* out, std::tuple<T...>&& result) {
  std::apply([&](auto&&... r) { ((*out++ = R(std::move(r))), ...); }, std::move(result));
}
template <class T>
inline constexpr int result_count = 1;
template <class... T>
inline constexpr int result_count<std::tuple<T...>> = sizeof...(T);

template <class F, class R, size_t... I>
void call_lambda(const R* in, R* out, std::index_sequence<I...>) {
  store_results(out, F{}(in[I]...));
}
template <class F, class R, int N>
void lambda_reading(const R* in, R* out) {
  call_lambda<F, R>(in, out, std::make_index_sequence<N>{});
}
template <class F, size_t... I>
Usage read_usage(std::index_sequence<I...>) {
  Usage usage;
  Uses in[] = {Uses(&usage, uint64_t(1) << I)...};
  auto result = F{}(in[I]...);
  // A parameter returned as it is (dy, say) is read whole too.
  if constexpr (std::is_same_v<decltype(result), Uses>) usage.values |= result.bit;
  else if constexpr (result_count<decltype(result)> > 1)
    std::apply(
        [&](auto&... r) {
          ((std::is_same_v<std::remove_cvref_t<decltype(r)>, Uses> ? void(usage.values |= Uses(r).bit)
                                                                   : void()),
           ...);
        },
        result);
  return usage;
}
template <class F, int N>
Usage usage_reading() {
  return read_usage<F>(std::make_index_sequence<N>{});
}
}  // namespace detail

#ifdef MOKA_PREDICTOR
template <int gradients = 1, class F>
constexpr Nothing wrt(std::string_view, F) {
  return {};
}
constexpr Nothing constants(std::string_view, std::string_view) { return {}; }
template <class F>
constexpr Nothing fused(std::string_view, F) {
  return {};
}
template <class F>
constexpr Body body(F) {
  Body b;
  b.eager = detail::lambda_reading<F, Any, detail::lambda_arity<F, Any>()>;
  return b;
}
#else
// The derivative with respect to the named arguments ("input", or "weight bias" for several at once). wrt<2> takes the
// gradients of the first two outputs; where nothing depended on one of them it is zeros.
template <int gradients = 1, class F>
constexpr Derivative wrt(std::string_view names, F) {
  constexpr int n = detail::lambda_arity<F, Uses>();
  static_assert(n >= gradients, "the gradients come first: name all of them");
  Derivative d;
  d.names = names;
  d.gradients = gradients;
  d.parameters = n;
  d.results = 1;
  for (char c : names) d.results += c == ' ';
  d.eager = detail::lambda_reading<F, Any, n>;
  d.graph = detail::lambda_reading<F, graph::Expr, n>;
  d.usage = detail::usage_reading<F, n>;
  return d;
}
// The same for a derivative that is itself one pointwise formula: it runs as one kernel when nothing asks for its own
// derivative.
template <class F>
constexpr Derivative fused(std::string_view name, F f) {
  Derivative d = wrt(name, f);
  d.fused = pointwise<F, detail::lambda_arity<F, Uses>()>(DTypeRule::Floating, 4);
  d.fused.text = nullptr;
  return d;
}
// Floating outputs without a gradient ("mean invstd"), and why.
constexpr Derivative constants(std::string_view outputs, std::string_view why) {
  Derivative d;
  d.names = outputs;
  d.constant = why;
  d.gradients = d.results = 0;
  return d;
}
// A composite operator; the lambda takes all arguments of the schema in order.
template <class F>
constexpr Body body(F) {
  constexpr int n = detail::lambda_arity<F, Uses>();
  Body b;
  b.eager = detail::lambda_reading<F, Any, n>;
  b.graph = detail::lambda_reading<F, graph::Expr, n>;
  return b;
}
#endif

}  // namespace moka

// In <family>.h:
//   #define MOKA_POINTWISE_OPS(OP) OP(abs) OP(neg) ...
//   MOKA_POINTWISE_OPS(MOKA_DECLARE_OP)
// In one page of the family:
//   MOKA_OP_TABLE(pointwise, MOKA_POINTWISE_OPS)
#define MOKA_TABLE_ENTRY(name) &name##_op,
#define MOKA_OP_TABLE(family, LIST)                                \
  namespace moka::ops {                                            \
  void register_##family() {                                       \
    static constexpr const Op* table[] = {LIST(MOKA_TABLE_ENTRY)}; \
    register_ops(table, std::size(table));                         \
  }                                                                \
  }
