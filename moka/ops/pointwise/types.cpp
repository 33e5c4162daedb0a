// Promotion, and the kernel that a formula has for the type that comes of it.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/pointwise/types.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "moka/base/cpu.h"
#include "moka/ops/complex/scalar.h"
#include "moka/ops/pointwise/pointwise.h"
#include "moka/schema/formula_runner.h"
#include "moka/tensor/complex_half.h"

namespace moka {

namespace {
int category(DType d) {
  switch (family(d)) {
    case DTypeClass::Bool: return 0;
    case DTypeClass::Unsigned:
    case DTypeClass::Signed: return 1;
    case DTypeClass::Float: return 2;
    case DTypeClass::Complex: return 3;
    default:
      fail_kind(ErrorKind::NotImplemented, "arithmetic on ", d,
                " is not defined; convert with .to(dtype) first");
  }
}
DType number_dtype(const Arg& a) {
  if (a.tag == Tag::Bool) return DType::Bool;
  if (is_complex_number(a)) return default_float() == DType::F64 ? DType::C128 : DType::C64;
  return a.tag == Tag::Int ? DType::I64 : default_float();
}

struct Bucket {
  bool any = false;
  DType dtype = DType::Bool;
  void add(DType d) {
    dtype = any ? promote(dtype, d) : d;
    any = true;
  }
};

int column_of(DType compute) {
  switch (compute) {
    case DType::F32: return 0;
    case DType::F64: return 1;
    case DType::I32:
    case DType::Bool: return 2;
    case DType::I64: return 3;
    default: return -1;
  }
}

using FormulaRows = std::unordered_map<const Op*, std::vector<FormulaRow>>;
FormulaRows& formula_rows() {
  static FormulaRows* rows = new FormulaRows;
  return *rows;
}
// Rows beside the table, which serves types of a column alone.
std::span<const FormulaRow> rows_of(const Op& op, int column) {
  if (column >= 0) return {};
  auto at = formula_rows().find(&op);
  return at == formula_rows().end() ? std::span<const FormulaRow>() : std::span<const FormulaRow>(at->second);
}

FormulaKernel table_kernel(const Formula& f, int column) {
  return column < 0 ? nullptr : f.kernels[static_cast<int>(isa())][column];
}

void check_bools(const Formula& f, std::span<const Arg> operands, DType common, std::string_view name) {
  const auto is_bool = [](const Arg& a) {
    return a.tag == Tag::Bool || (a.tag == Tag::Tensor && a.tensor->dtype == DType::Bool);
  };
  const bool refused = f.bools == Bools::RefusedAny ? std::any_of(operands.begin(), operands.end(), is_bool)
                                                    : f.bools == Bools::Refused && common == DType::Bool;
  if (refused) fail_kind(ErrorKind::NotImplemented, name, ": ", f.bools_text);
}

// Integers have no negative powers among themselves.
void check_exponent(DType compute, const Arg& exponent, std::string_view name) {
  if ((compute == DType::I32 || compute == DType::I64) && exponent.is_number())
    MOKA_CHECK(exponent.as_double() >= 0, name,
               ": Integers to negative integer powers are not allowed. The exponent is ", exponent.as_int(),
               "; convert the tensor first, for example with float()");
}
}  // namespace

void add_formula_kernels(const Op& op, const FormulaRow& row) { formula_rows()[&op].push_back(row); }

bool rounds_numbers(const Op& op, DType common) {
  return (common == DType::F16 || common == DType::BF16) && !op.formula.exact_numbers;
}

Arg rounded_number(const Arg& a, DType dtype) {
  if (!a.is_number()) return a;
  double value = a.as_double();
  char item[16];
  convert_elements(&value, DType::F64, item, dtype, 1);
  convert_elements(item, dtype, &value, DType::F64, 1);
  return Arg(value);
}

DType result_type(std::span<const Arg> operands) {
  Bucket with_dims, zero_dims, numbers;
  for (const Arg& a : operands) {
    if (a.tag == Tag::Tensor) (a.tensor->ndim ? with_dims : zero_dims).add(a.tensor->dtype);
    else if (a.is_number() || is_complex_number(a)) numbers.add(number_dtype(a));
  }
  Bucket result;
  auto merge = [&](const Bucket& weaker) {
    if (!weaker.any) return;
    if (!result.any) result = weaker;
    else if (category(weaker.dtype) > category(result.dtype))
      result.dtype = promote(result.dtype, weaker.dtype);
  };
  merge(with_dims);
  merge(zero_dims);
  // A number never widens within its category; above it, it brings the default type of its own.
  merge(numbers);
  return result.dtype;
}

FormulaPlan plan_types(const Op& op, std::span<const Arg> operands, std::string_view name) {
  const Formula& f = op.formula;
  FormulaPlan p{};
  if (f.rule == DTypeRule::Condition && operands[0].tag == Tag::Tensor)
    MOKA_CHECK(operands[0].tensor->dtype == DType::Bool, name, ": the condition must be a bool tensor, got ",
               operands[0].as_tensor(), "; compare it with something first, such as x != 0");
  DType common = result_type(f.rule == DTypeRule::Condition ? operands.subspan(1) : operands);
  if (f.rule == DTypeRule::Floating && (is_integral(common) || common == DType::Bool))
    common = default_float();
  check_bools(f, operands, common, name);
  if (f.rule == DTypeRule::Integral)
    MOKA_CHECK_KIND(NotImplemented, category(common) < 2, name, ": defined for bool and integers, got ",
                    common);
  if (f.bools == Bools::Counted && common == DType::Bool) common = DType::I64;
  p.common = common;
  p.compute = compute_dtype(common);
  int column = column_of(p.compute);
  if (p.compute == DType::Bool) p.compute = DType::I32;
  if (f.natural_exponent) check_exponent(p.compute, operands[1], name);
  p.kernel = table_kernel(f, column);
  if (f.natural_exponent && column >= 0 && operands[1].is_number())
    if (FormulaKernel kernel = power_kernel(operands[1].as_double(), static_cast<int>(isa()), column))
      p.kernel = kernel;
  p.written = p.compute;
  for (const FormulaRow& row : rows_of(op, column))
    if (row.compute == p.compute) {
      p.kernel = row.kernels[static_cast<int>(isa())];
      p.written = row.result;
      if (row.result != row.compute) common = common == complex_half ? DType::F16 : row.result;
    }
  MOKA_CHECK_KIND(NotImplemented, p.kernel != nullptr, name, ": not defined for ", common);
  p.mask = f.mask_result;
  p.result = f.rule == DTypeRule::Comparing ? DType::Bool : common;
  return p;
}

FormulaPlan plan_types(const Formula& formula, DType dtype, std::string_view name) {
  FormulaPlan p{};
  p.common = p.result = dtype;
  p.compute = p.written = compute_dtype(dtype);
  p.mask = formula.mask_result;
  const int column = column_of(p.compute);
  if (p.compute == DType::Bool) p.compute = p.written = DType::I32;
  p.kernel = table_kernel(formula, column);
  MOKA_CHECK_KIND(NotImplemented, p.kernel != nullptr, name, ": not defined for ", dtype);
  return p;
}
}  // namespace moka
