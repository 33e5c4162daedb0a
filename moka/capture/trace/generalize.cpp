// What several recordings of one program with inputs of different sizes have in common. Numbers that differ must be sizes
// of tensors, or products or linear functions of them, in every recording; the graph then computes them.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <functional>
#include <set>
#include <tuple>
#include <unordered_map>

#include "moka/capture/trace/trace.h"
#include "moka/graph/builtins.h"

namespace moka::capture {

using graph::Graph;
using graph::Node;
using graph::NodeKind;
using graph::Type;
using graph::TypeKind;
using graph::Value;

namespace {
using Numbers = std::vector<int64_t>;  // one of each recording

void differs(const Node& node, std::string_view what) {
  fail("trace: the program depends on a size that was declared dynamic: ", what, " of ", graph::print(node),
       "\n  at ", node.source.file, ":", node.source.line, node.source.scope.empty() ? "" : " in ",
       node.source.scope,
       ". Use operators that keep sizes open (flatten(1), -1 in view and reshape), and numbers read from "
       "x.shape "
       "without int() and float()");
}

bool same_constant(const Any& a, const Any& b) {
  if (!a.is_tensor() || !b.is_tensor()) return a == b;
  const Tensor &x = a.tensor(), &y = b.tensor();
  if (x == y) return true;
  if (x.dtype() != y.dtype() ||
      !std::equal(x.sizes().begin(), x.sizes().end(), y.sizes().begin(), y.sizes().end()))
    return false;
  Tensor p = as_contiguous(x), q = as_contiguous(y);
  return std::memcmp(p.raw_data(), q.raw_data(), p.bytes()) == 0;
}

// number(k) of each recording's k.
template <class T, class F>
Numbers gather(const std::vector<T*>& same, F number) {
  Numbers n;
  for (T* k : same) n.push_back(number(*k));
  return n;
}

bool all_same(const Numbers& n) {
  for (int64_t i : n)
    if (i != n[0]) return false;
  return true;
}

class Generalizer {
 public:
  Generalizer(Graph& graph, std::span<Graph* const> others, const SizeNames& names)
      : graph_(graph), names_(names), all_{&graph} {
    all_.insert(all_.end(), others.begin(), others.end());
    places_.resize(all_.size());
  }

  void run() {
    for (size_t i = 0; i < graph_.inputs().size(); i++) {
      std::vector<Value*> same;
      for (Graph* g : all_) same.push_back(g->inputs()[i]);
      meet(same, static_cast<int>(i));
    }
    std::vector<Node*> at;
    for (Graph* g : all_) at.push_back(g->main()->first());
    while (at[0]) {
      for (Node* n : at)
        if (!n) differs(*at[0], "the number of operations");
      std::vector<Node*> next;
      for (Node* n : at) next.push_back(n->next());
      node(at);
      at = std::move(next);
    }
    for (Node* n : at)
      if (n) differs(*n, "the number of operations");
  }

 private:
  // A size of a tensor, or (dim < 0) a number of the graph.
  struct Place {
    Value* value;
    int dim;
  };

  // Values of all recordings that are the same one; `input`: which input of the graph it is.
  void meet(const std::vector<Value*>& same, int input = -1) {
    Value* v = same[0];
    for (size_t k = 0; k < all_.size(); k++) places_[k][same[k]] = next_;
    next_++;
    Type joined = v->type;
    for (Value* other : same) joined = graph::join(joined, other->type);
    if (joined.kind == TypeKind::Tensor && joined.has_dims) {
      std::vector<Numbers>& all = sizes_of_[v];
      for (size_t d = 0; d < joined.dims.size(); d++) {
        all.push_back(gather(same, [d](Value& k) { return k.type.dims[d].size; }));
        const Numbers& sizes = all.back();
        if (joined.dims[d].fixed()) continue;
        auto name = names_.find({input, static_cast<int>(d)});
        if (name != names_.end()) symbols_.emplace(sizes, name->second);
        if (auto symbol = symbols_.find(sizes); symbol != symbols_.end())
          joined.dims[d].symbol = symbol->second;
        sizes_.emplace(sizes, Place{v, static_cast<int>(d)});
      }
    }
    v->type = std::move(joined);
  }
  // The o-th outputs of all recordings are one value.
  void meet_outputs(const std::vector<Node*>& same, int o = 0) {
    std::vector<Value*> values;
    for (Node* n : same) values.push_back(n->output(o));
    meet(values);
  }

  void node(const std::vector<Node*>& same) {
    Node& first = *same[0];
    for (Node* n : same)
      if (n->kind != first.kind || n->op != first.op || n->name != first.name ||
          n->inputs().size() != first.inputs().size() || n->outputs().size() != first.outputs().size())
        differs(first, "the operation");
    for (size_t k = 1; k < same.size(); k++)
      for (size_t i = 0; i < first.inputs().size(); i++) {
        auto at = places_[0].find(first.input(static_cast<int>(i)));
        const int place = places_[k].at(same[k]->input(static_cast<int>(i)));
        if (place != replaced && at != places_[0].end() && place != at->second) differs(first, "an operand");
      }
    if (first.kind == NodeKind::Constant && constant(same)) return;
    if (auto is = first.notes.find("is"); is != first.notes.end())
      return is->second.is_none() ? check(same) : number(same);
    for (size_t o = 0; o < first.outputs().size(); o++) meet_outputs(same, static_cast<int>(o));
  }

  // A number or an answer that the program computed from sizes: `is` notes what it was.
  void number(const std::vector<Node*>& same) {
    Node& first = *same[0];
    Numbers n = gather(same, [](Node& k) { return k.notes.at("is").to_int(); });
    first.notes.erase("is");
    meet_outputs(same);
    if (first.output()->type.kind != TypeKind::Int) return;
    const Graph::Point at{graph_.main(), &first};
    Value* known = all_same(n) ? literal(n[0], at) : size(n, at);
    if (!known) {
      sizes_.emplace(std::move(n), Place{first.output(), -1});
      return;
    }
    for (size_t k = 1; k < same.size(); k++) places_[k][same[k]->output()] = replaced;
    first.output()->replace_all_uses_with(known);
    first.destroy();
  }

  // What the program asked of sizes: it stays where another size could have got another answer.
  void check(const std::vector<Node*>& same) {
    Node& first = *same[0];
    first.notes.erase("is");
    meet_outputs(same);
    Node& question = *first.input(0)->producer();
    Value *a = question.input(0), *b = question.input(1);
    const std::tuple<std::string, const Value*, const Value*> asked{question.name, a, b};
    if (a != b && !(a->constant() && b->constant()) && asked_.insert(asked).second) {
      const bool was = first.input(1)->constant()->to_bool();
      const std::string holds = condition(question.name, a, b, was);
      first.notes["condition"] = Any(holds);
      const std::string text = cat("the program was recorded where ", holds,
                                   " holds; record it again for sizes that go the other way");
      first.set_input(2, graph_.constant(Any(text), {graph_.main(), &first}));
      return;
    }
    first.destroy();
    if (question.output()->uses().empty()) question.destroy();
  }
  // Numbers stand behind: "batch > 4".
  std::string condition(std::string_view asked, const Value* a, const Value* b, bool was) const {
    static const std::map<std::string_view, std::string_view> turned{
        {"lt", "gt"}, {"le", "ge"}, {"gt", "lt"}, {"ge", "le"}, {"eq", "eq"}, {"ne", "ne"}};
    static const std::map<std::string_view, std::string_view> opposite{
        {"lt", "ge"}, {"le", "gt"}, {"gt", "le"}, {"ge", "lt"}, {"eq", "ne"}, {"ne", "eq"}};
    if (a->constant() && !b->constant()) return condition(turned.at(asked), b, a, was);
    return cat(words(a), " ", sign(was ? asked : opposite.at(asked)), " ", words(b));
  }
  static std::string_view sign(std::string_view name) {
    static const std::map<std::string_view, std::string_view> signs{
        {"lt", "<"},  {"le", "<="}, {"gt", ">"},  {"ge", ">="},       {"eq", "=="}, {"ne", "!="},
        {"add", "+"}, {"sub", "-"}, {"mul", "*"}, {"floordiv", "//"}, {"mod", "%"}};
    return signs.at(name);
  }
  std::string words(const Value* v) const {
    if (const Any* c = v->constant()) return cat(*c);
    const Node* n = v->producer();
    if (n->name != "size")
      return cat("(", words(n->input(0)), " ", sign(n->name), " ", words(n->input(1)), ")");
    const graph::Dim& d = n->input(0)->type.dims[static_cast<size_t>(n->input(1)->constant()->to_int())];
    return d.symbol.empty() ? cat("size ", *n->input(1)->constant(), " of ", graph::print(*n)) : d.symbol;
  }

  // Returns true when the constant was replaced.
  bool constant(const std::vector<Node*>& same) {
    Node& first = *same[0];
    bool equal = true;
    for (Node* n : same) equal &= same_constant(first.constant, n->constant);
    if (equal) return false;
    Value* now = computed(same);
    if (!now) {
      const Node* other = nullptr;
      for (Node* n : same)
        if (!same_constant(first.constant, n->constant)) other = n;
      const Node* user = user_of(first);
      differs(user ? *user : first,
              cat("an argument (", first.constant, " for one size, ", other->constant, " for another)"));
    }
    first.output()->replace_all_uses_with(now);
    first.destroy();
    for (size_t k = 1; k < same.size(); k++) places_[k][same[k]->output()] = replaced;
    return true;
  }
  static const Node* user_of(const Node& constant) {
    const auto& uses = const_cast<Node&>(constant).output()->uses();
    return uses.empty() ? nullptr : uses[0].node;
  }

  Value* computed(const std::vector<Node*>& same) {
    Node& first = *same[0];
    const Graph::Point at{graph_.main(), &first};
    const Tag tag = first.constant.tag();
    for (Node* n : same)
      if (n->constant.tag() != tag) return nullptr;
    if (tag == Tag::Int) return find(gather(same, [](Node& k) { return k.constant.to_int(); }), same, at);
    if (tag == Tag::Ints) {
      std::vector<Value*> items;
      const size_t length = first.constant.ints().size();
      for (Node* k : same)
        if (k->constant.ints().size() != length) return nullptr;
      for (size_t i = 0; i < length; i++) {
        items.push_back(find(gather(same, [i](Node& k) { return k.constant.ints()[i]; }), same, at));
        if (!items.back()) return nullptr;
      }
      Node* list = graph_.create(NodeKind::List, at, items, 1);
      list->output()->type = Type::list(TypeKind::Int);
      list->source = first.source;
      return list->output();
    }
    if (tag != Tag::Tensor) return nullptr;
    Numbers n;
    for (Node* k : same) {
      const Tensor& t = k->constant.tensor();
      if (t.dim() || !is_integral(t.dtype()) || t.dtype() != first.constant.tensor().dtype()) return nullptr;
      n.push_back(element_as_int(t, 0));
    }
    Value* v = find(n, same, at);
    return v ? builtin("tensor", {v, graph_.constant(Any(first.constant.tensor().dtype()), at)}, at)
             : nullptr;
  }

  Value* builtin(const char* name, std::vector<Value*> inputs, Graph::Point at) {
    Node* n = graph_.create_named(NodeKind::Builtin, name, at, inputs, 1);
    graph::infer_types(*n);
    return n->output();
  }
  Value* literal(int64_t n, Graph::Point at) { return graph_.constant(Any(n), at); }

  // The value that is n[k] in recording k, made before `at`; null when nothing explains it.
  Value* find(const Numbers& n, const std::vector<Node*>& constants, Graph::Point at) {
    if (all_same(n)) return literal(n[0], at);
    if (Value* v = size(n, at)) return v;
    if (Value* v = product(n, constants, at)) return v;
    return linear(n, at);
  }
  Value* size(const Numbers& n, Graph::Point at) {
    auto made = made_.find(n);
    if (made != made_.end()) return made->second;
    auto known = sizes_.find(n);
    if (known == sizes_.end()) return nullptr;
    const Place& p = known->second;
    return made_[n] = p.dim < 0 ? p.value : builtin("size", {p.value, literal(p.dim, at)}, at);
  }
  // Neighbouring sizes of an operand, flattened.
  Value* product(const Numbers& n, const std::vector<Node*>& constants, Graph::Point at) {
    const Node* user = user_of(*constants[0]);
    for (size_t i = 0; user && i < user->inputs().size(); i++) {
      auto known = sizes_of_.find(user->inputs()[i]);
      if (known == sizes_of_.end()) continue;
      const std::vector<Numbers>& sizes = known->second;
      for (size_t first = 0; first < sizes.size(); first++) {
        Numbers so_far(n.size(), 1);
        for (size_t last = first; last < sizes.size(); last++) {
          for (size_t k = 0; k < n.size(); k++) so_far[k] *= sizes[last][k];
          if (so_far != n || last == first) continue;
          Value* v = nullptr;
          for (size_t d = first; d <= last; d++) {
            Value* factor = all_same(sizes[d]) ? literal(sizes[d][0], at) : size(sizes[d], at);
            if (!factor) return nullptr;
            v = v ? builtin("mul", {v, factor}, at) : factor;
          }
          return made_[n] = v;
        }
      }
    }
    return nullptr;
  }
  // a * s + b of one size, or of the product of two of them, that the user named.
  Value* linear(const Numbers& n, Graph::Point at) {
    for (auto i = symbols_.begin(); i != symbols_.end(); ++i) {
      if (Value* v = linear_in(n, i->first, [&] { return size(i->first, at); }, at)) return v;
      for (auto j = i; j != symbols_.end(); ++j) {
        Numbers both = i->first;
        for (size_t k = 0; k < both.size(); k++) both[k] *= j->first[k];
        const auto make = [&] { return builtin("mul", {size(i->first, at), size(j->first, at)}, at); };
        if (Value* v = linear_in(n, both, make, at)) return v;
      }
    }
    return nullptr;
  }
  Value* linear_in(const Numbers& n, const Numbers& s, const std::function<Value*()>& make, Graph::Point at) {
    if (n.size() < 3 || s[1] == s[0] || (n[1] - n[0]) % (s[1] - s[0])) return nullptr;
    const int64_t a = (n[1] - n[0]) / (s[1] - s[0]), b = n[0] - a * s[0];
    for (size_t k = 0; k < n.size(); k++)
      if (a * s[k] + b != n[k]) return nullptr;
    Value* v = make();
    if (a != 1) v = builtin("mul", {v, literal(a, at)}, at);
    if (b) v = builtin("add", {v, literal(b, at)}, at);
    return made_[n] = v;
  }

  Graph& graph_;
  const SizeNames& names_;
  std::vector<Graph*> all_;
  static constexpr int replaced = -1;  // in the first recording it is another value now
  std::vector<std::unordered_map<const Value*, int>> places_;  // which value of each recording is which
  int next_ = 0;
  std::unordered_map<const Value*, std::vector<Numbers>> sizes_of_;  // of the first recording's values
  std::map<Numbers, std::string> symbols_;
  std::map<Numbers, Place> sizes_;
  std::map<Numbers, Value*> made_;
  std::set<std::tuple<std::string, const Value*, const Value*>> asked_;
};
}  // namespace

void generalize(Graph& graph, std::span<Graph* const> others, const SizeNames& names) {
  Generalizer(graph, others, names).run();
  graph::verify(graph);
}

}  // namespace moka::capture
