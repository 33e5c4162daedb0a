// Readings: calling one operator object with Tensors computes, with graph expressions builds, with Uses records what is
// read, with formula numbers is arithmetic. MOKA_DECLARE_OP makes that object from an Op.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <tuple>
#include <type_traits>

#include "moka/schema/frame.h"

namespace moka {

// Specialised by each reading's value type; void means eager.
template <class T>
struct ReadingOf {
  using type = void;
};
// True for the formula numbers of moka/ops/formula.h.
template <class T>
inline constexpr bool is_formula_number = false;

// Records which parameters of a derivative are read whole and of which only the shape.
struct Uses {
  Usage* usage = nullptr;
  uint64_t bit = 0;
  Uses() = default;
  Uses(Usage* usage, uint64_t bit) : usage(usage), bit(bit) {}
};

struct UsesReading {
  static Usage*& mark(Usage*& into, const Uses& u) {
    if (u.usage) {
      u.usage->values |= u.bit;
      into = u.usage;
    }
    return into;
  }
  template <class T>
  static Usage*& mark(Usage*& into, const T&) {
    return into;
  }
  template <class... A>
  static Uses call(const Op&, const A&... a) {
    Usage* usage = nullptr;
    (mark(usage, a), ...);
    return Uses(usage, 0);
  }
  template <class... A>
  static Uses call_list(const Op& op, const A&... a) {
    return call(op, a...);
  }
  template <class... A>
  static std::array<Uses, 8> call_all(const Op& op, const A&... a) {
    std::array<Uses, 8> out;
    out.fill(call(op, a...));
    return out;
  }
};
template <>
struct ReadingOf<Uses> {
  using type = UsesReading;
};

// Room for the arguments of any schema; they are set before they are read.
inline constexpr int max_args = 24;
class ArgRoom {
 public:
  ArgRoom() {}
  template <class... A>
  explicit ArgRoom(const A&... a) {
    Arg* to = args_;
    ((*to++ = Arg(a)), ...);
  }
  operator Arg*() { return args_; }
  operator const Arg*() const { return args_; }

 private:
  union {
    Arg args_[max_args];
  };
};

struct EagerReading {
  // Fills defaults, checks and dispatches; args has room for max_args.
  static void dispatch(const Op& op, Arg* args, int given, Outputs& outs);
  // The same where arguments of a derivative or body may be numbers: a formula of numbers alone gives a number, so that
  // `exponent - 1` is one whatever the caller gave for the exponent.
  static Any compute(const Op& op, Arg* args, int given);
  template <class... A>
  static auto call(const Op& op, const A&... a) {
    ArgRoom args(a...);
    if constexpr ((std::is_same_v<A, Any> || ...)) {
      return compute(op, args, sizeof...(A));
    } else {
      Outputs outs;
      dispatch(op, args, sizeof...(A), outs);
      return Tensor(std::move(outs[0]));
    }
  }
  template <class... A>
  static Any call_list(const Op& op, const A&... a) {
    ArgRoom args(a...);
    Outputs outs;
    dispatch(op, args, sizeof...(A), outs);
    return outs.list();
  }
  template <class... A>
  static Outputs call_all(const Op& op, const A&... a) {
    ArgRoom args(a...);
    Outputs outs;
    dispatch(op, args, sizeof...(A), outs);
    return outs;
  }
};

namespace detail {
template <class... A>
struct FirstReading {
  using type = EagerReading;
};
template <class A, class... Rest>
struct FirstReading<A, Rest...> {
  using own = typename ReadingOf<A>::type;
  using type =
      typename std::conditional_t<std::is_void_v<own>, FirstReading<Rest...>, std::type_identity<own>>::type;
};
}  // namespace detail
template <class... A>
using reading_of = typename detail::FirstReading<std::remove_cvref_t<A>...>::type;

// Several gradients at once, in the order of the names given to wrt().
template <class... A>
std::tuple<A...> results(A... a) {
  return {a...};
}

// What an operator with several outputs returns: op_results(batch_norm, x, ...)[1].
template <class Call, class... A>
auto op_results(const Call&, const A&... a) {
  return reading_of<A...>::call_all(Call::op(), a...);
}

// What an operator that returns Tensor[] gives, as one value: op_list(unbind, x, 0).
template <class Call, class... A>
auto op_list(const Call&, const A&... a) {
  return reading_of<A...>::call_list(Call::op(), a...);
}

// The sizes of a tensor: reading them does not keep its values alive for backward.
struct ShapeOf {
  Any operator()(const Tensor& t) const { return Any(t.sizes()); }
  Any operator()(const Any& t) const { return Any(t.tensor().sizes()); }
  Uses operator()(const Uses& u) const {
    if (u.usage) u.usage->shapes |= u.bit;
    return Uses(u.usage, 0);
  }
  template <class T>
    requires(!std::is_void_v<typename ReadingOf<T>::type>)
  auto operator()(const T& t) const {
    return shape_of_reading(t);  // found beside the reading's type
  }
};
inline constexpr ShapeOf shape_of;

// A list of tensors of which only shapes are read: with Tensors and graphs it stays what it is.
struct OnlyShapes {
  Uses operator()(const Uses& u) const { return shape_of(u); }
  template <class T>
  const T& operator()(const T& list) const {
    return list;
  }
};
inline constexpr OnlyShapes only_shapes;

}  // namespace moka

// Declares `name_op` (the value, defined in an operator page) and `name` (the callable).
#define MOKA_DECLARE_OP(name)                                                       \
  namespace moka {                                                                  \
  namespace ops {                                                                   \
  extern const Op name##_op;                                                        \
  }                                                                                 \
  struct name##_call {                                                              \
    static const Op& op() { return ops::name##_op; }                                \
    template <class... A>                                                           \
      requires(!(is_formula_number<A> || ...))                                      \
    auto operator()(const A&... a) const {                                          \
      return reading_of<A...>::call(ops::name##_op, a...);                          \
    }                                                                               \
    template <class... A>                                                           \
      requires(is_formula_number<A> || ...)                                         \
    __attribute__((always_inline)) constexpr auto operator()(const A&... a) const { \
      return number_##name(a...);                                                   \
    }                                                                               \
  };                                                                                \
  inline constexpr name##_call name{};                                              \
  }
