// A model in another opset. What means the same there is copied byte by byte; attributes that became inputs, or the other
// way round, are moved; the rest is read as a graph and said again in the other opset.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <protozero/pbf_writer.hpp>
#include <set>

#include "moka/formats/onnx/exporter_internal.h"
#include "moka/formats/onnx/model.h"
#include "moka/formats/onnx/onnx.h"
#include "moka/formats/onnx/opset_changes.h"
#include "moka/formats/spelling/table.h"

namespace moka::onnx {

using graph::Type;
using graph::TypeKind;
using protozero::pbf_writer;
using spelling::FileNode;

namespace {

// A field of a message with its tag, as it stands in the file.
struct RawField {
  int field;
  std::string_view whole, content;  // content: of fields with a length
};
std::vector<RawField> fields_of(proto::Message m) {
  std::vector<RawField> out;
  const std::string_view file = m.budget().bytes, all = m.bytes();
  auto close = [&](const char* end) {
    if (!out.empty()) {
      std::string_view& w = out.back().whole;
      w = {w.data(), static_cast<size_t>(end - w.data())};
    }
  };
  while (m.next()) {
    const char* begin = file.data() + m.offset();
    close(begin);
    out.push_back({m.field(), {begin, 0}, {}});
    if (m.wire() == proto::Wire::Length) out.back().content = m.raw("field");
    else m.skip();
  }
  close(all.data() + all.size());
  return out;
}

void copy(std::string& to, std::string_view raw) { to.append(raw); }

class Converter {
 public:
  // `path`: of the file, empty where it comes from memory. `target`: where the result goes; what the model keeps outside of
  // itself goes beside that.
  Converter(proto::Budget& budget, const Bytes& owner, const std::string& path, const std::string& target,
            int opset)
      : budget_(budget),
        owner_(owner),
        external_(path.empty() ? ExternalData() : ExternalData(path, budget.limits)),
        path_(path),
        target_(target),
        to_(opset) {}

  std::string run() {
    const ModelProto model = read_model(budget_, owner_.text());
    from_ = static_cast<int>(model.opsets.at(""));
    MOKA_CHECK_KIND(NotImplemented, from_ <= latest_opset, budget_.file, ": is written for opset ", from_,
                    ", this library knows opsets up to ", latest_opset, "; update Moka");
    for (const FunctionProto& f : model.functions) functions_.insert(cat(f.domain, "\n", f.name));
    opsets_ = model.opsets;
    // What the whole model says of its values; a model that cannot be read is converted as far as it needs no types.
    if (from_ != to_) {
      try {
        remember_types(*load_graph());
      } catch (const Error& e) {
        if (e.kind() != ErrorKind::NotImplemented) throw;  // a broken file, or one that is too much
      }
    }
    std::string out;
    pbf_writer w(out);
    size_t function = 0;
    bool has_opset = false;
    for (const RawField& f : fields_of(proto::Message(budget_, owner_.text(), "ModelProto"))) {
      switch (f.field) {
        case 1: w.add_int64(1, ir_version(model)); break;
        case 7: w.add_message(7, graph(f.content, 1, nullptr)); break;
        case 8: has_opset |= opset_import(w, 8, f); break;
        case 20: w.add_message(20, training(f.content)); break;
        case 25: w.add_message(25, this->function(f.content, model.functions[function++])); break;
        default: copy(out, f.whole);
      }
    }
    if (!has_opset) {
      pbf_writer opset(w, 8);
      opset.add_string(1, "");
      opset.add_int64(2, to_);
    }
    MOKA_CHECK_KIND(Value, out.size() <= largest_model, "ONNX conversion: the model has ", out.size(),
                    " bytes, one ONNX file holds less than 2 GiB");
    if (data_) data_->file.commit();
    return out;
  }

 private:
  struct Names {  // of one graph
    const Names* outer = nullptr;
    std::map<std::string_view, std::string_view> tensors;  // initializer -> its bytes
    std::map<std::string_view, std::string_view> constants;  // output of a Constant node -> its tensor
    std::map<std::string_view, Type> types;
  };

  std::unique_ptr<graph::Graph> load_graph() {
    return path_.empty() ? onnx::load(owner_, budget_.file, budget_.limits)
                         : onnx::load(path_, budget_.limits);
  }
  void remember_types(const graph::Graph& g) {
    for (const graph::Value* v : g.inputs()) known_.emplace(v->name, v->type);
    auto walk = [&](auto& self, const graph::Block& block) -> void {
      for (const graph::Value* v : block.params())
        if (!v->name.empty()) known_.emplace(v->name, v->type);
      for (const graph::Node* n : block) {
        for (const graph::Value* v : n->outputs())
          if (!v->name.empty()) known_.emplace(v->name, v->type);
        for (const auto& inner : n->blocks()) self(self, *inner);
      }
    };
    walk(walk, *g.main());
  }

  int64_t ir_version(const ModelProto& model) const {
    const int64_t needed = std::max(ir_version_of(to_), model.functions.empty() ? 0 : 8);
    // An older file stays as old as it may; a newer one is not newer than its opset needs.
    return to_ >= from_ ? std::max(model.ir_version, needed) : needed;
  }
  bool opset_import(pbf_writer& w, int field, const RawField& f) {
    std::string_view domain;
    for (proto::Message m(budget_, f.content, "OperatorSetIdProto"); m.next();)
      if (m.field() == 1) domain = plain_domain(m.text("domain"));
      else m.skip();
    pbf_writer opset(w, static_cast<uint32_t>(field));
    if (!domain.empty()) {
      opset.add_string(1, domain.data(), domain.size());
      opset.add_int64(2, opsets_.at(std::string(domain)));
      return false;
    }
    opset.add_string(1, "");
    opset.add_int64(2, to_);
    return true;
  }
  std::string training(std::string_view bytes) {
    std::string out;
    pbf_writer w(out);
    for (const RawField& f : fields_of(proto::Message(budget_, bytes, "TrainingInfoProto", 1))) {
      if (f.field == 1 || f.field == 2)
        w.add_message(static_cast<uint32_t>(f.field), graph(f.content, 2, nullptr));
      else copy(out, f.whole);
    }
    return out;
  }
  std::string function(std::string_view bytes, const FunctionProto& f) {
    const int before = from_;
    if (const auto own = f.opsets.find(""); own != f.opsets.end()) from_ = static_cast<int>(own->second);
    Names names;
    std::string out;
    pbf_writer w(out);
    size_t k = 0;
    for (const NodeProto& n : f.nodes) remember_constant(n, names);
    for (const RawField& field : fields_of(proto::Message(budget_, bytes, "FunctionProto", 1))) {
      if (field.field == 7) node(out, 7, field, f.nodes[k++], names, 1);
      else if (field.field == 9) opset_import(w, 9, field);
      else copy(out, field.whole);
    }
    from_ = before;
    return out;
  }

  void remember_constant(const NodeProto& n, Names& names) {
    if (n.op != "Constant" || !n.domain.empty() || n.outputs.empty()) return;
    if (const AttributeProto* a = n.attribute("value"); a && a->kind == AttributeKind::Tensor)
      names.constants.emplace(n.outputs[0], a->message);
  }

  std::string graph(std::string_view bytes, int depth, const Names* outer) {
    MOKA_CHECK_KIND(File, depth < budget_.limits.max_depth, budget_.file, ": graphs are nested more than ",
                    budget_.limits.max_depth, " deep");
    const GraphProto g = read_graph(budget_, bytes, depth);
    Names names;
    names.outer = outer;
    for (const Initializer& i : g.initializers)
      if (!i.sparse) names.tensors.emplace(i.name, i.message);
    for (const auto* values : {&g.inputs, &g.outputs, &g.values})
      for (const ValueInfo& v : *values) names.types.emplace(v.name, v.type);
    for (const NodeProto& n : g.nodes) remember_constant(n, names);
    std::string out;
    pbf_writer w(out);
    size_t k = 0;
    for (const RawField& f : fields_of(proto::Message(budget_, bytes, "GraphProto", depth))) {
      if (f.field == 1) node(out, 1, f, g.nodes[k++], names, depth);
      else if (f.field == 5) w.add_message(5, tensor(f.content));
      else copy(out, f.whole);
    }
    return out;
  }

  // A tensor; what it has outside of the model goes into the new model's own file.
  std::string tensor(std::string_view bytes) {
    const std::vector<RawField> fields = fields_of(proto::Message(budget_, bytes, "TensorProto", 2));
    const bool outside =
        std::any_of(fields.begin(), fields.end(), [](const RawField& f) { return f.field == 13; });
    if (!outside || target_.empty()) return std::string(bytes);
    if (!data_) data_.emplace(target_ + ".data");
    std::string out;
    pbf_writer w(out);
    std::string_view name;
    for (const RawField& f : fields)
      if (f.field == 8) name = f.content;
    write_tensor(w, read_tensor(budget_, bytes, owner_, external_), name, &*data_);
    return out;
  }

  // ---- nodes

  void node(std::string& out, int field, const RawField& raw, const NodeProto& n, const Names& names,
            int depth) {
    const bool ours = n.domain.empty() && !functions_.count(cat("\n", n.op));
    const bool has_graphs =
        std::any_of(n.attributes.begin(), n.attributes.end(),
                    [](const AttributeProto& a) { return a.kind == AttributeKind::Graph; });
    if (ours && to_ < from_) check_types(n, names);
    const Way way = ours && to_ != from_ ? way_between(from_, to_, n) : Way::Same;
    if (way == Way::Same && !has_graphs) return copy(out, raw.whole);
    pbf_writer w(out);
    std::string why;
    if (way != Way::ByGraph) {
      std::vector<std::string> constants;
      if (std::string moved; move(raw.content, n, names, depth, way == Way::Moved, moved, constants)) {
        for (const std::string& c : constants) w.add_message(static_cast<uint32_t>(field), c);
        return w.add_message(static_cast<uint32_t>(field), moved);
      }
    }
    by_graph(w, field, raw.content, n, names);
  }

  // Operators of an opset take no types that came later.
  void check_types(const NodeProto& n, const Names& names) {
    for (const auto* ends : {&n.inputs, &n.outputs})
      for (std::string_view name : *ends) {
        if (name.empty()) continue;
        const std::optional<Type> type = type_of(name, names);
        if (!type || !type->has_dtype) continue;
        MOKA_CHECK_KIND(NotImplemented, first_opset_of_type(type->dtype) <= to_, "ONNX conversion: '", name,
                        "' of ", n.op, " '", n.name, "' in ", budget_.file, " is ", info(type->dtype).name,
                        ", which no operator takes before opset ", first_opset_of_type(type->dtype));
      }
  }

  std::optional<Tensor> constant(std::string_view name, const Names& names) {
    for (const Names* s = &names; s; s = s->outer) {
      if (auto i = s->tensors.find(name); i != s->tensors.end())
        return read_tensor(budget_, i->second, owner_, external_);
      if (auto i = s->constants.find(name); i != s->constants.end())
        return read_tensor(budget_, i->second, owner_, external_);
    }
    return {};
  }
  std::optional<Type> type_of(std::string_view name, const Names& names) {
    std::optional<Type> out;
    for (const Names* s = &names; s && !out; s = s->outer) {
      std::string_view bytes;
      if (auto i = s->tensors.find(name); i != s->tensors.end()) bytes = i->second;
      else if (auto j = s->constants.find(name); j != s->constants.end()) bytes = j->second;
      if (bytes.data()) out = type_of_tensor(bytes);
      else if (auto i = s->types.find(name); i != s->types.end()) out = i->second;
    }
    const auto inferred = known_.find(name);
    if (inferred != known_.end() &&
        (!out || (out->kind == TypeKind::Tensor && !(out->has_dims && out->has_dtype))))
      out = inferred->second;
    return out;
  }
  Type type_of_tensor(std::string_view bytes) {
    Type out = Type::tensor();
    std::vector<int64_t> sizes;
    proto::Message m(budget_, bytes, "TensorProto", 2);
    while (m.next()) {
      if (m.field() == 1) m.integers("dims", sizes);
      else if (m.field() == 2)
        out.has_dtype = spelling::find_dtype_code(spelling::Dialect::Onnx, m.integer("data_type"), out.dtype);
      else m.skip();
    }
    out.has_dims = true;
    for (int64_t s : sizes) out.dims.push_back(graph::Dim{s, {}});
    return out;
  }

  // The node with attributes and inputs in their new places; false where that needs more than constants.
  bool move(std::string_view bytes, const NodeProto& n, const Names& names, int depth, bool changes,
            std::string& out, std::vector<std::string>& constants) {
    const bool up = to_ > from_;
    const int low = std::min(from_, to_), high = std::max(from_, to_);
    auto crossed = [&](int since) { return since > low && since <= high; };
    std::vector<std::string> inputs(n.inputs.begin(), n.inputs.end());
    std::set<std::string_view> drop;
    std::vector<spelling::Attribute> add;
    if (changes) {
      if (up) drop.insert("consumed_inputs");
      for (const Added& a : added_attributes())
        if (!up && a.op == n.op && crossed(a.since)) drop.insert(a.attribute);
      for (const Dropped& d : dropped_attributes())
        if (up && d.op == n.op && crossed(d.since)) drop.insert(d.attribute);
      for (const Moved& m : moved_attributes()) {
        if (m.op != n.op || !crossed(m.since)) continue;
        if (up) {
          const AttributeProto* a = n.attribute(m.attribute);
          if (!a) continue;
          DType dtype = DType::F32;
          if (m.of_input) {
            const std::optional<Type> type = type_of(n.inputs[0], names);
            if (!type || !type->has_dtype) return false;
            dtype = type->dtype;
          }
          const Any& v = a->value;
          const bool fits = m.form == Moved::Ints     ? v.tag() == Tag::Ints
                            : m.form == Moved::Int    ? v.tag() == Tag::Int
                            : m.form == Moved::Floats ? v.tag() == Tag::Floats
                                                      : v.tag() == Tag::Float;
          if (!a->reference.empty() || !fits || n.outputs.empty()) return false;
          const std::string name = cat(n.outputs[0], "_", m.attribute, "_", counter_++);
          constants.push_back(constant_node(name, input_of(m, v, dtype)));
          if (inputs.size() <= m.input) inputs.resize(m.input + 1);
          inputs[m.input] = name;
          drop.insert(m.attribute);
        } else if (inputs.size() > m.input && !inputs[m.input].empty()) {
          const std::optional<Tensor> known = constant(inputs[m.input], names);
          Any value;
          if (!known || !attribute_of(m, *known, value)) return false;
          inputs[m.input].clear();
          // A list that is empty stands for its absence.
          if (value.tag() != Tag::Ints || !value.ints().empty())
            add.push_back({std::string(m.attribute), std::move(value)});
        }
      }
      if (n.op == "Split" && crossed(18)) {
        if (up && inputs.size() < 2)
          add.push_back({"num_outputs", Any(static_cast<int64_t>(n.outputs.size()))});
        if (!up && n.attribute("num_outputs")) {
          const std::optional<Type> type = type_of(n.inputs[0], names);
          const AttributeProto* axis = n.attribute("axis");
          if (!type || !type->has_dims) return false;
          const int64_t rank = static_cast<int64_t>(type->dims.size());
          int64_t d = axis ? axis->value.to_int() : 0;
          d = d < 0 ? d + rank : d;
          if (d < 0 || d >= rank || !type->dims[static_cast<size_t>(d)].fixed() ||
              type->dims[static_cast<size_t>(d)].size % static_cast<int64_t>(n.outputs.size()))
            return false;
          drop.insert("num_outputs");
        }
      }
      while (!inputs.empty() && inputs.back().empty()) inputs.pop_back();
    }
    pbf_writer w(out);
    for (const std::string& i : inputs) w.add_string(1, i);
    size_t k = 0;
    for (const RawField& f : fields_of(proto::Message(budget_, bytes, "NodeProto", depth))) {
      if (f.field == 1) continue;
      if (f.field != 5) {
        copy(out, f.whole);
        continue;
      }
      const AttributeProto& a = n.attributes[k++];
      if (drop.count(a.name)) continue;
      if (a.kind != AttributeKind::Graph || !a.reference.empty()) {
        copy(out, f.whole);
        continue;
      }
      std::string attribute;
      pbf_writer to(attribute);
      for (const RawField& part : fields_of(proto::Message(budget_, f.content, "AttributeProto", depth)))
        if (part.field == 6) to.add_message(6, graph(part.content, depth + 1, &names));
        else copy(attribute, part.whole);
      w.add_message(5, attribute);
    }
    for (const spelling::Attribute& a : add) write_attribute(w, a);
    return true;
  }

  // A model of this node alone becomes a graph, and what the other opset says for it stands in its place.
  void by_graph(pbf_writer& w, int field, std::string_view bytes, const NodeProto& n, const Names& names) {
    try {
      std::set<std::string_view> kept;
      const std::string model = alone(bytes, n, names, kept);
      kept.insert(n.outputs.begin(), n.outputs.end());
      const std::string stem = cat(n.outputs.empty() ? n.name : n.outputs[0], "_", counter_++);
      const std::vector<std::string> parts =
          said_anew(*onnx::load(Bytes::copy(model), budget_.file, budget_.limits), to_, kept, stem);
      for (const std::string& p : parts) w.add_message(static_cast<uint32_t>(field), p);
    } catch (Error& e) {
      e.add_context(cat("In node '", n.name, "' (", n.op, ") of ", budget_.file, ", which opset ", to_,
                        " says in another way"));
      throw;
    }
  }
  std::string alone(std::string_view bytes, const NodeProto& n, const Names& names,
                    std::set<std::string_view>& done) {
    constexpr size_t small = 1 << 16;  // bytes of tensors that are worth looking into
    std::string out;
    pbf_writer w(out);
    w.add_int64(1, ir_version_of(latest_opset));
    {
      pbf_writer g(w, 7);
      std::vector<std::string_view> read(n.inputs);
      for (const AttributeProto& a : n.attributes)
        if (a.kind == AttributeKind::Graph) names_in(read_graph(budget_, a.message, 2), read);
      for (std::string_view name : read) {
        if (name.empty() || !done.insert(name).second) continue;
        std::string_view tensor;
        for (const Names* s = &names; s && !tensor.data(); s = s->outer)
          if (auto i = s->tensors.find(name); i != s->tensors.end()) tensor = i->second;
          else if (auto j = s->constants.find(name); j != s->constants.end()) tensor = j->second;
        if (tensor.data() && tensor.size() <= small) {
          const Tensor value = read_tensor(budget_, tensor, owner_, external_);
          if (value.dtype() != DType::String) {
            pbf_writer t(g, 5);
            write_tensor(t, value, name);
            continue;
          }
        }
        const std::optional<Type> type = type_of(name, names);
        write_value(g, 11, {std::string(name), type ? *type : Type::tensor()});
      }
      g.add_message(1, bytes.data(), bytes.size());
      g.add_string(2, "node");
      for (std::string_view name : n.outputs) {
        if (name.empty()) continue;
        pbf_writer value(g, 12);
        value.add_string(1, name.data(), name.size());
      }
    }
    for (const auto& [domain, version] : opsets_) {
      pbf_writer opset(w, 8);
      opset.add_string(1, domain);
      opset.add_int64(2, domain.empty() ? from_ : version);
    }
    return out;
  }
  static void names_in(const GraphProto& g, std::vector<std::string_view>& out) {
    std::set<std::string_view> made;
    for (const ValueInfo& v : g.inputs) made.insert(v.name);
    for (const Initializer& i : g.initializers) made.insert(i.name);
    for (const NodeProto& n : g.nodes) {
      for (std::string_view i : n.inputs)
        if (!made.count(i)) out.push_back(i);
      made.insert(n.outputs.begin(), n.outputs.end());
    }
    for (const ValueInfo& v : g.outputs)
      if (!made.count(v.name)) out.push_back(v.name);
  }

  proto::Budget& budget_;
  const Bytes& owner_;
  ExternalData external_;
  const std::string path_, target_;
  const int to_;
  int from_ = 1;
  Opsets opsets_;
  std::set<std::string> functions_;
  std::map<std::string, Type, std::less<>> known_;  // by name, where the whole model could be read
  std::optional<DataFile> data_;
  int counter_ = 0;
};

void check_opset(int opset) {
  MOKA_CHECK_KIND(Value, opset >= oldest_written_opset && opset <= latest_opset, "ONNX conversion: opset ",
                  opset, " is not written; choose one from ", oldest_written_opset, " to ", latest_opset);
}

}  // namespace

std::string convert(const Bytes& bytes, std::string_view name, int opset, const Limits& limits) {
  check_opset(opset);
  proto::Budget budget(std::string(name), bytes.text(), limits);
  return Converter(budget, bytes, {}, {}, opset).run();
}

void convert(const std::string& path, const std::string& target, int opset, const Limits& limits) {
  check_opset(opset);
  const Bytes bytes = Bytes::of_file(path, limits);
  proto::Budget budget(path, bytes.text(), limits);
  write_file(target, Converter(budget, bytes, path, target, opset).run());
}

int opset_of(const Bytes& bytes, std::string_view name, const Limits& limits) {
  proto::Budget budget(std::string(name), bytes.text(), limits);
  return static_cast<int>(read_model(budget, bytes.text()).opsets.at(""));
}

}  // namespace moka::onnx
