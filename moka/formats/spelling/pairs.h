// Complex tensors as pairs of real ones, while a graph is written to a file: what the rules see.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "moka/formats/spelling/rewriting.h"

namespace moka::spelling {

Tensor small_tensor(std::initializer_list<double> numbers, DType type);
bool is_complex_value(const graph::Value* v);
DType part_of(DType complex);  // the type of its parts

// The graph's complex values and the real ones that stand for them.
class Pairs {
 public:
  Pairs(graph::Graph& graph, bool has_transforms) : has_transforms(has_transforms), graph_(graph) {}
  void replace_all();

  const bool has_transforms;  // the file has an operator for Fourier transforms

  bool is_complex(const graph::Value* v) const { return pairs_.count(v) || is_complex_value(v); }
  // The pair of a complex value, or of a real one or a number, whose parts have the given type.
  graph::Value* of(const Rewriting& r, graph::Value* v, DType type) const;

 private:
  bool touches_complex(const graph::Node& node) const;
  bool has_complex(const graph::Block& block) const;
  void replace_unpack(graph::Node& node);
  bool replace(graph::Node& node);  // false: there is no rule for it
  graph::Value* moved_otherwise(
      graph::Node& node);  // the same by other operators that move elements; null: no rule knows how
  void split_at_boundary();
  graph::Graph& graph_;
  std::map<const graph::Value*, graph::Value*> pairs_;  // lists too
};

// What a rule sees: a node with complex values.
struct PairRewriting : Rewriting {
  const Pairs& pairs;
  PairRewriting(Builder& build, graph::Node& node, const Pairs& pairs)
      : Rewriting{build, node}, pairs(pairs) {}

  bool complex(graph::Value* v) const { return pairs.is_complex(v); }
  bool complex(std::string_view arg) const { return complex(node.argument(arg)); }
  // The pair of an operand, which may be real or a number.
  Term pair(graph::Value* v) const { return term(pairs.of(*this, v, part_type())); }
  Term pair(std::string_view arg) const { return pair(node.argument(arg)); }
  Term part(Term pair, int64_t which) const { return call("select", {pair, int64_t(-1), which}); }
  Term re(std::string_view arg) const { return part(pair(arg), 0); }
  Term im(std::string_view arg) const { return part(pair(arg), 1); }
  Term join(Term re, Term im) const {
    return call("stack", {std::vector<graph::Value*>{re.value, im.value}, int64_t(-1)});
  }
  // A real operand beside a pair: with a dimension of size 1 behind, or the number that it is.
  Argument beside(graph::Value* v) const {
    if (v->type.kind != graph::TypeKind::Tensor) return v;
    return call("unsqueeze", {v, int64_t(-1)});
  }
  DType part_type() const;
  Term conjugate(Term pair) const { return pair * constant_tensor(small_tensor({1, -1}, part_type())); }
};
using PairRule = Term (*)(const PairRewriting& r);
struct PairRuleEntry {
  std::string_view op;
  PairRule rule;
};
std::span<const PairRuleEntry> pair_rules();
std::span<const PairRuleEntry> fourier_rules();
// Operators that move elements: the same operator on the pair. Empty: it is none of these.
std::vector<graph::Value*> moved_pairs(const PairRewriting& r);
// A dimension argument, or several, counted from the front; None: all of them.
Argument counted(const PairRewriting& r, std::string_view arg, int rank);
Argument sizes_of(const PairRewriting& r, std::string_view arg);

}  // namespace moka::spelling
