// What is no tensor in a graph as tensors of a file: numbers without dimensions, lists of integers with one; conditions
// and loops.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/onnx/exporter_internal.h"
#include "moka/formats/spelling/conversions.h"
#include "moka/graph/builtins.h"

namespace moka::onnx {

using graph::Node;
using graph::NodeKind;
using graph::Type;
using graph::TypeKind;
using graph::Value;
using spelling::Attribute;
using spelling::FileGraph;
using spelling::ModelWriter;

namespace {

// Lists of tensors are sequences, from opset 11 on.
bool tensor_list(const Value* v) {
  return v && v->type.kind == TypeKind::List && !v->type.elements.empty() &&
         v->type.elements[0].kind == TypeKind::Tensor;
}

class ValueWriter {
 public:
  ValueWriter(ModelWriter& model, const Node& node) : model_(model), node_(node) {}

  bool write(std::string& why) {
    if (node_.kind == NodeKind::List) return list(why);
    const std::string_view name = node_.name;
    for (const auto& [builtin, op] : {std::pair{"add", "Add"},
                                      {"sub", "Sub"},
                                      {"mul", "Mul"},
                                      {"and", "And"},
                                      {"or", "Or"},
                                      {"lt", "Less"},
                                      {"gt", "Greater"}}) {
      if (name != builtin) continue;
      auto [a, b] = pair();
      return finish(op, {a, b});
    }
    if (name == "min" || name == "max") {
      auto [a, b] = pair();
      // Min and Max take integers since opset 12 only.
      return finish("Where", {add(name == "min" ? "Less" : "Greater", {a, b}), a, b});
    }
    if (name == "floordiv" || name == "mod") {
      if (floating(0) || floating(1)) return refuse(why);
      const std::string a = input(0), b = input(1);
      if (name == "mod") return finish("Mod", {a, b});
      return finish("Div", {add("Sub", {a, add("Mod", {a, b})}), b});
    }
    if (name == "div") return finish("Div", {to(input(0), DType::F32), to(input(1), DType::F32)});
    if (name == "neg") return finish("Neg", {input(0)});
    if (name == "not") return finish("Not", {input(0)});
    if (name == "eq" || name == "ne") {
      auto [a, b] = pair();
      if (name == "eq") return finish("Equal", {a, b});
      return finish("Not", {add("Equal", {a, b})});
    }
    if (name == "le" || name == "ge") {
      auto [a, b] = pair();
      return finish("Not", {add(name == "le" ? "Greater" : "Less", {a, b})});
    }
    if (name == "bool") return number(DType::Bool);
    if (name == "int") return number(DType::I64);
    if (name == "float") return number(DType::F32);
    if (name == "item") return number(floating(0) ? DType::F32 : is_bool(0) ? DType::Bool : DType::I64);
    if (name == "size") {
      const Any* dim = node_.input(1)->constant();
      const int rank = spelling::rank(node_.input(0));
      if (!dim || (rank < 0 && dim->to_int() < 0)) return refuse(why, "its dimension is not known");
      const int64_t d = dim->to_int();
      return finish("Gather", {add("Shape", {input(0)}), scalar(d < 0 ? d + rank : d)},
                    {{"axis", Any(int64_t(0))}});
    }
    if (name == "sizes") return finish("Shape", {input(0)});
    if (name == "numel") return finish("Size", {input(0)});
    if (name == "dim") return finish("Size", {add("Shape", {input(0)})});
    if (name == "ints") return finish("Reshape", {to(input(0), DType::I64), ints(Dims{-1})});
    if (name == "tensor") {
      DType type = floating(0) ? DType::F32 : is_bool(0) ? DType::Bool : DType::I64;
      if (node_.inputs().size() > 1) {
        const Any* given = node_.input(1)->constant();
        if (!given) return refuse(why, "its type is not known");
        if (given->tag() == Tag::DType) type = given->dtype();
      }
      return finish("Cast", {input(0)}, {dtype_attribute("to", type)});
    }
    if (!node_.inputs().empty() && tensor_list(node_.input(0))) return sequence(name, why);
    if (!ints_list(node_.inputs().empty() ? nullptr : node_.input(0))) return refuse(why);
    if (name == "len") return finish("Size", {input(0)});
    if (name == "index") return finish("Gather", {input(0), input(1)}, {{"axis", Any(int64_t(0))}});
    if (name == "append") return finish("Concat", {input(0), one(1)}, {{"axis", Any(int64_t(0))}});
    if (name == "concat" && ints_list(node_.input(1)))
      return finish("Concat", {input(0), input(1)}, {{"axis", Any(int64_t(0))}});
    if (name == "slice") {
      auto end = [&](size_t k, int64_t otherwise) {
        const bool given =
            k < node_.inputs().size() && !(node_.input(static_cast<int>(k))->constant() &&
                                           node_.input(static_cast<int>(k))->constant()->is_none());
        return given ? one(static_cast<int>(k)) : ints(Dims{otherwise});
      };
      return finish("Slice", {input(0), end(1, 0), end(2, INT64_MAX)});
    }
    return refuse(why);
  }

 private:
  bool sequence(std::string_view name, std::string& why) {
    if (model_.version() < 11) return refuse(why, "lists of tensors before opset 11");
    if (name == "len") return finish("SequenceLength", {input(0)});
    if (name == "index") return finish("SequenceAt", {input(0), input(1)});
    if (name == "append") return finish("SequenceInsert", {input(0), input(1)});
    return refuse(why);
  }
  // Parts of an operator's list are its inputs; what else reads a list needs a value.
  bool list_is_read() const {
    for (const Value::Use& use : node_.output()->uses())
      if (!use.node || use.node->kind != NodeKind::Op) return true;
    return false;
  }
  bool tensors(std::string& why) {
    if (!list_is_read()) return true;
    if (model_.version() < 11) return refuse(why, "lists of tensors before opset 11");
    if (!node_.inputs().empty()) {
      std::vector<std::string> parts;
      for (size_t i = 0; i < node_.inputs().size(); i++) parts.push_back(input(static_cast<int>(i)));
      return finish("SequenceConstruct", parts);
    }
    std::vector<const Value*> lists{node_.output()};
    for (const Value::Use& use : node_.output()->uses())
      if (use.node && use.node->kind == NodeKind::Loop && use.index >= 2)
        lists.push_back(use.node->output(use.index - 2));
    for (const Value* v : lists)
      if (tensor_list(v) && v->type.elements[0].has_dtype)
        return finish("SequenceEmpty", {}, {dtype_attribute("dtype", v->type.elements[0].dtype)});
    return refuse(why, "an empty list of tensors whose type is not known");
  }
  bool refuse(std::string& why, std::string_view reason = "ONNX has no form of it") {
    why = std::string(reason);
    return false;
  }
  std::string input(int i) { return model_.name_of(node_.input(i)); }
  bool floating(int i) const {
    const Type& t = node_.input(i)->type;
    return t.kind == TypeKind::Float || (t.kind == TypeKind::Tensor && t.has_dtype && is_floating(t.dtype));
  }
  bool is_bool(int i) const {
    const Type& t = node_.input(i)->type;
    return t.kind == TypeKind::Bool || (t.kind == TypeKind::Tensor && t.has_dtype && t.dtype == DType::Bool);
  }
  static bool ints_list(const Value* v) {
    return v && ((v->constant() && v->constant()->tag() == Tag::Ints) ||
                 (v->type.kind == TypeKind::List && !v->type.elements.empty() &&
                  v->type.elements[0].kind == TypeKind::Int));
  }
  std::pair<std::string, std::string> pair() {
    std::string a = input(0), b = input(1);
    if (floating(0) != floating(1)) (floating(0) ? b : a) = to(floating(0) ? b : a, DType::F32);
    return {a, b};
  }
  std::string one(int i) { return add("Reshape", {input(i), ints(Dims{1})}); }
  std::string ints(const Dims& all) {
    return model_.add_tensor(spelling::ints_tensor(all), model_.scoped(node_, "constant"));
  }
  std::string scalar(int64_t i) {
    return model_.add_tensor(spelling::number_tensor(Any(i), DType::I64), model_.scoped(node_, "constant"));
  }
  std::string add(std::string_view op, std::vector<std::string> inputs,
                  std::vector<Attribute> attributes = {}) {
    std::string out = model_.unique(cat(model_.scoped(node_, op), "_output_0"));
    model_.add_node(node_, op, "", std::move(inputs), {out}, std::move(attributes));
    return out;
  }
  std::string to(const std::string& name, DType type) {
    return add("Cast", {name}, {dtype_attribute("to", type)});
  }
  bool finish(std::string_view op, std::vector<std::string> inputs, std::vector<Attribute> attributes = {}) {
    const std::string out = model_.name_of(node_.output());
    model_.add_node(node_, op, "", std::move(inputs), {out}, std::move(attributes));
    return true;
  }
  // One number: a tensor of one element loses its dimensions.
  bool number(DType type) {
    const Value* v = node_.input(0);
    if (v->type.kind == TypeKind::Tensor && spelling::rank(v) == 0 && v->type.has_dtype &&
        v->type.dtype == type)
      return finish("Identity", {input(0)});
    if (v->type.kind == TypeKind::Tensor && spelling::rank(v) != 0)
      return finish("Cast", {add("Reshape", {input(0), ints(Dims{})})}, {dtype_attribute("to", type)});
    return finish("Cast", {input(0)}, {dtype_attribute("to", type)});
  }
  bool list(std::string& why) {
    if (tensor_list(node_.output())) return tensors(why);
    if (node_.inputs().empty()) return refuse(why, "an empty list");
    std::vector<std::string> parts;
    for (size_t i = 0; i < node_.inputs().size(); i++) {
      const Value* v = node_.inputs()[i];
      if (v->type.kind == TypeKind::Tensor || (v->constant() && !v->constant()->arg().is_number()))
        return refuse(why, "a list of tensors");
      parts.push_back(v->constant() ? ints(Dims{v->constant()->arg().as_int()}) : one(static_cast<int>(i)));
    }
    if (parts.size() == 1) return finish("Identity", parts);
    return finish("Concat", parts, {{"axis", Any(int64_t(0))}});
  }

  ModelWriter& model_;
  const Node& node_;
};

bool fits(const Value* v, int version) {
  if (tensor_list(v) && v->type.elements[0].has_dtype) return version >= 13;
  return v->type.kind == TypeKind::Tensor || v->type.kind == TypeKind::Int ||
         v->type.kind == TypeKind::Bool || v->type.kind == TypeKind::Float;
}

bool write_if(ModelWriter& model, Node& node, std::string& why) {
  for (Value* v : node.outputs())
    if (!fits(v, model.version())) {
      why = cat("a branch gives ", v->type.text());
      return false;
    }
  const std::string condition = model.name_of(node.input(0));
  std::vector<spelling::NamedGraph> graphs;
  for (int k = 0; k < 2; k++) {
    FileGraph branch;
    branch.name = model.scoped(node, k == 0 ? "then_branch" : "else_branch");
    model.say_block(*node.block(k), branch);
    for (Value* v : node.block(k)->results())
      branch.outputs.push_back(model.result_of(*node.block(k), v, branch));
    graphs.push_back({k == 0 ? "then_branch" : "else_branch", std::move(branch)});
  }
  std::vector<std::string> outputs;
  for (Value* v : node.outputs()) outputs.push_back(model.name_of(v));
  model.add_node(node, "If", "", {condition}, outputs, {}).graphs = std::move(graphs);
  return true;
}

// A list that starts empty, grows by one row each turn, and is joined after the loop: a scan output.
struct Scan {
  Value* element = nullptr;  // of one turn
  std::vector<Node*> joins;
};
bool find_scan(Node& loop, int k, Scan& out) {
  const Node* start = loop.input(k + 2)->producer();
  const Value* param = loop.block(0)->params()[static_cast<size_t>(k) + 1];
  const Value* result = loop.block(0)->results()[static_cast<size_t>(k) + 1];
  const Node* append = result->producer();
  if (!start || start->kind != NodeKind::List || !start->inputs().empty()) return false;
  if (!append || append->kind != NodeKind::Builtin || append->name != "append" || append->input(0) != param ||
      param->uses().size() != 1)
    return false;
  const Node* row = append->input(1)->producer();
  const Any* dim = row && row->op_name() == "unsqueeze" ? row->argument("dim")->constant() : nullptr;
  if (!dim || dim->to_int() != 0) return false;
  out.element = row->argument("input");
  for (const Value::Use& use : loop.output(k)->uses()) {
    if (!use.node || use.node->op_name() != "cat" || use.node->argument("tensors") != loop.output(k))
      return false;
    const Any* along = use.node->argument("dim")->constant();
    if (!along || along->to_int() != 0) return false;
    out.joins.push_back(use.node);
  }
  return true;
}

bool write_loop(ModelWriter& model, Node& node, std::string& why) {
  graph::Block& block = *node.block(0);
  const int count = static_cast<int>(node.outputs().size());
  std::vector<int> carried, scanned;
  std::vector<Scan> scans;
  for (int k = 0; k < count; k++) {
    Scan scan;
    if (find_scan(node, k, scan)) {
      scanned.push_back(k);
      scans.push_back(scan);
    } else if (fits(node.output(k), model.version())) {
      carried.push_back(k);
    } else {
      why = cat("it carries ", node.output(k)->type.text(), "; ONNX's Loop carries tensors");
      return false;
    }
  }
  auto given = [&](int i) {
    const Any* c = node.input(i)->constant();
    return c && c->is_none() ? std::string() : model.name_of(node.input(i));
  };
  std::vector<std::string> inputs{given(0), given(1)}, outputs;
  for (int k : carried) inputs.push_back(model.name_of(node.input(k + 2)));
  FileGraph body;
  body.name = model.scoped(node, "body");
  Type scalar = Type::tensor(DType::I64, {});
  Value* turn = block.params()[0];
  body.inputs.push_back(
      {model.bind(turn, turn->name.empty() ? model.scoped(node, "iteration") : turn->name), scalar});
  scalar.dtype = DType::Bool;
  body.inputs.push_back({model.unique(model.scoped(node, "condition")), scalar});
  auto tensor_type = [](const Type& t) {
    if (t.kind == TypeKind::Tensor || t.kind == TypeKind::List) return t;
    return Type::tensor(t.kind == TypeKind::Int    ? DType::I64
                        : t.kind == TypeKind::Bool ? DType::Bool
                                                   : DType::F32,
                        {});
  };
  for (int k : carried) {
    Value* v = block.params()[static_cast<size_t>(k) + 1];
    body.inputs.push_back(
        {model.bind(v, v->name.empty() ? model.scoped(node, "carried") : v->name), tensor_type(v->type)});
  }
  model.say_block(block, body);
  spelling::FileValue go = model.result_of(block, block.results()[0], body);
  go.type = scalar;
  body.outputs.push_back(go);
  for (int k : carried) {
    spelling::FileValue v = model.result_of(block, block.results()[static_cast<size_t>(k) + 1], body);
    v.type = tensor_type(block.params()[static_cast<size_t>(k) + 1]->type);
    body.outputs.push_back(v);
    outputs.push_back(model.name_of(node.output(k)));
  }
  for (size_t i = 0; i < scans.size(); i++) {
    body.outputs.push_back(model.result_of(block, scans[i].element, body));
    outputs.push_back(model.unique(cat(model.scoped(node, "Loop"), "_scan_", i)));
  }
  model.add_node(node, "Loop", "", inputs, outputs, {}).graphs.push_back({"body", std::move(body)});
  for (size_t i = 0; i < scans.size(); i++)
    for (Node* join : scans[i].joins)
      model.add_node(*join, "Identity", "", {outputs[carried.size() + i]}, {model.name_of(join->output())},
                     {});
  return true;
}

}  // namespace

bool write_builtin(ModelWriter& model, const Node& node, std::string& why) {
  return ValueWriter(model, node).write(why);
}

bool write_control(ModelWriter& model, Node& node, std::string& why) {
  return node.kind == NodeKind::If ? write_if(model, node, why) : write_loop(model, node, why);
}

// What a loop's scan output was joined with has been said with the loop.
bool is_said_with_its_loop(const Node& node) {
  if (node.op_name() != "cat") return false;
  const Value* list = node.argument("tensors");
  Node* maker = list->producer();
  Scan scan;
  return maker && maker->kind == NodeKind::Loop && find_scan(*maker, list->index(), scan);
}

}  // namespace moka::onnx
