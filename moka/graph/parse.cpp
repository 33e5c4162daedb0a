// Parsing the text form of docs/ir.md into graphs.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <unordered_set>

#include "moka/graph/builtins.h"
#include "moka/graph/contracts.h"
#include "moka/graph/reader_internal.h"

namespace moka::graph {

namespace {
// Whether no tensor can be of both types.
bool contradict(const Type& a, const Type& b) {
  if (a.kind != TypeKind::Tensor || b.kind != TypeKind::Tensor) return false;
  if (a.has_dtype && b.has_dtype && a.dtype != b.dtype) return true;
  if (!a.has_dims || !b.has_dims) return false;
  if (a.dims.size() != b.dims.size()) return true;
  for (size_t i = 0; i < a.dims.size(); i++)
    if (a.dims[i].fixed() && b.dims[i].fixed() && a.dims[i].size != b.dims[i].size) return true;
  return false;
}

class Parser {
 public:
  Parser(std::string_view text, const TensorTable* table, const ParseLimits& limits)
      : in_(text, table, limits), limits_(limits) {}

  Program program() {
    in_.expect_word("moka");
    if (in_.token() != Reader::Token::Integer || in_.word() != "-") in_.wrong("'moka-ir 1'");
    in_.next();
    in_.expect_word("ir");
    size_t at = in_.start();
    int64_t version = in_.expect_integer("the version of the form");
    if (version != 1)
      in_.error_at(at, cat("this is version ", version, " of the form; this release reads version 1"),
                   ErrorKind::NotImplemented);
    Program p;
    do {
      size_t start = in_.start();
      std::unique_ptr<Graph> g = graph();
      std::string name = g->name;
      if (!p.graphs.emplace(name, std::move(g)).second)
        in_.error_at(start, cat("there is a graph '", name, "' already"));
    } while (in_.token() != Reader::Token::End);
    return p;
  }

 private:
  std::unique_ptr<Graph> graph() {
    in_.expect_word("graph");
    auto g = std::make_unique<Graph>(in_.expect_identifier("the name of a graph"));
    graph_ = g.get();
    visible_.clear();
    all_names_.clear();
    scope_.clear();
    params(*g->main());
    in_.expect_mark('{', "before the body of a graph");
    for (;;) {
      if (in_.accept_word("metadata")) metadata();
      else if (in_.accept_word("state")) state();
      else break;
    }
    nodes(*g->main());
    if (in_.accept_word("return")) {
      do {
        Value* v = value({g->main()});
        std::string name;
        if (in_.accept_word("as")) name = in_.expect_string("the name of an output, quoted");
        g->add_output(v, name);
      } while (in_.accept_mark(','));
    }
    in_.expect_mark('}', "after the body of a graph");
    return g;
  }

  void metadata() {
    std::string key = in_.expect_string("a key, quoted");
    in_.expect_mark('=', "after the key");
    size_t at = in_.start();
    std::string text = in_.expect_string("a text, quoted");
    if (!graph_->metadata.emplace(key, text).second)
      in_.error_at(at, cat("metadata '", key, "' stands here twice"));
  }

  void state() {
    State s;
    s.parameter = in_.is_word("parameter");
    if (!in_.accept_word("parameter")) in_.expect_word("buffer");
    s.written = in_.accept_word("written");
    size_t at = in_.start();
    s.name = in_.expect_string("the name of a state, quoted");
    in_.expect_mark(':', "and a type after the name of a state");
    s.type = in_.type();
    if (in_.accept_mark('=')) s.value = in_.literal();
    if (!s.value.is_none() && !fits(type_of(s.value), s.type))
      in_.error_at(at, cat("state '", s.name, "' is declared ", s.type.text(), " but its value is ",
                           type_of(s.value).text()));
    std::string name = s.name;
    if (!graph_->states.emplace(name, std::move(s)).second)
      in_.error_at(at, cat("state '", name, "' is declared twice"));
  }

  // ---- values

  // %12 is a number that the printer gave, %"12" a name: two different values.
  static bool is_number(const std::string& name, bool quoted) { return !quoted && !is_identifier(name); }
  static std::string key(const std::string& name, bool quoted) {
    return (is_number(name, quoted) ? "#" : "=") + name;
  }

  void define(Value* v, const std::string& name, bool quoted, size_t at) {
    std::string k = key(name, quoted);
    if (++count_ > limits_.values) in_.error_at(at, cat("more than ", limits_.values, " values"));
    if (!all_names_.insert(k).second) in_.error_at(at, cat("value '%", name, "' is defined twice"));
    visible_[k] = v;
    scope_.push_back(std::move(k));
    if (!is_number(name, quoted)) v->name = name;
  }

  void params(Block& block) {
    in_.expect_mark('(', "before the parameters");
    while (!in_.is_mark(')')) {
      size_t at = in_.start();
      if (in_.token() != Reader::Token::Name) in_.wrong("a parameter such as %x");
      std::string name = in_.word();
      bool quoted = in_.quoted();
      in_.next();
      Type type;
      if (in_.accept_mark(':')) type = in_.type();
      define(block.add_param(std::move(type)), name, quoted, at);
      if (!in_.accept_mark(',')) break;
    }
    in_.expect_mark(')', "after the parameters");
  }

  Value* value(Graph::Point at) {
    if (in_.token() == Reader::Token::Name) {
      std::string k = key(in_.word(), in_.quoted());
      auto it = visible_.find(k);
      if (it == visible_.end()) {
        bool elsewhere = all_names_.count(k) != 0;
        in_.error_at(
            in_.start(),
            cat("value '%", in_.word().substr(0, 60), "' is ",
                elsewhere ? "not visible here: it was made inside a block that has ended" : "not defined"));
      }
      in_.next();
      return it->second;
    }
    if (!in_.at_literal()) in_.wrong("a value or a literal");
    size_t start = in_.start();
    if (++count_ > limits_.values) in_.error_at(start, cat("more than ", limits_.values, " values"));
    return graph_->constant(in_.literal(), at);
  }

  // (value, name = value, ...)
  struct Argument {
    std::string name;
    Value* value;
    size_t at;
  };
  std::vector<Argument> arguments(Graph::Point at) {
    in_.expect_mark('(', "before the arguments");
    std::vector<Argument> list;
    while (!in_.is_mark(')')) {
      Argument a;
      a.at = in_.start();
      if (in_.token() == Reader::Token::Word && in_.followed_by('=')) {
        a.name = in_.word();
        in_.next();
        in_.next();
      }
      a.value = value(at);
      list.push_back(std::move(a));
      if (!in_.accept_mark(',')) break;
    }
    in_.expect_mark(')', "after the arguments");
    return list;
  }
  std::vector<Value*> plain_arguments(Graph::Point at) {
    std::vector<Value*> list;
    for (Argument& a : arguments(at)) {
      if (!a.name.empty()) in_.error_at(a.at, "only operators have named arguments");
      list.push_back(a.value);
    }
    return list;
  }
  std::vector<Value*> value_list(Graph::Point at) {
    std::vector<Value*> list;
    do list.push_back(value(at));
    while (in_.accept_mark(','));
    return list;
  }

  // ---- nodes

  struct Declared {
    std::string name;
    bool quoted;
    size_t at;
    bool typed = false;
    Type type;
  };

  bool at_end_of_nodes() const {
    return in_.is_mark('}') || in_.is_word("return") || in_.is_word("yield") ||
           in_.token() == Reader::Token::End;
  }

  void nodes(Block& block) {
    while (!at_end_of_nodes()) node(block);
  }

  void node(Block& block) {
    size_t start = in_.start();
    std::vector<Declared> outs;
    while (in_.token() == Reader::Token::Name) {
      Declared d{in_.word(), in_.quoted(), in_.start(), false, {}};
      in_.next();
      if (in_.accept_mark(':')) {
        d.typed = true;
        d.type = in_.type();
      }
      outs.push_back(std::move(d));
      if (!in_.accept_mark(',')) break;
    }
    if (!outs.empty()) in_.expect_mark('=', "after the results of a node");
    Node* n = head(block, outs);
    trailer(*n);
    finish(*n, outs, start);
  }

  Node* head(Block& block, const std::vector<Declared>& outs) {
    Graph::Point at{&block};
    int count = static_cast<int>(outs.size());
    size_t start = in_.start();
    if (in_.accept_mark('@')) {
      std::string name = in_.word();
      if (in_.token() != Reader::Token::Word || !find_builtin(name))
        in_.error_at(start, cat("there is no builtin '@", name.substr(0, 60), "'"));
      in_.next();
      return after(graph_->create_named(NodeKind::Builtin, name, at, plain_arguments(at), count));
    }
    if (in_.accept_word("constant")) {
      Any literal = in_.literal();
      Node* n = graph_->create(NodeKind::Constant, at, {}, count);
      n->constant = std::move(literal);
      return n;
    }
    if (in_.accept_word("if")) return if_node(at, count);
    if (in_.accept_word("loop")) return loop_node(at, count);
    if (in_.accept_word("get"))
      return after(graph_->create_named(NodeKind::Get, in_.expect_string("the name of a state, quoted"), at,
                                        {}, count));
    if (in_.accept_word("set")) return named(NodeKind::Set, at, count);
    if (in_.accept_word("call")) return named(NodeKind::Call, at, count);
    if (in_.accept_word("python")) return named(NodeKind::Python, at, count);
    if (in_.accept_word("list")) return after(graph_->create(NodeKind::List, at, plain_arguments(at), count));
    if (in_.accept_word("tuple"))
      return after(graph_->create(NodeKind::Tuple, at, plain_arguments(at), count));
    if (in_.accept_word("unpack"))
      return after(graph_->create(NodeKind::Unpack, at, plain_arguments(at), count));
    if (in_.accept_word("join")) return graph_->create(NodeKind::Join, at, plain_arguments(at), count);
    return after(op_node(at));
  }

  Node* named(NodeKind kind, Graph::Point at, int count) {
    std::string name = in_.expect_string("a name, quoted");
    std::vector<Value*> args = plain_arguments(at);
    return after(graph_->create_named(kind, std::move(name), at, args, count));
  }

  Node* op_node(Graph::Point at) {
    size_t start = in_.start();
    OldCall call{in_.expect_identifier("a node"), {}, *graph_, at};
    int version = 1;
    if (in_.accept_mark('@'))
      version = static_cast<int>(
          std::min<int64_t>(in_.expect_integer("the version of the operator's contract"), 1 << 20));
    std::vector<Argument> args = arguments(at);
    size_t positional = 0;
    while (positional < args.size() && args[positional].name.empty())
      call.inputs.push_back(args[positional++].value);
    try {
      if (version < 1) fail("contract versions start at 1, got ", version);
      bool old = version != contract_version(call.op);
      if (old && positional < args.size())
        fail("named arguments are for the current contract of '", call.op, "' only");
      upgrade(call, version);
      const Op& op = get_op(call.op);
      bind(op, call, args, positional);
      return graph_->create_op(op, at, call.inputs);
    } catch (const Error& e) {
      in_.error_at(start, e.message(), e.kind() == ErrorKind::NotImplemented ? e.kind() : ErrorKind::File);
    }
  }

  // Named and missing arguments find their places.
  void bind(const Op& op, OldCall& call, const std::vector<Argument>& args, size_t positional) {
    const Schema& schema = info(op).schema;
    size_t n = schema.args.size();
    if (call.inputs.size() > n) fail(schema.name, ": takes ", n, " arguments, got ", call.inputs.size());
    call.inputs.resize(n, nullptr);
    for (size_t i = positional; i < args.size(); i++) {
      int k = args[i].name.empty() ? -1 : schema.find_arg(args[i].name);
      if (args[i].name.empty()) fail(schema.name, ": positional arguments come before named ones");
      if (k < 0) fail(schema.name, ": has no argument '", args[i].name, "'; it is ", schema.text());
      if (call.inputs[static_cast<size_t>(k)])
        fail(schema.name, ": argument '", args[i].name, "' is given twice");
      call.inputs[static_cast<size_t>(k)] = args[i].value;
    }
    for (size_t i = 0; i < n; i++) {
      if (call.inputs[i]) continue;
      const ArgDef& def = schema.args[i];
      if (!def.has_default && !def.type.optional)
        fail(schema.name, ": argument '", def.name, "' is missing; it is ", schema.text());
      call.inputs[i] = graph_->constant(def.default_value, call.at);
    }
  }

  Node* after(Node* n) {
    if (in_.accept_word("after"))
      for (Value* v : value_list({n->owner(), n})) n->add_input(v);
    return n;
  }

  Node* if_node(Graph::Point at, int count) {
    Value* const condition[] = {value(at)};
    Node* n = after(graph_->create(NodeKind::If, at, condition, count));
    block(*n->add_block(), false);
    in_.expect_word("else");
    block(*n->add_block(), false);
    return n;
  }

  Node* loop_node(Graph::Point at, int count) {
    std::vector<Value*> inputs = plain_arguments(at);
    Node* n = graph_->create(NodeKind::Loop, at, inputs, count);
    block(*n->add_block(), true);
    return n;
  }

  void block(Block& b, bool with_params) {
    Reader::Deeper deeper(in_);
    size_t outer_names = scope_.size();
    if (with_params) params(b);
    in_.expect_mark('{', "before a block");
    nodes(b);
    if (in_.accept_word("yield"))
      for (Value* v : value_list({&b})) b.add_result(v);
    in_.expect_mark('}', "after a block");
    for (; scope_.size() > outer_names; scope_.pop_back()) visible_.erase(scope_.back());
  }

  void trailer(Node& n) {
    for (;;) {
      size_t at = in_.start();
      if (in_.accept_word("label")) {
        if (!n.name.empty())
          in_.error_at(at, cat("a ", node_kind_name(n.kind), " has a name, and no label beside it"));
        n.name = in_.expect_string("a label, quoted");
      } else if (in_.accept_word("at")) {
        n.source.file = in_.expect_string("a file, quoted");
        in_.expect_mark(':', "between file and line");
        n.source.line =
            static_cast<int>(std::clamp<int64_t>(in_.expect_integer("a line"), INT32_MIN, INT32_MAX));
      } else if (in_.accept_word("in")) {
        n.source.scope = in_.expect_string("a scope, quoted");
      } else if (in_.accept_mark('{')) {
        while (!in_.is_mark('}')) {
          std::string key = in_.expect_identifier("the name of a note");
          in_.expect_mark('=', "after the name of a note");
          n.notes[key] = in_.literal();
          if (!in_.accept_mark(',')) break;
        }
        in_.expect_mark('}', "after the notes of a node");
      } else {
        return;
      }
    }
  }

  void finish(Node& n, std::vector<Declared>& outs, size_t start) {
    try {
      if (n.kind == NodeKind::Op && outs.size() == n.outputs().size() + 1) n.add_output(TypeKind::Token);
      if (outs.size() != n.outputs().size())
        fail(n.op_name(), ": has ", n.outputs().size(), " results, but ", outs.size(), " are named");
      bool all_typed = true;
      for (const Declared& d : outs) all_typed &= d.typed;
      if (!all_typed) {
        infer_types(n);
        defaults(n);
      }
      // Composite operators are many nodes: what they give is only inferred where the text does not say it.
      const bool simple = n.kind == NodeKind::Op && !n.op->body;
      const std::vector<Type> found = simple ? infer_types(*n.op, n.inputs()) : std::vector<Type>();
      for (size_t i = 0; i < outs.size(); i++) {
        if (!outs[i].typed) continue;
        n.outputs()[i]->type = outs[i].type;
        if (i < found.size() && contradict(found[i], outs[i].type))
          fail(n.op_name(), ": gives ", found[i].text(), ", but the text declares ", outs[i].type.text());
      }
      check_node(n);
    } catch (const Error& e) {
      in_.error_at(start, e.message());
    }
    for (size_t i = 0; i < outs.size(); i++) define(n.outputs()[i], outs[i].name, outs[i].quoted, outs[i].at);
  }

  // Types that the inputs of structural nodes say.
  void defaults(Node& n) {
    if (n.outputs().empty()) return;
    if (n.kind == NodeKind::Get) {
      auto s = graph_->states.find(n.name);
      if (s != graph_->states.end()) n.output()->type = s->second.type;
      if (n.outputs().size() == 2) n.output(1)->type = TypeKind::Token;
    } else if (n.kind == NodeKind::Set || n.kind == NodeKind::Join) {
      n.output()->type = TypeKind::Token;
    } else if (n.kind == NodeKind::If && n.blocks().size() == 2) {
      for (size_t i = 0;
           i < n.outputs().size() && i < n.block(0)->results().size() && i < n.block(1)->results().size();
           i++)
        n.outputs()[i]->type = join(n.block(0)->results()[i]->type, n.block(1)->results()[i]->type);
    } else if (n.kind == NodeKind::Loop && n.blocks().size() == 1) {
      for (size_t i = 0; i < n.outputs().size() && i + 1 < n.block(0)->params().size(); i++)
        n.outputs()[i]->type = n.block(0)->params()[i + 1]->type;
    }
  }

  Reader in_;
  const ParseLimits& limits_;
  Graph* graph_ = nullptr;
  std::unordered_map<std::string, Value*> visible_;
  std::unordered_set<std::string> all_names_;
  std::vector<std::string> scope_;  // names of the open blocks, innermost last
  size_t count_ = 0;
};
}  // namespace

Program parse_program(std::string_view text, const TensorTable* table, const ParseLimits& limits) {
  return Parser(text, table, limits).program();
}

std::unique_ptr<Graph> parse(std::string_view text, const TensorTable* table, const ParseLimits& limits) {
  Program p = parse_program(text, table, limits);
  if (p.graphs.size() != 1)
    fail_kind(ErrorKind::File, "moka-ir: one graph was expected, but the text has ", p.graphs.size(),
              "; read it as a program");
  return std::move(p.graphs.begin()->second);
}

}  // namespace moka::graph
