// The lane program of a planned region: loads, conversions as convert_elements does them, formulas, stores.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "moka/ops/generated/lanes.h"
#include "moka/ops/pointwise/types.h"

namespace moka::lanes {

namespace {
std::optional<Type> type_in_memory(DType d) {
  switch (d) {
    case DType::Bool:
    case DType::U8:
    case DType::I8: return Type::I8;
    case DType::U16:
    case DType::I16:
    case DType::BF16: return Type::I16;
    case DType::I32: return Type::I32;
    case DType::I64: return Type::I64;
    case DType::F16: return Type::F16;
    case DType::F32: return Type::F32;
    case DType::F64: return Type::F64;
    default: return std::nullopt;
  }
}
int bits_of(Type t) {
  switch (t) {
    case Type::Mask: return 1;
    case Type::I8: return 8;
    case Type::I16:
    case Type::F16: return 16;
    case Type::I32:
    case Type::F32: return 32;
    default: return 64;
  }
}
bool is_unsigned(DType d) { return d == DType::Bool || d == DType::U8 || d == DType::U16; }

class RegionReader {
 public:
  explicit RegionReader(const RegionPlan& plan) : plan_(plan), ids_(plan.values.size(), -1) {}

  std::optional<Program> run() {
    for (size_t v = 0; v < plan_.values.size(); v++) {
      const RegionPlan::Value& value = plan_.values[v];
      const std::optional<Type> type = type_in_memory(value.dtype);
      if (!type) return std::nullopt;
      if (value.kind == RegionPlan::Value::Input) {
        ids_[v] = page().add({Kind::Input, *type, -1, -1, -1, v});
        out_.inputs.push_back(*type);
        out_.line_inputs.push_back(value.line);
      } else if (value.kind == RegionPlan::Value::Number) {
        uint64_t bits = 0;
        std::memcpy(&bits, value.number, item_size(value.dtype));
        ids_[v] = page().add({Kind::Constant, *type, -1, -1, -1, bits});
      }
    }
    out_.rows = plan_.rows;
    for (const RegionPlan::Step& s : plan_.steps) {
      if (s.work != RowWork::None ? row_work(s) : s.op ? formula(s) : conversion(s)) continue;
      return std::nullopt;
    }
    for (int r : plan_.results) {
      const int id = ids_[static_cast<size_t>(r)];
      out_.results.push_back(page()[id].type == Type::Mask ? page().add({Kind::ZeroExtend, Type::I8, id})
                                                           : id);
      out_.line_results.push_back(plan_.values[static_cast<size_t>(r)].line);
    }
    return std::move(out_);
  }

 private:
  Page& page() { return out_.page; }
  int constant(Type type, uint64_t bits) { return page().add({Kind::Constant, type, -1, -1, -1, bits}); }
  int binary(Kind kind, int a, int b) { return page().add({kind, page()[a].type, a, b}); }

  bool formula(const RegionPlan::Step& s) {
    const Formula& f = s.op->formula;
    const Type compute = *type_in_memory(s.compute);
    const int column = compute == Type::F32 ? 0 : compute == Type::F64 ? 1 : compute == Type::I32 ? 2 : 3;
    if (!f.text) return false;
    std::string_view text = f.text();
    std::vector<int> streams, uniforms;
    for (int o : s.operands) streams.push_back(ids_[static_cast<size_t>(o)]);
    const RegionPlan::Value* last = &plan_.values[static_cast<size_t>(s.operands.back())];
    if (f.natural_exponent && last->kind == RegionPlan::Value::Number) {
      double exponent = 0;
      convert_elements(last->number, last->dtype, &exponent, DType::F64, 1);
      if (const std::string_view shorter = power_text(exponent, column); !shorter.empty()) text = shorter;
    }
    for (int u = 0; u < f.uniforms; u++) {
      char bytes[8] = {};
      if (is_float(compute)) convert_elements(&s.uniforms[u].f, DType::F64, bytes, s.compute, 1);
      else convert_elements(&s.uniforms[u].i, DType::I64, bytes, s.compute, 1);
      uint64_t bits = 0;
      std::memcpy(&bits, bytes, item_size(s.compute));
      uniforms.push_back(constant(compute, bits));
    }
    const std::optional<int> id = read_formula(page(), text, compute, streams, uniforms);
    if (!id) return false;
    ids_[static_cast<size_t>(s.result)] = *id;
    const Type made = page()[*id].type;
    return made == (f.mask_result ? Type::Mask : compute);
  }

  bool row_work(const RegionPlan::Step& s) {
    const int input = ids_[static_cast<size_t>(s.operands[0])];
    const auto parameter = [&](size_t k) {
      return k < s.operands.size() && s.operands[k] >= 0 ? ids_[static_cast<size_t>(s.operands[k])] : -1;
    };
    if (s.work == RowWork::Spread) return ids_[static_cast<size_t>(s.result)] = input, true;
    const std::optional<int> id = read_row_work(page(), s.work, *type_in_memory(s.compute), input,
                                                parameter(1), parameter(2), s.epsilon);
    if (id) ids_[static_cast<size_t>(s.result)] = *id;
    return id.has_value();
  }

  bool conversion(const RegionPlan::Step& s) {
    const size_t from = static_cast<size_t>(s.operands[0]);
    const std::optional<int> id = convert(ids_[from], plan_.values[from].dtype, s.compute);
    if (id) ids_[static_cast<size_t>(s.result)] = *id;
    return id.has_value();
  }

  std::optional<int> convert(int id, DType from, DType to) {
    if (from == to) return id;
    const Type type = *type_in_memory(to);
    if (to == DType::Bool) {
      if (from == DType::F16 || from == DType::BF16) id = to_float(id, from);
      const Type own = page()[id].type;
      if (own == Type::Mask) return id;
      return page().add({Kind::NotEqual, Type::Mask, id, constant(own, 0)});
    }
    if (is_floating(from)) {
      if (!is_floating(to)) return std::nullopt;  // formulas do not ask for it
      if (from == DType::F16 || from == DType::BF16) id = to_float(id, from);
      return from_float(id, to);
    }
    if (!is_floating(to)) return integer(id, from, type);
    id = integer(id, from, bits_of(page()[id].type) == 64 ? Type::I64 : Type::I32);
    return from_float(page().add({Kind::IntToFloat, to == DType::F64 ? Type::F64 : Type::F32, id}), to);
  }

  int integer(int id, DType from, Type to) {
    const Type own = page()[id].type;
    if (bits_of(own) == bits_of(to)) return id;
    if (bits_of(own) > bits_of(to)) return page().add({Kind::Shorten, to, id});
    return page().add({is_unsigned(from) ? Kind::ZeroExtend : Kind::SignExtend, to, id});
  }
  int to_float(int id, DType from) {
    if (from == DType::F16) return page().add({Kind::FloatToFloat, Type::F32, id});
    Node shifted{Kind::ShiftLeft, Type::I32, page().add({Kind::ZeroExtend, Type::I32, id})};
    shifted.number = 16;
    return page().add({Kind::Bits, Type::F32, page().add(shifted)});
  }
  int shift_right(int id, uint64_t by) {
    return page().add({Kind::ShiftRightZero, page()[id].type, id, -1, -1, by});
  }
  // A float32 or float64 to a floating type; 16-bit ones by way of float32.
  int from_float(int id, DType to) {
    const Type own = page()[id].type;
    if (to == DType::F64 || to == DType::F32) {
      const Type type = to == DType::F64 ? Type::F64 : Type::F32;
      return own == type ? id : page().add({Kind::FloatToFloat, type, id});
    }
    if (own == Type::F64) id = page().add({Kind::FloatToFloat, Type::F32, id});
    if (to == DType::F16) return page().add({Kind::FloatToFloat, Type::F16, id});
    // To nearest even; NaN stays one.
    const int bits = page().add({Kind::Bits, Type::I32, id});
    const int top = shift_right(bits, 16);
    const int odd = binary(Kind::And, top, constant(Type::I32, 1));
    const int sum = binary(Kind::Add, binary(Kind::Add, bits, constant(Type::I32, 0x7fff)), odd);
    const int quiet = binary(Kind::Or, top, constant(Type::I32, 0x40));
    const int nan = page().add({Kind::NotEqual, Type::Mask, id, id});
    const int chosen = page().add({Kind::Select, Type::I32, nan, quiet, shift_right(sum, 16)});
    return page().add({Kind::Shorten, Type::I16, chosen});
  }

  const RegionPlan& plan_;
  std::vector<int> ids_;
  Program out_;
};
}  // namespace

std::optional<Program> read_region(const RegionPlan& plan) {
  std::optional<Program> program = RegionReader(plan).run();
  if (program && program->rows && !pays(*program, plan_loops(*program))) return std::nullopt;
  return program;
}

}  // namespace moka::lanes
