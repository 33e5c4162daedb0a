// What an adapter sees of the node it reads: inputs, attributes, the builder, and where its outputs go. Adapters read the
// nodes that no mapping text can say: several operators of ours for one of the file's, old semantics, run-time shapes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "moka/formats/spelling/builder.h"

namespace moka::spelling {

class NodeReader {
 public:
  NodeReader(Builder& build, const ForeignNode& node, Dialect dialect, int version)
      : build(build),
        node(node),
        dialect(dialect),
        version(version),
        outputs(static_cast<size_t>(node.outputs)) {}

  Builder& build;
  const ForeignNode& node;
  const Dialect dialect;
  const int version;
  std::vector<graph::Value*> outputs;  // adapters fill them

  int inputs() const { return static_cast<int>(node.inputs.size()); }
  bool has(int i) const { return i < inputs() && node.inputs[static_cast<size_t>(i)]; }
  graph::Value* operator[](int i) const;  // an error when it is missing
  graph::Value* maybe(int i) const { return has(i) ? node.inputs[static_cast<size_t>(i)] : nullptr; }

  const Any* attribute(std::string_view name) const { return node.attribute(name); }
  int64_t integer(std::string_view name, int64_t otherwise) const;
  double number(std::string_view name, double otherwise) const;
  std::string_view text(std::string_view name, std::string_view otherwise) const;
  std::optional<Dims> ints(std::string_view name) const;
  // An input's elements where they are constant.
  std::optional<Dims> known_ints(int input) const;
  std::optional<Any> known_number(int input) const;
  // The attribute of older versions or the input of newer ones, whichever is there.
  std::optional<Dims> ints_of(std::string_view name, int input) const;

  // A builtin of the graph (moka/graph/builtins.h), computed now where all it reads is constant.
  graph::Value* builtin(std::string_view name, std::vector<graph::Value*> args) const;
  // An input for an int[] argument: its elements if constant, else a list that is read when the graph runs.
  Argument ints_argument(int input) const;
  // One of those elements for an int argument.
  Argument int_argument(int input, int64_t element) const;
  // An input's one number for a Number argument.
  Argument number_argument(int input) const;
  graph::Value* list(std::vector<graph::Value*> items) const;

  graph::Value* call(std::string_view op, std::initializer_list<Argument> args) const {
    return build.call(op, args);
  }
  // A result that the node does not name, in a broken file even the first, is dropped.
  void out(graph::Value* v, int i = 0) {
    if (wants(i)) outputs[static_cast<size_t>(i)] = v;
  }
  bool wants(int i) const { return i < static_cast<int>(outputs.size()); }

  // The text of a clause that says why this adapter does not serve; the table is asked next.
  template <class... Parts>
  bool declines(const Parts&... parts) {
    why = cat(parts...);
    return false;
  }
  std::string why;

  int rank_of(int input) const;  // raises NotImplemented when it is not known
};

struct Adapter {
  std::string_view op;
  int since, until;  // until 0: still valid
  bool (*read)(NodeReader& n);
  std::string_view domain = {};
};

}  // namespace moka::spelling
