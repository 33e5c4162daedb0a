// Checks every promise of the form. check_node looks at one node; verify also at order, uses and states.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <unordered_set>

#include "moka/graph/builtins.h"
#include "moka/graph/reader_internal.h"

namespace moka::graph {

namespace {
constexpr int deepest_block = 200;

// Values that If and Loop hand over: unlike inputs of operators, nothing converts them.
void check_fits(const Type& from, const Type& to, const std::string& what) {
  if (!fits(from, to)) fail(what, ": ", from.text(), " does not fit ", to.text());
}

void check_counts(const Node& n, int inputs, int outputs) {
  if (inputs >= 0 && n.data_inputs() != inputs)
    fail(n.op_name(), ": takes ", inputs, " inputs, got ", n.data_inputs());
  if (outputs >= 0 && n.data_outputs() != outputs)
    fail(n.op_name(), ": has ", outputs, " results, got ", n.data_outputs());
}

void check_op(const Node& n) {
  if (!n.op) fail("a node for an operator has none");
  const Schema& schema = info(*n.op).schema;
  check_counts(n, static_cast<int>(schema.args.size()), static_cast<int>(schema.outs.size()));
  for (size_t i = 0; i < schema.args.size(); i++) {
    const ArgDef& def = schema.args[i];
    const Type& type = n.input(static_cast<int>(i))->type;
    bool empty = n.input(static_cast<int>(i))->constant() &&
                 n.input(static_cast<int>(i))->constant()->tag() == Tag::List &&
                 n.input(static_cast<int>(i))->constant()->arg().count == 0;
    bool default_none = type.kind == TypeKind::None && def.has_default;
    if (!fits(type, def.type) && !default_none && !(empty && def.type.list))
      fail(schema.name, ": argument '", def.name, "' must be ", def.type, ", got ", type.text());
  }
  for (size_t i = 0; i < schema.outs.size(); i++) {
    const Type& type = n.output(static_cast<int>(i))->type;
    bool list = schema.outs[i].type.list;
    bool good =
        type.kind == TypeKind::Any || type.kind == TypeKind::None ||
        (list ? type.kind == TypeKind::List || type.kind == TypeKind::Tuple : type.kind == TypeKind::Tensor);
    if (!good)
      fail(schema.name, ": result ", static_cast<int64_t>(i), " must be ", schema.outs[i].type, ", got ",
           type.text());
  }
}

void check_if(const Node& n) {
  if (n.data_inputs() != 1) fail("if: takes one condition, got ", n.data_inputs(), " inputs");
  const Type& condition = n.input(0)->type;
  bool usable = condition.kind == TypeKind::Any || condition.kind == TypeKind::Tensor ||
                condition.kind == TypeKind::Bool || condition.kind == TypeKind::Int ||
                condition.kind == TypeKind::Number;
  if (!usable) fail("if: the condition must be a bool or a tensor with one element, got ", condition.text());
  if (n.blocks().size() != 2) fail("if: has ", n.blocks().size(), " blocks instead of two");
  for (int b = 0; b < 2; b++) {
    const char* name = b ? "else" : "then";
    if (!n.block(b)->params().empty()) fail("if: its blocks have no parameters");
    if (n.block(b)->results().size() != n.outputs().size())
      fail("if: the ", name, " block yields ", n.block(b)->results().size(), " values, but the node has ",
           n.outputs().size(), " results");
    for (size_t i = 0; i < n.outputs().size(); i++)
      check_fits(n.block(b)->results()[i]->type, n.outputs()[i]->type,
                 cat("if: value ", i, " of the ", name, " block"));
  }
}

void check_loop(const Node& n) {
  if (n.blocks().size() != 1) fail("loop: has ", n.blocks().size(), " blocks instead of one");
  const Block& body = *n.block(0);
  size_t carried = n.outputs().size();
  if (n.inputs().size() != carried + 2)
    fail("loop: takes a count, a condition and ", carried, " carried values (it has as many results), got ",
         n.inputs().size(), " inputs");
  if (body.params().size() != carried + 1)
    fail("loop: the block has ", body.params().size(), " parameters instead of ", carried + 1);
  if (body.results().size() != carried + 1)
    fail("loop: the block yields ", body.results().size(), " values instead of ", carried + 1);
  for (size_t i = 0; i < carried; i++) {
    const Type& type = body.params()[i + 1]->type;
    check_fits(n.inputs()[i + 2]->type, type, cat("loop: start of carried value ", i));
    check_fits(body.results()[i + 1]->type, type, cat("loop: next value of carried value ", i));
    check_fits(type, n.outputs()[i]->type, cat("loop: result ", i));
  }
}

void check_kind(const Node& n) {
  if (n.kind != NodeKind::If && n.kind != NodeKind::Loop && !n.blocks().empty())
    fail(n.op_name(), ": has blocks");
  switch (n.kind) {
    case NodeKind::Op: return check_op(n);
    case NodeKind::If: return check_if(n);
    case NodeKind::Loop: return check_loop(n);
    case NodeKind::Constant:
      check_counts(n, 0, 1);
      return check_fits(type_of(n.constant), n.output()->type, "constant");
    case NodeKind::Get: return check_counts(n, 0, 1);
    case NodeKind::Set: return check_counts(n, 1, 0);
    case NodeKind::List:
    case NodeKind::Tuple: return check_counts(n, -1, 1);
    case NodeKind::Unpack: {
      check_counts(n, 1, -1);
      const Type& t = n.input(0)->type;
      if (t.kind != TypeKind::List && t.kind != TypeKind::Tuple && t.kind != TypeKind::Any)
        fail("unpack: a list or tuple was expected, got ", t.text());
      if (t.kind == TypeKind::Tuple && t.elements.size() != static_cast<size_t>(n.data_outputs()))
        fail("unpack: ", t.text(), " has ", t.elements.size(), " elements, but the node has ",
             n.data_outputs(), " results");
      return;
    }
    case NodeKind::Call:
    case NodeKind::Python:
      if (n.name.empty()) fail(n.op_name(), ": names nothing");
      return;
    case NodeKind::Builtin: {
      const Builtin& b = get_builtin(n.name);
      check_counts(n, -1, 1);
      int count = n.data_inputs();
      if (count < b.least || count > b.most)
        fail(b.name, ": takes ", b.least, " to ", b.most, " arguments, got ", count);
      return;
    }
    case NodeKind::Join:
      check_counts(n, -1, 1);
      if (n.output()->type.kind != TypeKind::Token)
        fail("join: makes a token, not ", n.output()->type.text());
      for (Value* v : n.inputs())
        if (v->type.kind != TypeKind::Token) fail("join: takes tokens, got ", v->type.text());
      return;
  }
}

class Verifier {
 public:
  explicit Verifier(const Graph& graph) : graph_(graph) {}

  void run() {
    if (graph_.output_names.size() > graph_.outputs().size())
      fail_kind(ErrorKind::Internal, "graph '", graph_.name, "': ", graph_.output_names.size(), " names for ",
                graph_.outputs().size(), " outputs");
    for (const auto& [name, s] : graph_.states)
      if (!s.value.is_none() && !fits(type_of(s.value), s.type))
        fail("state '", name, "' is declared ", s.type.text(), " but holds ", type_of(s.value).text());
    block(*graph_.main(), nullptr, 0);
  }

 private:
  void block(const Block& b, const Node* owner, int depth) {
    if (depth > deepest_block) fail("blocks are nested deeper than ", deepest_block);
    if (b.graph() != &graph_ || b.owner() != owner)
      fail_kind(ErrorKind::Internal, "a block belongs to another graph or node");
    std::vector<const Value*> made;
    auto define = [&](const Value* v, const Node* producer, size_t index) {
      if (v->producer() != producer || v->block() != &b || v->index() != static_cast<int>(index))
        fail_kind(ErrorKind::Internal, "value '", v->name, "' does not know where it was made");
      check_uses(*v);
      visible_.insert(v);
      made.push_back(v);
    };
    for (size_t i = 0; i < b.params().size(); i++) define(b.params()[i], nullptr, i);
    for (const Node* n : b) {
      try {
        node(*n, b, depth);
        for (size_t i = 0; i < n->outputs().size(); i++) define(n->outputs()[i], n, i);
      } catch (Error& e) {
        e.add_context(cat("in node: ", short_text(*n)));
        throw;
      }
    }
    for (const Value* v : b.results())
      if (!visible_.count(v)) fail("a block yields value '", v->name, "', which is not defined there");
    for (const Value* v : made) visible_.erase(v);
  }

  void node(const Node& n, const Block& b, int depth) {
    if (n.owner() != &b) fail_kind(ErrorKind::Internal, "a node does not know its block");
    for (const Value* v : n.inputs())
      if (!visible_.count(v))
        fail(n.op_name(), ": uses value '", v->name, "' before it is defined, or outside its block");
    if ((n.kind == NodeKind::Get || n.kind == NodeKind::Set)) check_state(n);
    for (const auto& inner : n.blocks()) block(*inner, &n, depth + 1);
    check_node(n);
  }

  void check_state(const Node& n) {
    auto it = graph_.states.find(n.name);
    if (it == graph_.states.end()) fail(n.op_name(), ": there is no state '", n.name, "'");
    if (n.kind == NodeKind::Get && n.data_outputs() > 0)
      check_fits(it->second.type, n.output()->type, cat("get \"", n.name, "\""));
    if (n.kind == NodeKind::Set && n.data_inputs() > 0)
      check_fits(n.input(0)->type, it->second.type, cat("set \"", n.name, "\""));
    if (n.kind == NodeKind::Set && !it->second.written)
      fail("set: state '", n.name, "' is not declared as written");
  }

  static void check_uses(const Value& v) {
    for (const Value::Use& u : v.uses()) {
      bool good = u.node ? u.index >= 0 && static_cast<size_t>(u.index) < u.node->inputs().size() &&
                               u.node->input(u.index) == &v
                         : u.results_of && u.index >= 0 &&
                               static_cast<size_t>(u.index) < u.results_of->results().size() &&
                               u.results_of->results()[static_cast<size_t>(u.index)] == &v;
      if (!good) fail_kind(ErrorKind::Internal, "the use list of value '", v.name, "' is wrong");
    }
  }

  static std::string short_text(const Node& n) {
    std::string text = print(n);
    size_t line = text.find('\n');
    if (line != std::string::npos) {
      text.resize(line);
      if (!n.source.file.empty()) text += cat(" ... } at \"", n.source.file, "\":", n.source.line);
    }
    if (text.size() > 300) text = text.substr(0, 300) + "...";
    return text;
  }

  const Graph& graph_;
  std::unordered_set<const Value*> visible_;
};
}  // namespace

void check_node(const Node& n) {
  check_kind(n);
  // Tokens stand behind the data.
  for (int i = 0; i < n.data_inputs(); i++)
    if (n.input(i)->type.kind == TypeKind::Token && n.kind != NodeKind::Join && n.kind != NodeKind::Loop)
      fail(n.op_name(), ": a token stands among the ordinary inputs");
  if (n.outputs().size() > static_cast<size_t>(n.data_outputs()) + 1)
    fail(n.op_name(), ": makes more than one token");
  if (n.outputs().size() > static_cast<size_t>(n.data_outputs()) && !n.has_effects())
    fail(n.op_name(), ": makes a token but has no effects");
}

void verify(const Graph& graph) { Verifier(graph).run(); }

}  // namespace moka::graph
