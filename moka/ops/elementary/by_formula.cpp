// Kernels that end in a formula: their shapes, results and the check of integer divisors.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/elementary/by_formula.h"

#include "moka/ops/pointwise/driver.h"
#include "moka/ops/reduction/reduction.h"

namespace moka {

void formula_output(Frame& f, int streams, DTypeRule rule) {
  Dims shape;
  bool any = false;
  for (int i = 0; i < streams; i++) {
    if (f.args[i].tag != Tag::Tensor) continue;
    shape = any ? broadcast_shape(shape, f.tensor(i).sizes(), f.name()) : Dims(f.tensor(i).sizes());
    any = true;
  }
  MOKA_CHECK_KIND(Type, any, f.name(), ": at least one operand must be a Tensor");
  DType type = result_type({f.args, static_cast<size_t>(streams)});
  bool whole = is_integral(type) || type == DType::Bool;
  MOKA_CHECK_KIND(NotImplemented, whole || is_floating(type), f.name(), ": not defined for ", type);
  MOKA_CHECK_KIND(NotImplemented, whole || rule != DTypeRule::Integral, f.name(),
                  ": defined for bool and integers, got ", type);
  f.output(0, shape, whole && rule == DTypeRule::Floating ? default_float() : type);
}

void formula_result(Frame& f, const Formula& formula, std::initializer_list<Arg> operands) {
  f.outs[0] = apply_formula(formula, {operands.begin(), operands.size()}, f.outs[0].dtype(), f.name());
}

void check_divisor(const Frame& f, int i) {
  if (is_floating(f.outs[0].dtype())) return;
  const Arg& a = f.args[i];
  bool zero = a.tag == Tag::Tensor ? element_as_int(all(f.tensor(i)), 0) == 0 : a.as_double() == 0;
  MOKA_CHECK(!zero, f.name(), ": ZeroDivisionError: integers are divided by '",
             info(f.op).schema.args[i].name,
             "', which has a zero; convert to a floating type for inf and nan");
}

}  // namespace moka
