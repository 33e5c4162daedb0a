// A node of a graph, written by one row of the table.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/spelling/conversions.h"
#include "moka/formats/spelling/table.h"
#include "moka/schema/frame.h"

namespace moka::spelling {

namespace {

class RowWriter : public Scope {
 public:
  RowWriter(const Row& row, Dialect dialect, const graph::Node& node, WrittenNode& out, std::string& why)
      : row_(row), schema_(info(*row.op).schema), dialect_(dialect), node_(node), out_(out), why_(why) {}

  bool write() {
    const Mapping& m = row_.mapping;
    out_ = {};
    out_.op = m.op;
    out_.domain = row_.domain;
    mentioned_.assign(schema_.args.size(), 0);
    for (const Item& item : m.items) {
      for (int at : item.binding.args) mentioned_[static_cast<size_t>(at)] = 1;
      if (item.role == Item::Condition && !condition(item)) return false;
    }
    for (const Item& item : m.items) {
      bool ok = true;
      if (item.role == Item::Input) ok = write_input(item);
      else if (item.role == Item::Missing) out_.inputs.push_back({});
      else if (item.role == Item::Attribute) ok = write_attribute(item);
      if (!ok) return false;
    }
    // An argument that the text does not mention must have its default.
    for (size_t i = 0; i < mentioned_.size(); i++) {
      if (mentioned_[i]) continue;
      const Any* constant = value(static_cast<int>(i))->constant();
      const ArgDef& definition = schema_.args[i];
      if (constant && (constant->is_none() ||
                       (definition.has_default && same_value(*constant, definition.default_value))))
        continue;
      return no("argument '", definition.name, "' = ", constant ? text(*constant) : "a run-time value",
                " cannot be said");
    }
    while (!out_.inputs.empty() && !out_.inputs.back().value && out_.inputs.back().constant.is_none())
      out_.inputs.pop_back();
    if (!m.outputs.empty()) out_.outputs = m.outputs;
    else
      for (size_t i = 0; i < node_.outputs().size(); i++) out_.outputs.push_back(static_cast<int>(i));
    for (size_t i = 0; i < node_.outputs().size(); i++) {
      bool written = false;
      for (int o : out_.outputs) written |= o == static_cast<int>(i);
      if (!written && !node_.output(static_cast<int>(i))->uses().empty())
        return no("output ", i, " is used but cannot be said");
    }
    return true;
  }

  const ArgDef& definition(int k) const override { return arg(scope_args_[static_cast<size_t>(k)]); }
  const Any* constant(int k) const override { return value(scope_args_[static_cast<size_t>(k)])->constant(); }
  const graph::Type* type(int k) const override { return &value(scope_args_[static_cast<size_t>(k)])->type; }

 private:
  template <class... Parts>
  bool no(const Parts&... parts) {
    why_ = cat(parts...);
    return false;
  }
  const ArgDef& arg(int at) const { return schema_.args[static_cast<size_t>(at)]; }
  graph::Value* value(int at) const { return node_.input(at); }

  bool condition(const Item& item) {
    const int at = item.binding.args[0];
    const Any* constant = value(at)->constant();
    if (item.predicate)
      return item.predicate->holds(&value(at)->type, constant, item.binding.literal, false) ||
             no("this form needs that '", arg(at).name, "' ", item.predicate->says);
    return (constant && stands_for(item.binding.literal, *constant, arg(at))) ||
           no("argument '", arg(at).name, "' is ", constant ? text(*constant) : "a run-time value",
              " instead of ", text(item.binding.literal));
  }

  // One number stands for a list of it.
  static bool stands_for(const Any& literal, const Any& value, const ArgDef& definition) {
    Dims all;
    if (!definition.type.list || literal.tag() != Tag::Int || !to_ints(value, all) || all.empty())
      return same_value(value, literal);
    for (int64_t i : all)
      if (i != literal.arg().i) return false;
    return true;
  }

  bool write_input(const Item& item) {
    const Binding& b = item.binding;
    if (b.args.empty()) {
      out_.inputs.push_back({nullptr, Any(number_tensor(b.literal, first_dtype()))});
      return true;
    }
    const ArgDef& definition = arg(b.args[0]);
    graph::Value* v = value(b.args[0]);
    const Any* constant = v->constant();
    if (definition.type.list && definition.type.is_tensor_like()) return write_tensors(v, definition);
    if (definition.type.is_tensor_like() && !b.conversion) {
      if (!constant || constant->is_tensor()) out_.inputs.push_back({v, {}});
      else if (constant->is_none()) out_.inputs.push_back({});
      else if (constant->arg().is_number())
        out_.inputs.push_back({nullptr, Any(number_tensor(*constant, first_dtype()))});
      else return no("argument '", definition.name, "' = ", text(*constant), " is no tensor");
      return true;
    }
    Any said;
    if (!converted(b, said)) return false;
    if (said.is_none()) {
      out_.inputs.push_back({});
    } else if (said.tag() == Tag::Ints) {
      out_.inputs.push_back({nullptr, Any(ints_tensor(said.ints()))});
    } else if (said.arg().is_number()) {
      DType dtype = DType::I64;
      if (definition.type.kind == Kind::Number) dtype = first_dtype();
      if (definition.type.kind == Kind::Float) dtype = DType::F32;
      if (definition.type.kind == Kind::Bool) dtype = DType::Bool;
      out_.inputs.push_back({nullptr, Any(number_tensor(said, dtype))});
    } else {
      return no("argument '", definition.name, "' = ", text(said), " cannot be an input");
    }
    return true;
  }

  bool write_tensors(graph::Value* v, const ArgDef& definition) {
    const graph::Node* list = v->producer();
    if (const Any* constant = v->constant(); constant && constant->tag() == Tag::Tensors) {
      for (const Tensor& t : constant->tensors()) out_.inputs.push_back({nullptr, Any(t)});
      return true;
    }
    if (!list || list->kind != graph::NodeKind::List)
      return no("argument '", definition.name, "' is not a list made in the graph");
    for (graph::Value* element : list->inputs()) out_.inputs.push_back({element, {}});
    return true;
  }

  bool write_attribute(const Item& item) {
    const Binding& b = item.binding;
    if (b.args.empty()) {
      if (!item.optional) out_.attributes.push_back({item.name, b.literal});
      return true;
    }
    if (item.optional) {
      const ArgDef& definition = arg(b.args[0]);
      const Any* constant = value(b.args[0])->constant();
      if (b.conversion && b.conversion->checks_only) {
        Any said;
        std::string unused;
        scope_args_ = b.args;
        if (b.conversion->write(*this, said, unused)) out_.attributes.push_back({item.name, said});
        return true;
      }
      if (constant && definition.has_default && same_value(*constant, definition.default_value)) return true;
    }
    Any said;
    if (!converted(b, said)) return false;
    if (!said.is_none()) out_.attributes.push_back({item.name, std::move(said)});
    return true;
  }

  bool converted(const Binding& b, Any& said) {
    const ArgDef& definition = arg(b.args[0]);
    if (b.conversion) {
      scope_args_ = b.args;
      if (!b.conversion->write(*this, said, why_)) return false;
      return said.tag() != Tag::DType || code_of(said.dtype(), said);
    }
    const Any* constant = value(b.args[0])->constant();
    if (!constant) return no("argument '", definition.name, "' is known only when running");
    if (constant->is_none()) return true;
    Any number;
    Dims ints;
    switch (definition.type.kind) {
      case Kind::Int:
        if (!definition.type.list) {
          if (!to_number(*constant, number)) break;
          said = Any(number.arg().as_int());
          return true;
        }
        if (!to_ints(*constant, ints)) break;
        if (definition.type.list_size > 1) ints = expanded(*constant, definition);
        said = Any(ints);
        return true;
      case Kind::Bool:
        if (!to_number(*constant, number)) break;
        said = Any(int64_t(number.arg().as_double() != 0));
        return true;
      case Kind::Float:
      case Kind::Number:
      case Kind::Operand:
        if (definition.type.list) {
          said = *constant;
          return constant->tag() == Tag::Floats ||
                 no("argument '", definition.name, "' is no list of numbers");
        }
        if (!to_number(*constant, number)) break;
        said = Any(number.arg().as_double());
        return true;
      case Kind::String:
        if (constant->tag() != Tag::String) break;
        said = *constant;
        return true;
      case Kind::DType:
        if (constant->tag() != Tag::DType) break;
        return code_of(constant->dtype(), said);
      default: break;
    }
    return no("argument '", definition.name, "' = ", text(*constant), " cannot be written as an attribute");
  }

  bool code_of(DType dtype, Any& said) {
    const int code = dtype_code(dialect_, dtype);
    if (!code) return no(dialect_name(dialect_), " has no element type ", moka::info(dtype).name);
    said = Any(int64_t(code));
    return true;
  }

  // The element type that numbers among tensors take: that of the other operands, else of the first tensor.
  DType first_dtype() const {
    for (bool operands : {true, false})
      for (size_t i = 0; i < schema_.args.size(); i++) {
        const graph::Type& type = node_.inputs()[i]->type;
        if (operands && schema_.args[i].type.kind != Kind::Operand) continue;
        if (type.kind == graph::TypeKind::Tensor && type.has_dtype) return type.dtype;
      }
    return DType::F32;
  }

  static std::string text(const Any& value) {
    std::string out;
    append_text(out, value);
    return out;
  }

  const Row& row_;
  const Schema& schema_;
  Dialect dialect_;
  const graph::Node& node_;
  WrittenNode& out_;
  std::string& why_;
  std::vector<char> mentioned_;
  std::vector<int> scope_args_;
};

}  // namespace

bool write_row(const Row& row, Dialect dialect, const graph::Node& node, WrittenNode& out, std::string& why) {
  return RowWriter(row, dialect, node, out, why).write();
}

}  // namespace moka::spelling
