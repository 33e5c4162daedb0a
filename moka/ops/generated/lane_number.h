// Num<T, 0>: the reading of formulas as lane programs. A number of no lanes is a node of the page that is being written;
// what number.h and functions.h build of arithmetic and bits is read as it stands, without the branches that name
// instructions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/functions.h"
#include "moka/ops/generated/lanes.h"

namespace moka {
namespace lanes {

// The page that this thread writes.
extern thread_local Page* page;
// Lanes add to `to` while this lives.
struct OpenPage {
  Page* outer = page;
  explicit OpenPage(Page& to) { page = &to; }
  ~OpenPage() { page = outer; }
};

template <class T>
inline constexpr Type type_of = sizeof(T) == 4 ? (std::is_floating_point_v<T> ? Type::F32 : Type::I32)
                                               : (std::is_floating_point_v<T> ? Type::F64 : Type::I64);

struct Truth {
  int id = -1;
};
// One value: a float, a double or an integer of their sizes.
template <class T>
struct Value {
  int id = -1;
  Value() = default;
  explicit Value(int id) : id(id) {}
  template <class U>
    requires(!std::is_same_v<T, U>)
  explicit Value(Value<U> same_bits) : id(page->add({Kind::Bits, type_of<T>, same_bits.id})) {}
  static Value of(T x) {
    LaneInt<T> bits;
    std::memcpy(&bits, &x, sizeof bits);
    Node n{Kind::Constant, type_of<T>};
    n.number = static_cast<std::make_unsigned_t<LaneInt<T>>>(bits);
    return Value(page->add(n));
  }
};
template <class T>
Value<T> apply(Kind kind, Value<T> a, Value<T> b = {}) {
  return Value<T>(page->add({kind, type_of<T>, a.id, b.id}));
}
template <class T>
Truth compare(Kind kind, Value<T> a, Value<T> b) {
  return {page->add({kind, Type::Mask, a.id, b.id})};
}
#define MOKA_LANE_OPERATOR(sign, kind)               \
  template <class T>                                 \
  Value<T> operator sign(Value<T> a, Value<T> b) {   \
    return apply(Kind::kind, a, b);                  \
  }                                                  \
  template <class T>                                 \
  Value<T> operator sign(Value<T> a, LaneInt<T> b) { \
    return apply(Kind::kind, a, Value<T>::of(T(b))); \
  }
MOKA_LANE_OPERATOR(+, Add)
MOKA_LANE_OPERATOR(-, Subtract)
MOKA_LANE_OPERATOR(*, Multiply)
MOKA_LANE_OPERATOR(/, Divide)
MOKA_LANE_OPERATOR(&, And)
MOKA_LANE_OPERATOR(|, Or)
MOKA_LANE_OPERATOR(^, Xor)
#undef MOKA_LANE_OPERATOR
template <class T>
Value<T> operator-(Value<T> a) {
  return apply(Kind::Negate, a);
}
template <class T>
Value<T> shift(Kind kind, Value<T> a, int by) {
  Node n{kind, type_of<T>, a.id};
  n.number = static_cast<uint64_t>(by);
  return Value<T>(page->add(n));
}
template <class T>
Value<T> operator<<(Value<T> a, int by) {
  return shift(Kind::ShiftLeft, a, by);
}
template <class T>
Value<T> operator>>(Value<T> a, int by) {
  return shift(Kind::ShiftRight, a, by);
}
template <class T>
Truth operator<(Value<T> a, LaneInt<T> b) {
  return compare(Kind::Less, a, Value<T>::of(T(b)));
}
template <class T>
Truth operator!=(Value<T> a, LaneInt<T> b) {
  return compare(Kind::NotEqual, a, Value<T>::of(T(b)));
}
inline Truth settled(Truth m) { return m; }
template <class T>
Value<T> multiply_add(Value<T> a, Value<T> b, Value<T> c) {
  return Value<T>(page->add({Kind::MultiplyAdd, type_of<T>, a.id, b.id, c.id}));
}
template <class T>
Value<T> choose(Truth m, Value<T> a, Value<T> b) {
  return Value<T>(page->add({Kind::Select, type_of<T>, m.id, a.id, b.id}));
}
template <class T>
Value<T> at_least(Value<T> x, Value<T> low) {
  return choose(compare(Kind::Less, x, low), low, x);
}
template <class T>
Value<T> at_most(Value<T> x, Value<T> high) {
  return choose(compare(Kind::Less, high, x), high, x);
}
}  // namespace lanes

template <class T>
struct Mask<T, 0> {
  using Bits = lanes::Truth;
  Bits v;
  static Mask join(lanes::Kind kind, Mask a, Mask b = {}) {
    return {{lanes::page->add({kind, lanes::Type::Mask, a.v.id, b.v.id})}};
  }
  friend Mask operator&(Mask a, Mask b) { return join(lanes::Kind::And, a, b); }
  friend Mask operator|(Mask a, Mask b) { return join(lanes::Kind::Or, a, b); }
  friend Mask operator^(Mask a, Mask b) { return join(lanes::Kind::Xor, a, b); }
  friend Mask operator~(Mask a) { return join(lanes::Kind::Not, a); }
};

template <class T>
struct Num<T, 0> {
  using V = lanes::Value<T>;
  using Bits = lanes::Value<LaneInt<T>>;
  using M = Mask<T, 0>;
  using Lane = T;
  V v;
  static Num of(T x) { return {V::of(x)}; }

#define MOKA_LANE_BINARY(op)                                    \
  friend Num operator op(Num a, Num b) { return {a.v op b.v}; } \
  template <class C>                                            \
    requires std::is_arithmetic_v<C>                            \
  friend Num operator op(Num a, C b) {                          \
    return {a.v op of(static_cast<T>(b)).v};                    \
  }                                                             \
  template <class C>                                            \
    requires std::is_arithmetic_v<C>                            \
  friend Num operator op(C a, Num b) {                          \
    return {of(static_cast<T>(a)).v op b.v};                    \
  }
  MOKA_LANE_BINARY(+)
  MOKA_LANE_BINARY(-)
  MOKA_LANE_BINARY(*)
  MOKA_LANE_BINARY(/)
#undef MOKA_LANE_BINARY
#define MOKA_LANE_COMPARE(op, kind, x, y)                                                      \
  friend M operator op(Num a, Num b) { return {lanes::compare(lanes::Kind::kind, x.v, y.v)}; } \
  template <class C>                                                                           \
    requires std::is_arithmetic_v<C>                                                           \
  friend M operator op(Num a, C b) {                                                           \
    return a op of(static_cast<T>(b));                                                         \
  }
  MOKA_LANE_COMPARE(<, Less, a, b)
  MOKA_LANE_COMPARE(<=, LessEqual, a, b)
  MOKA_LANE_COMPARE(>, Less, b, a)
  MOKA_LANE_COMPARE(>=, LessEqual, b, a)
  MOKA_LANE_COMPARE(==, Equal, a, b)
  MOKA_LANE_COMPARE(!=, NotEqual, a, b)
#undef MOKA_LANE_COMPARE
  friend Num operator-(Num a) { return {-a.v}; }
};

// ---- what number.h does with vectors of the compiler
template <class T>
Num<T, 0> number_where(Mask<T, 0> m, Num<T, 0> a, Num<T, 0> b) {
  return {lanes::choose(m.v, a.v, b.v)};
}
template <class T>
Num<T, 0> lane_function(lanes::Kind kind, Num<T, 0> a) {
  if constexpr (std::is_floating_point_v<T>) return {lanes::apply(kind, a.v)};
  else return a;
}
template <class T>
Num<T, 0> number_round(Num<T, 0> a) {
  return lane_function(lanes::Kind::RoundEven, a);
}
template <class T>
Num<T, 0> number_floor(Num<T, 0> a) {
  return lane_function(lanes::Kind::Floor, a);
}
template <class T>
Num<T, 0> number_ceil(Num<T, 0> a) {
  return lane_function(lanes::Kind::Ceil, a);
}
template <class T>
Num<T, 0> number_trunc(Num<T, 0> a) {
  return lane_function(lanes::Kind::Truncate, a);
}
inline Num<float, 0> number_sqrt(Num<float, 0> a) { return lane_function(lanes::Kind::SquareRoot, a); }
inline Num<double, 0> number_sqrt(Num<double, 0> a) { return lane_function(lanes::Kind::SquareRoot, a); }
// As the generic way of number.h, whose conversion is the compiler's.
template <class T>
LogParts<T, 0> log_parts(Num<T, 0> a) {
  using P = FloatParts<T>;
  auto tiny = a < std::numeric_limits<T>::min();
  Num<T, 0> x = number_where(tiny, a * P::log_scale, a);
  constexpr LaneInt<T> three_quarters =
      sizeof(T) == 4 ? LaneInt<T>(0x3f400000) : LaneInt<T>(0x3fe8000000000000);
  auto bits = bits_of(x);
  auto e = (bits - three_quarters) >> P::mantissa;
  Num<T, 0> exponent{lanes::Value<T>(lanes::page->add({lanes::Kind::IntToFloat, lanes::type_of<T>, e.id}))};
  return {exponent - number_where(tiny, T(P::log_scale_bits), T(0)),
          from_bits<T, 0>(bits - (e << P::mantissa))};
}
// Both halves of no lanes are the same node.
inline Halves<0> halves(Num<float, 0> a) { return {a, a}; }
inline Num<float, 0> joined(Num<float, 0> low, Num<float, 0>) { return low; }
template <class T>
Num<T, 0> number_multiply_add(Num<T, 0> a, Num<T, 0> b, Num<T, 0> c) {
  return {lanes::multiply_add(a.v, b.v, c.v)};
}
// Products are fused, as in the kernels for AVX.
inline Turned<float, 0> turned(Num<float, 0> a) {
  using P = FloatParts<float>;
  using X = Num<float, 0>;
  const X n = (a * 0.636619772f + P::round_magic) - P::round_magic;
  const X first = number_multiply_add(n, X::of(-0x1.921fb6p+0f), a);
  const X second = number_multiply_add(n, X::of(0x1.777a5cp-25f), first);
  return {number_multiply_add(n, X::of(0x1.ee59dap-50f), second), n};
}
// What lies beyond the reduction is left to the kernels.
template <class T, class F>
Num<T, 0> beyond_turns(Num<T, 0> a, Num<T, 0> result, F) {
  const Num<T, 0> x = number_abs(a);
  const Mask<T, 0> finite = x < std::numeric_limits<T>::infinity();
  lanes::page->refuse((finite & ~(x < T(most_turned))).v.id);
  return number_where(finite, result, a - a);
}
Num<double, 0> number_pow(Num<double, 0> a, Num<double, 0> b);

inline Num<double, 0> to_double(Num<float, 0> a) {
  return {lanes::Value<double>(lanes::page->add({lanes::Kind::FloatToFloat, lanes::Type::F64, a.v.id}))};
}
inline Num<float, 0> to_float(Num<double, 0> a) {
  return {lanes::Value<float>(lanes::page->add({lanes::Kind::FloatToFloat, lanes::Type::F32, a.v.id}))};
}

}  // namespace moka
