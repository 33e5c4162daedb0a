// Printing graphs in the text form of docs/ir.md.
// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <cmath>
#include <cstring>
#include <unordered_set>

#include "moka/graph/contracts.h"
#include "moka/graph/graph.h"
#include "moka/graph/text_internal.h"

namespace moka::graph {

bool is_identifier(std::string_view name) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  for (char c : name) {
    bool word =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
    if (!word) return false;
  }
  // "..." and names that end in a dot would run into other marks.
  return name.front() != '.' && name.back() != '.';
}

bool is_keyword(std::string_view name) {
  static constexpr std::string_view words[] = {
      "graph", "metadata", "state",  "return",  "yield", "if",     "else", "loop",     "get",
      "set",   "list",     "tuple",  "unpack",  "call",  "python", "join", "constant", "true",
      "false", "none",     "inf",    "nan",     "as",    "at",     "in",   "on",       "label",
      "after", "device",   "object", "tensors", "ints",  "floats"};
  for (std::string_view w : words)
    if (w == name) return true;
  return false;
}

void append_quoted(std::string& out, std::string_view text) {
  static constexpr char hex[] = "0123456789abcdef";
  out += '"';
  for (char c : text) {
    unsigned char u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') (out += '\\') += c;
    else if (c == '\n') out += "\\n";
    else if (c == '\t') out += "\\t";
    else if (u < 0x20 || u == 0x7f) ((out += "\\x") += hex[u >> 4]) += hex[u & 15];
    else out += c;
  }
  out += '"';
}

void append_identifier(std::string& out, std::string_view name) {
  if (is_identifier(name) && !is_keyword(name)) out += name;
  else append_quoted(out, name);
}

namespace {
// Anything that loses nothing when read as a double again.
bool readable(DType d) {
  return d == DType::Bool || d == DType::F16 || d == DType::BF16 || d == DType::F32 || d == DType::F64 ||
         (is_integral(d) && d != DType::U64);
}

void append_float(std::string& out, double v) {
  if (std::isnan(v)) {
    uint64_t bits;
    std::memcpy(&bits, &v, sizeof bits);
    out += "nan";
    if (bits != 0x7ff8000000000000u) {
      char digits[17];
      auto end = std::to_chars(digits, digits + 17, bits, 16).ptr;
      out.append("(0x").append(digits, end) += ')';
    }
    return;
  }
  append_text(out, v);
}

// The short text of a float32 where reading it through a double gives the same bits: 0.1, not 0.10000000149011612.
void append_single(std::string& out, double v) {
  char digits[32];
  if (std::isfinite(v)) {
    auto end = std::to_chars(digits, digits + sizeof digits, static_cast<float>(v)).ptr;
    double back = 0;
    std::from_chars(digits, end, back);
    if (static_cast<float>(back) == static_cast<float>(v)) {
      std::string_view text(digits, static_cast<size_t>(end - digits));
      out += text;
      if (text.find_first_of(".e") == std::string_view::npos) out += ".0";
      return;
    }
  }
  append_float(out, v);
}

class Printer {
 public:
  explicit Printer(TensorTable* table) : table_(table) {}
  std::string out;

  void graph(const Graph& g) {
    names_.clear();
    taken_.clear();
    next_number_ = 0;
    name_values(g);
    out += "graph ";
    append_identifier(out, g.name);
    params(g.inputs());
    out += " {\n";
    for (const auto& [key, text] : g.metadata) {
      out += "  metadata ";
      append_quoted(out, key);
      out += " = ";
      append_quoted(out, text);
      out += '\n';
    }
    for (const auto& [key, s] : g.states) state(key, s);
    block_nodes(*g.main(), 1);
    if (!g.outputs().empty()) {
      out += "  return ";
      for (size_t i = 0; i < g.outputs().size(); i++) {
        if (i) out += ", ";
        value(g.outputs()[i]);
        if (i < g.output_names.size() && !g.output_names[i].empty()) {
          out += " as ";
          append_quoted(out, g.output_names[i]);
        }
      }
      out += '\n';
    }
    out += "}\n";
  }

  void single_node(const Node& n) {
    for (const Value* v : n.inputs()) collect(v);
    for (const auto& b : n.blocks()) {
      for (const Value* p : b->params()) collect(p);
      collect_block(*b);
    }
    for (const Value* v : n.outputs()) collect(v);
    node(n, 0);
  }

  void node(const Node& n, int depth) {
    if (n.kind == NodeKind::Constant && is_inline(n)) return;
    out.append(static_cast<size_t>(depth) * 2, ' ');
    for (size_t i = 0; i < n.outputs().size(); i++) {
      if (i) out += ", ";
      declare(n.outputs()[i]);
    }
    if (!n.outputs().empty()) out += " = ";
    head(n);
    blocks(n, depth);
    trailer(n);
    out += '\n';
  }

 private:
  // Constants without a name or other marks stand where they are used; their place and number mean nothing.
  static bool is_inline(const Node& n) {
    const Value* v = n.output();
    if (!v->name.empty() || !n.name.empty() || !n.notes.empty() || n.source.line || !n.source.file.empty() ||
        !n.source.scope.empty())
      return false;
    return !holds_tensor(n.constant) && v->type == type_of(n.constant) && n.inputs().empty() &&
           n.outputs().size() == 1;
  }
  static bool holds_tensor(const Any& a) {
    if (a.is_tensor() || a.tag() == Tag::Tensors) return true;
    if (a.tag() == Tag::List)
      for (const Any& e : a.list())
        if (holds_tensor(e)) return true;
    return false;
  }

  void name_values(const Graph& g) {
    for (const Value* v : g.inputs()) collect(v);
    collect_block(*g.main());
  }
  void collect_block(const Block& b) {
    for (const Node* n : b) {
      for (const auto& inner : n->blocks()) {
        for (const Value* p : inner->params()) collect(p);
        collect_block(*inner);
      }
      for (const Value* v : n->outputs()) collect(v);
    }
  }
  void collect(const Value* v) {
    if (v->name.empty() || names_.count(v)) return;
    if (taken_.insert(v->name).second) names_[v] = v->name;
    else twice_.push_back(v);
  }
  const std::string& name_of(const Value* v) {
    if (!twice_.empty()) {  // second owners of a name get a number behind it
      for (const Value* t : twice_) {
        std::string name;
        for (int k = 1;; k++)
          if (name = cat(t->name, "_", k); taken_.insert(name).second) break;
        names_[t] = name;
      }
      twice_.clear();
    }
    auto it = names_.find(v);
    if (it != names_.end()) return it->second;
    return names_[v] = std::to_string(next_number_++);
  }
  void mention(const Value* v) {
    const std::string& name = name_of(v);
    out += '%';
    // A digit starts the names that the printer gives; a user's name of digits is quoted.
    if (v->name.empty() || (is_identifier(name))) out += name;
    else append_quoted(out, name);
  }
  void value(const Value* v) {
    if (v->producer() && v->producer()->kind == NodeKind::Constant && is_inline(*v->producer()))
      literal(v->producer()->constant);
    else mention(v);
  }
  void values(std::span<Value* const> list) {
    for (size_t i = 0; i < list.size(); i++) {
      if (i) out += ", ";
      value(list[i]);
    }
  }
  void declare(const Value* v) {
    mention(v);
    out += ": ";
    out += v->type.text();
  }
  void params(std::span<Value* const> list) {
    out += '(';
    for (size_t i = 0; i < list.size(); i++) {
      if (i) out += ", ";
      declare(list[i]);
    }
    out += ')';
  }

  void state(const std::string& key, const State& s) {
    out += s.parameter ? "  state parameter " : "  state buffer ";
    if (s.written) out += "written ";
    append_quoted(out, key);
    out += ": ";
    out += s.type.text();
    if (!s.value.is_none()) {
      out += " = ";
      literal(s.value, key, true);
    }
    out += '\n';
  }

  void head(const Node& n) {
    size_t count = static_cast<size_t>(n.data_inputs());
    std::span<Value* const> data = n.inputs().first(count), tokens = n.inputs().subspan(count);
    switch (n.kind) {
      case NodeKind::Op: {
        std::string_view name = n.op_name();
        append_identifier(out, name);
        if (int version = contract_version(name); version > 1) {
          out += '@';
          append_part(out, version);
        }
        arguments(data);
        break;
      }
      case NodeKind::Builtin:
        out += '@';
        out += n.name;
        arguments(data);
        break;
      case NodeKind::Constant:
        out += "constant ";
        literal(n.constant, n.output()->name);
        break;
      case NodeKind::If:
        out += "if ";
        values(data);
        break;
      case NodeKind::Loop:
        out += "loop(";
        values(data);
        out += ')';
        break;
      case NodeKind::Get:
        out += "get ";
        append_quoted(out, n.name);
        break;
      case NodeKind::Set:
        out += "set ";
        append_quoted(out, n.name);
        arguments(data);
        break;
      case NodeKind::Call:
      case NodeKind::Python:
        out += node_kind_name(n.kind);
        out += ' ';
        append_quoted(out, n.name);
        arguments(data);
        break;
      default: out += node_kind_name(n.kind); arguments(data);
    }
    if (!tokens.empty()) {
      out += " after ";
      values(tokens);
    }
  }
  void arguments(std::span<Value* const> list) {
    out += '(';
    values(list);
    out += ')';
  }

  void blocks(const Node& n, int depth) {
    for (size_t i = 0; i < n.blocks().size(); i++) {
      const Block& b = *n.blocks()[i];
      if (i) out += " else";
      if (n.kind == NodeKind::Loop || !b.params().empty()) {
        out += ' ';
        params(b.params());
      }
      out += " {\n";
      block_nodes(b, depth + 1);
      if (!b.results().empty()) {
        out.append(static_cast<size_t>(depth) * 2 + 2, ' ');
        out += "yield ";
        values(b.results());
        out += '\n';
      }
      out.append(static_cast<size_t>(depth) * 2, ' ');
      out += '}';
    }
  }
  void block_nodes(const Block& b, int depth) {
    for (const Node* n : b) node(*n, depth);
  }

  void trailer(const Node& n) {
    bool head_has_name = n.kind == NodeKind::Get || n.kind == NodeKind::Set || n.kind == NodeKind::Call ||
                         n.kind == NodeKind::Python || n.kind == NodeKind::Builtin;
    if (!n.name.empty() && !head_has_name) {
      out += " label ";
      append_quoted(out, n.name);
    }
    if (!n.source.file.empty() || n.source.line) {
      out += " at ";
      append_quoted(out, n.source.file);
      out += ':';
      append_part(out, n.source.line);
    }
    if (!n.source.scope.empty()) {
      out += " in ";
      append_quoted(out, n.source.scope);
    }
    if (n.notes.empty()) return;
    out += " {";
    bool first = true;
    for (const auto& [key, note] : n.notes) {
      if (!first) out += ", ";
      first = false;
      append_identifier(out, key);
      out += " = ";
      literal(note);
    }
    out += '}';
  }

  // `name`: what a reference to a tensor is called; `refer`: even where it is small.
  void literal(const Any& a, const std::string& name = {}, bool refer = false) {
    switch (a.tag()) {
      case Tag::None: out += "none"; break;
      case Tag::Tensor: tensor(a.tensor(), name, refer); break;
      case Tag::Int: append_part(out, a.to_int()); break;
      case Tag::Float: append_float(out, a.to_double()); break;
      case Tag::Bool: out += a.to_bool() ? "true" : "false"; break;
      case Tag::DType: append_text(out, a.dtype()); break;
      case Tag::Device: {
        std::string text;
        append_text(text, a.arg().device);
        out += "device ";
        append_quoted(out, text);
        break;
      }
      case Tag::String: append_quoted(out, a.string()); break;
      case Tag::Ints:
        if (a.ints().empty()) out += "ints";
        append_text(out, a.ints());
        break;
      case Tag::Floats: {
        auto items = a.arg().as_floats();
        if (items.empty()) out += "floats";
        list(items, [&](double v) { append_float(out, v); });
        break;
      }
      case Tag::Tensors:
        out += "tensors";
        list(a.tensors(), [&](const Tensor& t) {
          if (t) tensor(t, name, refer);
          else out += "none";
        });
        break;
      case Tag::List:
        out += "list";
        list(a.list(), [&](const Any& e) { literal(e, name, refer); });
        break;
      case Tag::Object:
        out += "object ";
        append_quoted(out, a.arg().object->type_name());
        break;
    }
  }
  template <class Items, class F>
  void list(const Items& items, F&& item) {
    out += '[';
    bool first = true;
    for (const auto& i : items) {
      if (!first) out += ", ";
      first = false;
      item(i);
    }
    out += ']';
  }

  void tensor(const Tensor& t, const std::string& name, bool refer) {
    append_text(out, t.dtype());
    append_text(out, t.sizes());
    bool big = t.numel() > inline_limit || t.device().type != 0;
    if (big || (table_ && refer)) {
      out += " @";
      append_quoted(out, table_name(t, name));
      return;
    }
    bool words = readable(t.dtype());
    for (int64_t i = 0; words && is_floating(t.dtype()) && i < t.numel(); i++)
      words = !std::isnan(element_as_double(t, i));
    if (!words) return bytes(t);
    out += " {";
    for (int64_t i = 0; i < t.numel(); i++) {
      if (i) out += ", ";
      if (t.dtype() == DType::Bool) append_part(out, element_as_int(t, i) != 0);
      else if (t.dtype() == DType::F32) append_single(out, element_as_double(t, i));
      else if (is_floating(t.dtype())) append_float(out, element_as_double(t, i));
      else append_part(out, element_as_int(t, i));
    }
    out += '}';
  }
  void bytes(const Tensor& t) {
    static constexpr char hex[] = "0123456789abcdef";
    Tensor flat = as_contiguous(t);
    const unsigned char* p = flat.data<unsigned char>();
    out += " x\"";
    for (size_t i = 0; i < flat.bytes(); i++) (out += hex[p[i] >> 4]) += hex[p[i] & 15];
    out += '"';
  }
  std::string table_name(const Tensor& t, const std::string& name) {
    auto known = tensor_names_.find(t.impl());
    if (known != tensor_names_.end()) return known->second;
    std::string key = name.empty() ? cat("constant.", next_constant_++) : name;
    for (int k = 1; !tensor_keys_.insert(key).second; k++)
      key = cat(name.empty() ? "constant" : name, ".", k);
    tensor_names_[t.impl()] = key;
    if (table_) table_->tensors[key] = t;
    return key;
  }

  TensorTable* table_;
  std::unordered_map<const Value*, std::string> names_;
  std::unordered_set<std::string> taken_;
  std::vector<const Value*> twice_;
  int64_t next_number_ = 0, next_constant_ = 0;
  std::unordered_map<const TensorImpl*, std::string> tensor_names_;
  std::unordered_set<std::string> tensor_keys_;
};
}  // namespace

std::string print(const Graph& graph, TensorTable* table) {
  Printer p(table);
  p.out = "moka-ir 1\n";
  p.graph(graph);
  return std::move(p.out);
}

std::string print(const Program& program, TensorTable* table) {
  std::string out = "moka-ir 1\n";
  Printer p(table);
  for (const auto& [name, graph] : program.graphs) p.graph(*graph);
  return out + p.out;
}

std::string print(const Node& node) {
  Printer p(nullptr);
  p.single_node(node);
  if (!p.out.empty() && p.out.back() == '\n') p.out.pop_back();
  return std::move(p.out);
}

}  // namespace moka::graph
