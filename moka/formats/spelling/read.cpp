// A node of a file, read by one row of the table.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/spelling/conversions.h"
#include "moka/formats/spelling/table.h"
#include "moka/schema/frame.h"

namespace moka::spelling {

namespace {

class RowReader : public Scope {
 public:
  RowReader(const Row& row, Dialect dialect, const ForeignNode& node, Values& values, Match& out,
            std::string& why)
      : row_(row),
        schema_(info(*row.op).schema),
        dialect_(dialect),
        node_(node),
        values_(values),
        slots_(out.slots),
        why_(why) {
    out.row = &row;
    slots_.assign(schema_.args.size(), Slot{});
  }

  bool read() {
    const Mapping& m = row_.mapping;
    size_t input = 0;
    std::vector<char> seen(node_.attributes.size(), 0);
    for (const Item& item : m.items) {
      bool ok = true;
      switch (item.role) {
        case Item::Input: ok = read_input(item, input); break;
        case Item::Missing:
          if (input < node_.inputs.size() && node_.inputs[input])
            return no("input ", input, " is given, this form has none there");
          input++;
          break;
        case Item::Attribute: ok = read_attribute(item, seen); break;
        case Item::Condition:
          if (!item.predicate) {
            Any fitted;
            ok = fit(item.binding.literal, arg(item.binding.args[0]), fitted);
            bind(item.binding.args[0], std::move(fitted));
          }
          break;
      }
      if (!ok) return false;
    }
    for (; input < node_.inputs.size(); input++)
      if (node_.inputs[input]) return no("input ", input, " is one too many");
    for (size_t i = 0; i < seen.size(); i++)
      if (!seen[i]) return no("attribute '", node_.attributes[i].name, "' is not known here");
    const int outputs =
        m.outputs.empty() ? static_cast<int>(schema_.outs.size()) : static_cast<int>(m.outputs.size());
    const bool many = schema_.outs.size() == 1 && schema_.outs[0].type.list;
    if (node_.outputs > outputs && !many)
      return no("has ", node_.outputs, " outputs in use, ", schema_.name, " gives ", outputs);
    if (!conditions()) return false;
    return defaults();
  }

  const ArgDef& definition(int k) const override { return arg(scope_args_[static_cast<size_t>(k)]); }
  const Any* constant(int k) const override { return slot_constant(scope_args_[static_cast<size_t>(k)]); }
  const graph::Type* type(int k) const override { return slot_type(scope_args_[static_cast<size_t>(k)]); }

 private:
  template <class... Parts>
  bool no(const Parts&... parts) {
    why_ = cat(parts...);
    return false;
  }
  const ArgDef& arg(int at) const { return schema_.args[static_cast<size_t>(at)]; }
  Slot& slot(int at) { return slots_[static_cast<size_t>(at)]; }
  const Any* slot_constant(int at) const {
    const Slot& s = slots_[static_cast<size_t>(at)];
    if (!s.set || s.is_list) return nullptr;
    return s.value ? values_.known(s.value) : &s.constant;
  }
  const graph::Type* slot_type(int at) const {
    const Slot& s = slots_[static_cast<size_t>(at)];
    return s.value ? &s.value->type : nullptr;
  }
  void bind(int at, Any constant) {
    slot(at).set = true;
    slot(at).constant = std::move(constant);
  }

  bool read_input(const Item& item, size_t& input) {
    const Binding& b = item.binding;
    if (!b.args.empty() && !b.conversion && arg(b.args[0]).type.list &&
        arg(b.args[0]).type.is_tensor_like()) {
      Slot& s = slot(b.args[0]);
      s.set = s.is_list = true;
      for (; input < node_.inputs.size(); input++) {
        if (!node_.inputs[input])
          return no("input ", input, " is missing in the list '", arg(b.args[0]).name, "'");
        s.list.push_back(node_.inputs[input]);
      }
      return true;
    }
    const size_t at = input++;
    graph::Value* value = at < node_.inputs.size() ? node_.inputs[at] : nullptr;
    if (b.args.empty()) {  // a fixed value
      const Any* known = value ? values_.known(value) : nullptr;
      if (!value || (known && equal_literal(*known, b.literal))) return true;
      return no("input ", at, " is not ", text(b.literal));
    }
    const ArgDef& definition = arg(b.args[0]);
    if (!value) {
      if (item.has_absent) {
        bind(b.args[0], item.absent);
        return true;
      }
      if (definition.type.optional || definition.has_default) return true;  // defaults() fills it
      return no("input ", at, " ('", definition.name, "') is missing");
    }
    if (definition.type.is_tensor_like() && !b.conversion) {
      slot(b.args[0]).set = true;
      slot(b.args[0]).value = value;
      return true;
    }
    const Any* known = values_.known(value);
    if (!known) return no("input ", at, " ('", definition.name, "') is not a constant");
    return convert(item, *known, cat("input ", at));
  }

  bool read_attribute(const Item& item, std::vector<char>& seen) {
    const Any* found = nullptr;
    for (size_t i = 0; i < node_.attributes.size(); i++) {
      if (node_.attributes[i].name != item.name) continue;
      found = &node_.attributes[i].value;
      seen[i] = 1;
    }
    const Binding& b = item.binding;
    if (b.args.empty()) {
      if (!found)
        return item.optional ||
               no("attribute '", item.name, "' is missing, ", text(b.literal), " was expected");
      return equal_literal(*found, b.literal) ||
             no("attribute '", item.name, "' is ", text(*found), " instead of ", text(b.literal));
    }
    const ArgDef& definition = arg(b.args[0]);
    if (!found) {
      if (b.conversion && b.conversion->checks_only) return true;
      if (item.has_absent) return convert(item, item.absent, cat("attribute '", item.name, "'"));
      if (definition.has_default || definition.type.optional) return true;
      return no("attribute '", item.name, "' is missing");
    }
    return convert(item, *found, cat("attribute '", item.name, "'"));
  }

  bool convert(const Item& item, const Any& from, std::string place) {
    const Binding& b = item.binding;
    Any value = from;
    if (b.conversion) {
      scope_args_ = b.args;
      if (!b.conversion->read(*this, from, value, why_)) return no(place, ": ", why_);
      if (b.conversion->checks_only) return true;
    }
    Any fitted;
    if (!fit(value, arg(b.args[0]), fitted))
      return no(place, " is ", text(value), ", which does not fit argument '", arg(b.args[0]).name, "'");
    bind(b.args[0], std::move(fitted));
    return true;
  }

  // A value of the file as the schema's kind wants it.
  bool fit(const Any& value, const ArgDef& definition, Any& out) {
    if (value.is_none()) {
      out = Any();
      return definition.type.optional;
    }
    Dims ints;
    Any number;
    switch (definition.type.kind) {
      case Kind::Int:
        if (definition.type.list) {
          if (!to_ints(value, ints)) return false;
          const size_t wanted = static_cast<size_t>(definition.type.list_size);
          if (ints.size() == 1 && wanted > 1) ints.resize(wanted, ints[0]);
          if (wanted && !ints.empty() && ints.size() != wanted) return false;
          out = Any(ints);
          return true;
        }
        if (!to_number(value, number) || !to_ints(number, ints)) return false;
        out = Any(ints[0]);
        return true;
      case Kind::Bool:
        if (definition.type.list || !to_number(value, number)) return false;
        out = Any(number.arg().as_double() != 0);
        return true;
      case Kind::Float:
      case Kind::Number:
      case Kind::Operand:
        if (definition.type.list) {
          if (value.tag() != Tag::Floats) return false;
          out = value;
          return true;
        }
        if (!to_number(value, number)) return false;
        out = definition.type.kind == Kind::Float ? Any(number.arg().as_double()) : number;
        return true;
      case Kind::String:
        if (value.tag() != Tag::String) return false;
        out = value;
        return true;
      case Kind::DType: {
        DType dtype;
        if (value.tag() == Tag::DType) dtype = value.dtype();
        else if (!to_number(value, number) || !find_dtype_code(dialect_, number.arg().as_int(), dtype))
          return false;
        out = Any(dtype);
        return true;
      }
      case Kind::Tensor:
      case Kind::Any: out = value; return true;
      default: return false;
    }
  }

  bool equal_literal(const Any& value, const Any& literal) const {
    if (same_value(value, literal)) return true;
    Any number;
    if (literal.arg().is_number() && to_number(value, number))
      return number.arg().as_double() == literal.arg().as_double();
    return false;
  }

  bool conditions() {
    for (const Item& item : row_.mapping.items) {
      if (item.role != Item::Condition || !item.predicate) continue;
      const int at = item.binding.args[0];
      if (!item.predicate->holds(slot_type(at), slot_constant(at), item.binding.literal, true))
        return no("this form needs that '", arg(at).name, "' ", item.predicate->says);
    }
    return true;
  }

  bool defaults() {
    for (size_t i = 0; i < slots_.size(); i++) {
      const ArgDef& definition = schema_.args[i];
      if (slots_[i].set) continue;
      if (!definition.has_default && !definition.type.optional)
        return no("argument '", definition.name, "' of ", schema_.name, " has no value");
      slots_[i].set = true;
      slots_[i].constant = definition.has_default ? definition.default_value : Any();
    }
    return true;
  }

  static std::string text(const Any& value) {
    std::string out;
    append_text(out, value);
    return out;
  }

  const Row& row_;
  const Schema& schema_;
  Dialect dialect_;
  const ForeignNode& node_;
  Values& values_;
  std::vector<Slot>& slots_;
  std::string& why_;
  std::vector<int> scope_args_;
};

}  // namespace

bool read_row(const Row& row, Dialect dialect, const ForeignNode& node, Values& values, Match& out,
              std::string& why) {
  return RowReader(row, dialect, node, values, out, why).read();
}

}  // namespace moka::spelling
