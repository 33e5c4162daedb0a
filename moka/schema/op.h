// Op: the one value that says what an operator is. Everything that differs between operators stands in it or follows
// from it; it is constinit, so that a table of thousands costs nothing at start.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "moka/base/cpu.h"

namespace moka {

struct Frame;
struct OpInfo;
class Any;
class BatchCall;
namespace graph {
struct Expr;
}

// A constexpr list of at most N.
template <class T, int N>
struct Few {
  T items[N]{};
  int count = 0;
  constexpr Few() = default;
  template <class... A>
    requires(sizeof...(A) >= 1 && sizeof...(A) <= N && (std::is_convertible_v<A, T> && ...))
  constexpr Few(A... a) : items{T(a)...}, count(sizeof...(A)) {}
  constexpr const T* begin() const { return items; }
  constexpr const T* end() const { return items + count; }
  constexpr const T& operator[](int i) const { return items[i]; }
  constexpr void add(T item) { items[count++] = item; }
};

// A number handed to formula kernels beside the streams, in both readings.
struct Uniform {
  double f;
  int64_t i;
};
using FormulaKernel = void (*)(void* out, const void* const* in, int64_t n, const Uniform* uniforms);

// Which dtypes a formula takes and what it returns.
enum class DTypeRule : uint8_t {
  Same,  // any numeric type, result of the promoted type
  Floating,  // integers become the default float
  Comparing,  // promoted inside, result bool
  Integral,  // bool and integers only
  Condition,  // first stream is a bool condition, the others promote (where)
};

// What a formula makes of truth values.
enum class Bools : uint8_t {
  Taken,  // they are numbers like others
  Counted,  // 0 and 1 in int64
  Refused,  // where all operands are bool
  RefusedAny,  // where one operand is
};

// What a formula makes of numbers of uint64 from 2^63 on, whose bits its kernels read as int64.
enum class Unsigned : uint8_t {
  Refused,
  Bits,  // right as they are: sums, products, bits and equality
  Ordered,  // right where all operands come in the order that int64 has: comparisons, extrema
};

// One pointwise formula in all its machine readings. Table index: compute type F32, F64, I32, I64.
struct Formula {
  FormulaKernel kernels[isa_count][4] = {};
  std::string_view (*text)() = nullptr;  // the formula as source text over names x0, x1, ... and u0, u1, ...
  DTypeRule rule = DTypeRule::Same;
  uint8_t streams = 0;  // tensor operands
  uint8_t uniforms = 0;  // numbers that follow them in the schema
  uint8_t cost = 1;  // rough instructions an element; steers the parallel grain
  bool mask_result = false;  // kernels write bool bytes
  bool wide_numbers = false;  // numbers outside the operands' range stay what they are: bounds
  bool exact_numbers = false;  // numbers beside half types are not rounded to them first
  bool natural_exponent = false;  // among integers the second operand may be no negative number
  Unsigned unsigned_numbers = Unsigned::Refused;
  Bools bools = Bools::Taken;
  std::string_view bools_text{};  // why they are refused, and the way out
  constexpr explicit operator bool() const { return streams != 0; }

  constexpr Formula with_bools(
      Bools rule,
      std::string_view text = "not defined for bool; convert it first, for example with int()") const {
    Formula f = *this;
    f.bools = rule;
    f.bools_text = text;
    return f;
  }
  constexpr Formula with_unsigned(Unsigned reading) const {
    Formula f = *this;
    f.unsigned_numbers = reading;
    return f;
  }
  constexpr Formula with_exact_numbers() const {
    Formula f = *this;
    f.exact_numbers = true;
    return f;
  }
  constexpr Formula with_wide_numbers() const {
    Formula f = *this;
    f.wide_numbers = true;
    return f;
  }
  constexpr Formula with_natural_exponent() const {
    Formula f = *this;
    f.natural_exponent = true;
    return f;
  }
};

// One implementation of an operator. Rows are tried in order; the first that does not decline runs.
struct KernelRow {
  std::string_view name;  // "onednn", "im2col", ... as the verbose log shows it
  void (*run)(Frame&) = nullptr;  // outputs are allocated by the shape function before
  std::string_view (*declines)(const Frame&) = nullptr;  // why not, or empty: it serves; null serves always
  uint8_t device = 0;  // device type
};

// Which inputs and outputs a derivative reads: bit k is its k-th parameter.
struct Usage {
  uint64_t values = 0;  // needed whole
  uint64_t shapes = 0;  // only sizes and dtype needed
};

// d(outputs)/d(names): parameters are the gradients of the first `gradients` outputs (or one list of all parts of a
// Tensor[]), then the arguments, then the outputs; a lambda may stop early. `names` may list several arguments ("weight
// bias"): the lambda then returns that many results. All rows of an operator take the same gradients.
struct Derivative {
  std::string_view names;
  std::string_view constant;  // in the row of constants() only: why the outputs `names` have no gradient
  int gradients = 1;
  int parameters = 0;
  int results = 1;
  void (*eager)(const Any* in, Any* out) = nullptr;
  void (*graph)(const graph::Expr* in, graph::Expr* out) = nullptr;
  Usage (*usage)() = nullptr;
  Formula fused;  // set when the derivative is itself one pointwise formula: one pass over memory
};

// A composite: the operator written with others.
struct Body {
  void (*eager)(const Any* in, Any* out) = nullptr;
  void (*graph)(const graph::Expr* in, graph::Expr* out) = nullptr;
  constexpr explicit operator bool() const { return eager != nullptr; }
};

// How the operator is spelled in another format, as one two-way mapping:
//   "Conv(input, weight, bias, strides=stride, pads=begin_end(padding), group=groups)"
// A bare name is a positional input bound to our argument; `attr=arg` an attribute bound to our argument; `attr=3` a
// fixed value (checked when reading, written when writing); `attr=conversion(arg)` goes through a named conversion.
struct Spelling {
  std::string_view map;
  int since = 1;  // first version (opset) with this form
  int until = 0;  // first version without it; 0: still valid
  std::string_view domain;
};
struct Format {
  Few<Spelling, 6> rows;
  std::string_view gradient;  // NetDef: the gradient operator's mapping
  std::string_view none;  // why there is none
  constexpr Format() = default;
  constexpr Format(std::initializer_list<Spelling> list) {
    for (const Spelling& s : list) rows.add(s);
  }
  constexpr Format(std::string_view map) { rows.add({.map = map}); }
  constexpr Format(const char* map) : Format(std::string_view(map)) {}
};
constexpr Format none(std::string_view why) {
  Format f;
  f.none = why;
  return f;
}

// What values a sample's tensors take.
enum class Domain : uint8_t {
  Real,
  Positive,
  Unit /* (-1, 1) */,
  Probability,
  Integer,
  Boolean,
  Distinct,
  Index
};

struct SampleTensor {
  int8_t ndim = -1;  // -1: None
  int16_t dims[6] = {};
  Domain domain = Domain::Real;
  int limit = 2;  // Index: values in [0, limit)
};
struct SampleSetting {
  std::string_view name;
  enum Type : uint8_t { Int, Float, Bool, String, Ints, None } type = None;
  double number = 0;
  std::string_view text;
  int16_t ints[6] = {};
  int8_t count = 0;
};
// One call with which every test mode exercises the operator: tensors for the tensor arguments in order, settings by name.
struct Sample {
  Few<SampleTensor, 6> tensors;
  Few<SampleSetting, 8> settings;
  bool differentiable = true;  // false at kinks, or where only integers go in
  bool list = false;  // all tensors form the first argument, a Tensor[]
  constexpr Sample with(std::string_view name, int v) const {
    return set({.name = name, .type = SampleSetting::Int, .number = double(v)});
  }
  constexpr Sample with(std::string_view name, double v) const {
    return set({.name = name, .type = SampleSetting::Float, .number = v});
  }
  constexpr Sample with(std::string_view name, bool v) const {
    return set({.name = name, .type = SampleSetting::Bool, .number = double(v)});
  }
  constexpr Sample with(std::string_view name, const char* v) const {
    return set({.name = name, .type = SampleSetting::String, .text = v});
  }
  constexpr Sample with(std::string_view name, std::initializer_list<int> v) const {
    SampleSetting s{.name = name, .type = SampleSetting::Ints};
    for (int i : v) s.ints[s.count++] = static_cast<int16_t>(i);
    return set(s);
  }
  // Applies to the last tensor added, or with `which` to that one.
  constexpr Sample in(Domain domain, int which = -1, int limit = 2) const {
    Sample s = *this;
    for (int i = 0; i < s.tensors.count; i++)
      if (which < 0 || which == i) {
        s.tensors.items[i].domain = domain;
        s.tensors.items[i].limit = limit;
      }
    return s;
  }
  constexpr Sample no_gradient() const {
    Sample s = *this;
    s.differentiable = false;
    return s;
  }
  constexpr Sample as_list() const {
    Sample s = *this;
    s.list = true;
    return s;
  }

 private:
  constexpr Sample set(SampleSetting v) const {
    Sample s = *this;
    s.settings.add(v);
    return s;
  }
};
struct Size {
  int16_t dims[6] = {};
  int8_t ndim = 0;
  constexpr Size(std::initializer_list<int> list) {
    for (int d : list) dims[ndim++] = static_cast<int16_t>(d);
  }
};
inline constexpr SampleTensor missing_tensor{};
constexpr SampleTensor sample_tensor(const Size& s) {
  SampleTensor t;
  t.ndim = s.ndim;
  for (int i = 0; i < s.ndim; i++) t.dims[i] = s.dims[i];
  return t;
}
// shape(3, 4): one tensor. shapes({3, 4}, {4}): several. no_tensors(): creation operators.
constexpr Sample shape(auto... dims) {
  Sample s;
  s.tensors.add(sample_tensor(Size{dims...}));
  return s;
}
constexpr Sample shapes(Size a, Size b) {
  Sample s;
  s.tensors.add(sample_tensor(a));
  s.tensors.add(sample_tensor(b));
  return s;
}
constexpr Sample shapes(Size a, Size b, Size c) {
  Sample s = shapes(a, b);
  s.tensors.add(sample_tensor(c));
  return s;
}
constexpr Sample shapes(Size a, Size b, Size c, Size d, Size e) {
  Sample s = shapes(a, b, c);
  s.tensors.add(sample_tensor(d));
  s.tensors.add(sample_tensor(e));
  return s;
}
constexpr Sample no_tensors() { return {}; }

#ifdef MOKA_PREDICTOR
// The predictor's operator pages compile without derivatives, documentation and samples: these types swallow them.
struct Nothing {
  constexpr Nothing() = default;
  template <class... T>
  constexpr Nothing(T&&...) {}
};
using DerivativeField = Nothing;
using DocField = Nothing;
using SampleField = Nothing;
using Batch = Nothing;
#else
struct DerivativeField {
  Few<Derivative, 6> rows;
  std::string_view none;
  constexpr DerivativeField() = default;
  constexpr DerivativeField(std::initializer_list<Derivative> list) {
    for (const Derivative& d : list) rows.add(d);
  }
  constexpr DerivativeField(Format no) : none(no.none) {}
};
using DocField = std::string_view;
using SampleField = Few<Sample, 8>;
// How a call is done for a whole batch (vmap): the rule, and the names that it reads.
struct Batch {
  bool (*rule)(BatchCall& call, std::string_view names) = nullptr;
  std::string_view names{};
};
#endif

enum class Effect : uint8_t { Pure, Random, Io };

// In which type an operator computes while autocast is on; only floating tensors of at most 32 bits are converted.
enum class Autocast : uint8_t {
  None,  // that of its operands
  Lower,  // the short type that the program chose: products
  Float32,  // where a short one would lose too much: losses, factorizations
  Widest,  // the widest of its operands': joining tensors
};

struct Op {
  std::string_view schema;
  DocField doc{};
  std::string_view
      method{};  // "method" unless set: "function" (no Tensor method), "method", "both" (default, empty)
  Formula formula{};
  void (*shape)(Frame&) = nullptr;  // declares the outputs; runs before any kernel
  Few<KernelRow, 3> kernels{};
  void (*view)(Frame&) = nullptr;  // sets the outputs to views of the inputs
  Body body{};
  DerivativeField derivative{};
  Batch batch{};
  Format onnx{};
  Format netdef{};
  Effect effect = Effect::Pure;
  Autocast autocast = Autocast::None;
  bool writes_one_value = false;  // in place it may write one place many times: expanded views are served
  bool dtype_of_out = false;  // where no dtype= is given, it computes in that of out=
  bool plain_numbers = false;  // from Python it takes two numbers without any tensor
  bool piecewise_linear = false;  // the second derivative by an argument is zero, where others have none
  SampleField samples{};

  mutable std::atomic<OpInfo*> info{nullptr};  // made at first use: parsed schema, added kernel rows
};

}  // namespace moka
