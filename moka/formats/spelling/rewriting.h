// What the rules see that write an operator with others, for files that lack it. A rule leads to simpler operators, which
// are said or rewritten in turn.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "moka/formats/spelling/builder.h"
#include "moka/formats/spelling/conversions.h"

namespace moka::spelling {

// A size of a tensor: a number, or a value that is known only when running.
struct Size {
  int64_t number = 0;
  graph::Value* value = nullptr;
  Size(int64_t number) : number(number) {}
  Size(graph::Value* value) : value(value) {}
  Argument argument() const { return value ? Argument(value) : Argument(number); }
};

struct Rewriting;

// A value that arithmetic can be written with.
struct Term {
  const Rewriting* in = nullptr;
  graph::Value* value = nullptr;
  operator graph::Value*() const { return value; }
  operator Argument() const { return Argument(value); }
};

struct Rewriting {
  Builder& build;
  graph::Node& node;

  graph::Value* operator[](std::string_view arg) const { return node.argument(arg); }
  Term term(std::string_view arg) const { return {this, node.argument(arg)}; }
  Term term(graph::Value* value) const { return {this, value}; }
  const Any* constant(std::string_view arg) const { return node.argument(arg)->constant(); }
  bool missing(std::string_view arg) const { return constant(arg) && constant(arg)->is_none(); }
  bool is(std::string_view arg, double number) const;
  bool integer(std::string_view arg, int64_t& out) const;
  bool ints(std::string_view arg, Dims& out) const;  // false: known only when running
  bool flag(std::string_view arg) const;  // of a constant bool
  double number(std::string_view arg, double otherwise = 0) const;
  std::string_view text(std::string_view arg) const;  // "" where it is None
  int rank(std::string_view arg) const;
  int rank(const graph::Value* v) const;
  bool dtype(const graph::Value* v, DType& out) const { return has_dtype(v, &out); }

  Term call(std::string_view op, std::initializer_list<Argument> args) const;
  std::vector<graph::Value*> call_all(std::string_view op, std::initializer_list<Argument> args) const {
    return build.call_all(op, std::span(args.begin(), args.size()));
  }
  Term constant_tensor(Tensor t) const { return {this, build.constant(Any(std::move(t)))}; }
  Term constant_ints(std::span<const int64_t> ints) const { return constant_tensor(ints_tensor(ints)); }
  Term cast(graph::Value* v, DType dtype) const;

  graph::Value* builtin(std::string_view name, std::vector<graph::Value*> args) const;
  Size size(graph::Value* x, int64_t dim) const;  // the rank must be known
  std::vector<Size> sizes(graph::Value* x) const;
  Size times(Size a, Size b) const;
  // For an int[] argument.
  Argument list(const std::vector<Size>& all) const;
  Term reshape(graph::Value* x, const std::vector<Size>& sizes) const;
  Term select(graph::Value* x, int64_t dim, std::span<const int64_t> indices) const;
  Term squeezed(graph::Value* x, Dims dims) const;  // without these dimensions of size 1
  // x with its dimension `dim` last, and back.
  Term dim_last(graph::Value* x, int64_t dim) const;
  Term last_to(graph::Value* x, int64_t dim) const;
};

Term arithmetic(std::string_view op, Term a, Argument b);
inline Term operator+(Term a, Term b) { return arithmetic("add", a, b); }
inline Term operator-(Term a, Term b) { return arithmetic("sub", a, b); }
inline Term operator*(Term a, Term b) { return arithmetic("mul", a, b); }
inline Term operator/(Term a, Term b) { return arithmetic("div", a, b); }
inline Term operator+(Term a, double b) { return arithmetic("add", a, b); }
inline Term operator-(Term a, double b) { return arithmetic("sub", a, b); }
inline Term operator*(Term a, double b) { return arithmetic("mul", a, b); }
inline Term operator/(Term a, double b) { return arithmetic("div", a, b); }

// One rule an operator; null: does not serve.
using Rule = graph::Value* (*)(const Rewriting& r);
// All outputs, null for those that nothing uses; empty: does not serve.
using Rules = std::vector<graph::Value*> (*)(const Rewriting& r);
struct RuleEntry {
  std::string_view op;
  Rule rule = nullptr;
  Rules rules = nullptr;
};

std::span<const RuleEntry> number_rules();
std::span<const RuleEntry> shape_rules();
std::span<const RuleEntry> indexing_rules();
std::span<const RuleEntry> layer_rules();
std::span<const RuleEntry> reduction_rules();

// A pointwise operator as the operations of its formula; empty when it is one operation or holds one that no operator
// has.
graph::Value* write_out_formula(const Rewriting& r);

}  // namespace moka::spelling
