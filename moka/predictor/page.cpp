// The graph as data for the page.
// SPDX-License-Identifier: Apache-2.0
#include "moka/predictor/page.h"

#include <cmath>
#include <unordered_map>

#include "moka/formats/json.h"
#include "moka/predictor/page_internal.h"
#include "moka/runtime/work.h"
#include "moka/tensor/geometry.h"

namespace moka {

namespace {

class Writer {
 public:
  explicit Writer(int64_t values) : values_(values) {}

  std::string write(const graph::Graph& graph, std::string_view title) {
    out_ = "{";
    text("title", title);
    text("graph", graph.name);
    open("metadata", '{');
    for (const auto& [name, value] : graph.metadata) text(name, value);
    close('}');
    open("states", '[');
    for (const auto& [name, state] : graph.states) {
      item('{');
      text("name", name);
      text("type", state.type.text());
      text("kind", state.parameter ? "parameter" : "buffer");
      if (state.written) raw("written", "true");
      text("value", value_text(state.value));
      close('}');
    }
    close(']');
    block("main", *graph.main());
    open("names", '[');
    for (size_t i = 0; i < graph.outputs().size(); i++) {
      item(0);
      append_json_string(out_, i < graph.output_names.size() ? graph.output_names[i] : "");
    }
    close(']');
    return out_ + "}";
  }

 private:
  // ---- JSON
  void comma() {
    if (!out_.empty() && out_.back() != '{' && out_.back() != '[') out_ += ',';
  }
  void key(std::string_view name) {
    comma();
    append_json_string(out_, name);
    out_ += ':';
  }
  void text(std::string_view name, std::string_view value) {
    if (value.empty()) return;
    key(name);
    append_json_string(out_, value);
  }
  void raw(std::string_view name, std::string_view value) {
    key(name);
    out_ += value;
  }
  void open(std::string_view name, char bracket) {
    key(name);
    out_ += bracket;
  }
  void item(char bracket) {
    comma();
    if (bracket) out_ += bracket;
  }
  void close(char bracket) { out_ += bracket; }

  // ---- the graph
  int id(const graph::Value* v) { return ids_.emplace(v, static_cast<int>(ids_.size())).first->second; }

  void value(const graph::Value& v) {
    item('{');
    raw("id", std::to_string(id(&v)));
    text("name", v.name);
    text("type", v.type.text());
    close('}');
  }

  void block(std::string_view name, const graph::Block& b) {
    open(name, '{');
    open("params", '[');
    for (const graph::Value* v : b.params()) value(*v);
    close(']');
    open("nodes", '[');
    for (const graph::Node* n : b)
      if (n->kind != graph::NodeKind::Constant) node(*n);
    close(']');
    open("results", '[');
    for (const graph::Value* v : b.results()) use(*v);
    close(']');
    close('}');
  }

  // A value that is used: its number, or the constant itself.
  void use(const graph::Value& v) {
    const Any* constant = v.constant();
    if (!constant) {
      item(0);
      out_ += std::to_string(id(&v));
      return;
    }
    item('{');
    text("value", value_text(*constant));
    text("type", v.type.text());
    text("name", v.name);
    close('}');
  }

  void node(const graph::Node& n) {
    item('{');
    text("op", n.op_name());
    text("kind", graph::node_kind_name(n.kind));
    text("name", n.name);
    text("file", n.source.file);
    if (n.source.line) raw("line", std::to_string(n.source.line));
    text("scope", n.source.scope);
    open("inputs", '[');
    for (const graph::Value* v : n.inputs()) use(*v);
    close(']');
    if (n.kind == graph::NodeKind::Op) {
      open("arguments", '[');
      for (const ArgDef& def : info(*n.op).schema.args) {
        item(0);
        append_json_string(out_, def.name);
      }
      close(']');
      if (const int64_t flop = work(n); flop > 0) raw("flop", std::to_string(flop));
    }
    open("outputs", '[');
    for (const graph::Value* v : n.outputs()) value(*v);
    close(']');
    if (!n.notes.empty()) {
      open("notes", '{');
      for (const auto& [name, note] : n.notes) text(name, value_text(note));
      close('}');
    }
    if (!n.blocks().empty()) {
      open("blocks", '{');
      const bool branches = n.kind == graph::NodeKind::If;
      for (size_t i = 0; i < n.blocks().size(); i++)
        block(!branches ? "body" : i ? "else" : "then", *n.block(static_cast<int>(i)));
      close('}');
    }
    close('}');
  }

  // Free sizes count as 1.
  static int64_t work(const graph::Node& n) {
    auto extents = [](std::span<graph::Value* const> values) {
      std::vector<runtime::Extent> out(values.size());
      for (size_t i = 0; i < values.size(); i++) {
        const graph::Type& type = values[i]->type;
        if (type.kind != graph::TypeKind::Tensor || !type.has_dims) continue;
        out[i].known = true;
        out[i].weight = values[i]->constant() != nullptr;
        for (const graph::Dim& d : type.dims) out[i].sizes.push_back(d.fixed() ? d.size : 1);
      }
      return out;
    };
    return runtime::arithmetic(*n.op, extents(n.inputs()), extents(n.outputs()));
  }

  std::string value_text(const Any& value) const {
    if (!value.is_tensor()) {
      std::string out = cat(value);
      if (out.size() > 2000) out.replace(2000, std::string::npos, "...");
      return out;
    }
    const Tensor& t = value.tensor();
    std::string out = cat(info(t.dtype()).name, t.sizes());
    if (!t.has_storage() || !t.numel() || t.dtype() == DType::String) return out;
    if (t.numel() <= values_ || is_complex(t.dtype())) {
      out += " {";
      for (int64_t i = 0; i < std::min(t.numel(), values_); i++)
        out += cat(i ? ", " : "",
                   is_integral(t.dtype()) ? cat(element_as_int(t, i)) : cat(element_as_double(t, i)));
      return out + (t.numel() > values_ ? ", ...}" : "}");
    }
    double least = INFINITY, most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < t.numel(); i++) {
      const double x = element_as_double(t, i);
      least = std::min(least, x);
      most = std::max(most, x);
      sum += x;
    }
    return cat(out, ": least ", least, ", mean ", sum / static_cast<double>(t.numel()), ", greatest ", most);
  }

  int64_t values_;
  std::string out_;
  std::unordered_map<const graph::Value*, int> ids_;
};

std::string with(std::string_view page, std::string_view mark, std::string_view text) {
  const size_t at = page.find(mark);
  return cat(page.substr(0, at), text, page.substr(at + mark.size()));
}

}  // namespace

std::string graph_page(const graph::Graph& graph, std::string_view title, int64_t values) {
  std::string data = Writer(values).write(graph, title);
  std::string safe;  // "</script>" and "<!--" in a name would end the data
  for (char c : data) c == '<' ? safe += "\\u003c" : safe += c;
  return with(page_template(), "@DATA@", safe);
}

}  // namespace moka
