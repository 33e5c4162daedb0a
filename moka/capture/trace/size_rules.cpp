// What a user promises of sizes becomes checks at the beginning of a graph.
// SPDX-License-Identifier: Apache-2.0
#include "moka/capture/trace/trace.h"
#include "moka/graph/builtins.h"

namespace moka::capture {

using graph::Graph;
using graph::Node;
using graph::NodeKind;
using graph::Value;

namespace {
class Rules {
 public:
  explicit Rules(Graph& graph) : graph_(graph), at_{graph.main(), graph.main()->first()} {}

  void add(const SizeRule& r) {
    MOKA_CHECK_KIND(Index, r.input >= 0 && r.input < static_cast<int>(graph_.inputs().size()),
                    "a rule for input ", r.input, " of a graph that has ", graph_.inputs().size());
    Value* input = graph_.inputs()[static_cast<size_t>(r.input)];
    Value* size = make("size", {input, number(r.dim)});
    const std::string place = cat("dimension ", r.dim, " of input '", input->name, "'");
    const std::string form = cat(r.factor == 1 ? "" : cat(r.factor, "*"), r.name,
                                 r.offset ? cat(r.offset > 0 ? "+" : "", r.offset) : "");
    if (auto base = bases_.find(r.name); base != bases_.end()) {
      Value* wanted = base->second;
      if (r.factor != 1) wanted = make("mul", {wanted, number(r.factor)});
      if (r.offset) wanted = make("add", {wanted, number(r.offset)});
      // Sizes of one name are compared by whoever runs the graph.
      if (r.factor != 1 || r.offset)
        check("eq", size, wanted, cat(place, " must be ", form), cat(place, " == ", form));
      return;
    }
    Value* base = size;
    if (r.offset) base = make("sub", {base, number(r.offset)});
    if (r.factor != 1) {
      check("eq", make("mod", {base, number(r.factor)}), number(0), cat(place, " must be ", form),
            cat(place, " == ", form));
      base = make("floordiv", {base, number(r.factor)});
    }
    bases_[r.name] = base;
    const bool least = r.least > 0, most = r.most >= 0;
    const std::string range =
        cat(place, " ('", r.name, "') must be ", least ? cat("at least ", r.least * r.factor + r.offset) : "",
            least && most ? " and " : "", most ? cat("at most ", r.most * r.factor + r.offset) : "");
    if (least) check("ge", base, number(r.least), range, cat(r.name, " >= ", r.least));
    if (most) check("le", base, number(r.most), range, cat(r.name, " <= ", r.most));
  }

 private:
  Value* number(int64_t n) { return graph_.constant(Any(n), at_); }
  Value* make(const char* name, std::vector<Value*> inputs) {
    Node* n = graph_.create_named(NodeKind::Builtin, name, at_, inputs, 1);
    graph::infer_types(*n);
    return n->output();
  }
  void check(const char* question, Value* a, Value* b, const std::string& text, const std::string& label) {
    Node* n = make("check",
                   {make(question, {a, b}), graph_.constant(Any(true), at_), graph_.constant(Any(text), at_)})
                  ->producer();
    n->notes["condition"] = Any(label);
    n->notes["declared"] = Any(true);
  }

  Graph& graph_;
  Graph::Point at_;
  std::map<std::string, Value*> bases_;
};
}  // namespace

void check_sizes(Graph& graph, std::span<const SizeRule> rules) {
  Rules all(graph);
  for (const SizeRule& r : rules) all.add(r);
  graph::verify(graph);
}

}  // namespace moka::capture
