// What the functions of moka/functional.h take: values of C++ that become arguments of an operator's schema. All of them
// borrow what they are made of for the length of a call.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <complex>
#include <concepts>
#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

#include "moka/ops/random/generator.h"
#include "moka/schema/value.h"

namespace moka {
struct Op;
}

namespace moka::functional {

// A bool, an integer, a real or a complex number.
class Number {
 public:
  template <class T>
    requires std::integral<T> || std::floating_point<T>
  Number(T v) {
    if constexpr (std::same_as<T, bool>) arg_ = Arg(v);
    else if constexpr (std::integral<T>) arg_ = Arg(static_cast<int64_t>(v));
    else arg_ = Arg(static_cast<double>(v));
  }
  template <class T>
  Number(std::complex<T> v)
      : parts_{static_cast<double>(v.real()), static_cast<double>(v.imag())}, complex_(true) {}
  Arg arg() const { return complex_ ? Arg(std::span<const double>(parts_)) : arg_; }

 private:
  Arg arg_;
  double parts_[2] = {};
  bool complex_ = false;
};

// A tensor or a number.
class Operand {
 public:
  Operand(const Tensor& t) : tensor_(t.impl()) {}
  template <class T>
    requires std::convertible_to<T, Number> && (!std::convertible_to<T, const Tensor&>)
  Operand(T v) : number_(v) {}
  Arg arg() const { return tensor_ ? Arg(tensor_) : number_.arg(); }

 private:
  TensorImpl* tensor_ = nullptr;
  Number number_ = 0;
};

// A list of integers; where the schema says int[N], one integer stands for N.
template <int N = 0>
class Ints {
 public:
  using Element = int64_t;
  template <std::integral T>
  Ints(T one) : values_(static_cast<size_t>(N ? N : 1), static_cast<int64_t>(one)) {}
  Ints(std::initializer_list<int64_t> list) : Ints(std::span<const int64_t>(list.begin(), list.size())) {}
  Ints(const Dims& list) : Ints(std::span<const int64_t>(list)) {}
  Ints(const std::vector<int64_t>& list) : Ints(std::span<const int64_t>(list)) {}
  Ints(std::span<const int64_t> list) {
    if (N > 1 && list.size() == 1) values_ = Dims(N, list[0]);
    else values_ = Dims(list);
  }
  Arg arg() const { return Arg(values_); }

 private:
  Dims values_;
};

// A list of tensors; undefined ones are None where the schema takes Tensor?[].
class Tensors {
 public:
  using Element = Tensor;
  Tensors(std::initializer_list<Tensor> list) : list_(list.begin(), list.size()) {}
  Tensors(std::span<const Tensor> list) : list_(list) {}
  Tensors(const std::vector<Tensor>& list) : list_(list) {}
  Arg arg() const { return Arg(list_); }

 private:
  std::span<const Tensor> list_;
};

// A list of real numbers.
class Floats {
 public:
  using Element = double;
  Floats(std::initializer_list<double> list) : list_(list.begin(), list.size()) {}
  Floats(std::span<const double> list) : list_(list) {}
  Floats(const std::vector<double>& list) : list_(list) {}
  Arg arg() const { return Arg(list_); }

 private:
  std::span<const double> list_;
};

// A list or None, which {} and std::nullopt are.
template <class List>
class Maybe {
 public:
  Maybe() = default;
  Maybe(std::nullopt_t) {}
  Maybe(std::initializer_list<typename List::Element> list) : list_(List(list)) {}
  template <class T>
    requires std::convertible_to<const T&, List>
  Maybe(const T& list) : list_(List(list)) {}
  Arg arg() const { return list_ ? list_->arg() : Arg(); }

 private:
  std::optional<List> list_;
};

// ---- as arguments of a call
inline Arg argument(const Tensor& t) { return Arg(t); }
inline Arg argument(Generator* generator) {
  Arg a;
  if (generator) {
    a.tag = Tag::Object;
    a.object = generator;
  }
  return a;
}
inline Arg argument(const Any& any) { return Arg(any); }
template <class T>
Arg argument(const T& value) {
  if constexpr (requires { value.arg(); }) return value.arg();
  else return Arg(value);
}
template <class T>
Arg argument(const std::optional<T>& value) {
  return value ? argument(*value) : Arg();
}

// ---- calls: arguments are checked against the schema, so that a wrong one is an Error and nothing worse; those at the
// end may be left out where they have defaults
const Op& operator_named(std::string_view name);
Tensor call_one(const Op& op, std::initializer_list<Arg> args);
std::vector<Tensor> call_several(const Op& op, std::initializer_list<Arg> args);
// The result is written into the first argument, which is returned.
const Tensor& call_in_place(const Op& op, const Tensor& self, std::initializer_list<Arg> args);

}  // namespace moka::functional
