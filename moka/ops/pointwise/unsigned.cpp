// uint64: kernels read its bits as int64, which is right for sums, products, bits and equality. What asks for an order gets
// them with the highest bit turned, which makes one order the other; the rest refuses numbers from 2^63 on.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/pointwise/unsigned.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "moka/ops/pointwise/driver.h"
#include "moka/schema/formula_runner.h"
#include "moka/schema/given.h"
#include "moka/schema/reading.h"

namespace moka {

namespace {
constexpr uint64_t highest = uint64_t{1} << 63;
void turn(const Tensor& t) {
  uint64_t* bits = t.data<uint64_t>();
  for (int64_t i = 0; i < t.numel(); i++) bits[i] ^= highest;
}
Tensor turned(const Tensor& t, DType to) {
  Tensor out = new_tensor(t.sizes(), to);
  copy_elements(t, out);
  turn(out);
  return out;
}
// A narrower type, or bool, beside uint64.
Tensor to_unsigned(const Tensor& t) {
  Tensor out = new_tensor(t.sizes(), DType::U64);
  copy_elements(t, out);
  return out;
}
bool is_unsigned(const Arg& a) { return a.tag == Tag::Tensor && a.tensor->dtype == DType::U64; }

// The call with operands of int64 in the order of the numbers that were given.
struct Ordered {
  Tensor held[max_args];
  Arg args[max_args];
  explicit Ordered(const Frame& f) {
    for (int i = 0; i < f.count; i++) {
      args[i] = f.args[i];
      const bool operand = info(f.op).schema.args[static_cast<size_t>(i)].type.kind == Kind::Operand;
      if (is_unsigned(args[i])) {
        args[i] = Arg(held[i] = turned(f.tensor(i), DType::I64));
      } else if (args[i].tag == Tag::Tensor && (operand || i < f.op.formula.streams)) {
        args[i] = Arg(held[i] = turned(to_unsigned(f.tensor(i)), DType::I64));
      } else if (args[i].is_number() && operand) {
        const double value = args[i].as_double();
        MOKA_CHECK(value >= 0 && value == static_cast<double>(args[i].as_int()), f.name(), ": ", value,
                   " beside uint64: expected a whole number that is not negative");
        args[i] = Arg(static_cast<int64_t>(static_cast<uint64_t>(args[i].as_int()) ^ highest));
      }
    }
  }
};

}  // namespace

std::string_view needs_unsigned(const Frame& f) {
  const bool meant = is_unsigned(f.args[0]) || (f.count > 1 && is_unsigned(f.args[1]));
  return meant ? "" : "is for uint64";
}

void run_in_unsigned_order(Frame& f) {
  LayersOff off(~0u);
  Ordered call(f);
  Frame inner(f.op, call.args, f.count);
  run_op(inner);
  for (size_t i = 0; i < inner.outs.size(); i++) {
    Tensor result = inner.outs[i];
    const bool declared = i < f.outs.size() && f.outs[i];
    if (declared ? f.outs[i].dtype() == DType::U64 : i == 0) result = turned(result, DType::U64);
    if (declared) copy_elements(result, f.outs[i]);
    else {
      if (f.outs.size() <= i) f.outs.resize(i + 1);
      f.outs[i] = result;
    }
  }
}

void check_fits_signed(std::span<const Arg> operands, std::string_view name) {
  for (const Arg& a : operands) {
    if (!is_unsigned(a)) continue;
    const Tensor same = turned(a.as_tensor(), DType::I64);
    const int64_t* values = same.data<int64_t>();
    MOKA_CHECK_KIND(NotImplemented,
                    std::all_of(values, values + same.numel(), [](int64_t v) { return v < 0; }), name,
                    ": not defined for numbers of uint64 from 2^63 on; convert them first");
  }
}

bool run_unsigned(Frame& f) {
  const std::string_view name = f.name();
  switch (f.op.formula.unsigned_numbers) {
    case Unsigned::Bits: return false;
    case Unsigned::Refused: check_fits_signed({f.args, static_cast<size_t>(f.count)}, name); return false;
    case Unsigned::Ordered: break;
  }
  Ordered call(f);
  Frame inner(f.op, call.args, f.count);
  run_formula(inner);
  Tensor result = inner.outs[0];
  if (result.dtype() == DType::I64) result = turned(result, DType::U64);
  if (f.given & 1) {
    check_result_fits(name, result.dtype(), f.outs[0].dtype());
    fit_given(f, 0, result.sizes());
    copy_elements(result, f.outs[0]);
  } else {
    f.outs.resize(1);
    f.outs[0] = result;
  }
  return true;
}

}  // namespace moka
