// A graph as a flat list of a file's operators: nodes are said by adapters or mapping rows, what no row can say is
// rewritten with other operators first. The dialects turn the result into bytes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moka/formats/spelling/builder.h"

namespace moka::spelling {

struct FileNode {
  std::string name, op, domain;
  std::vector<std::string> inputs, outputs;  // empty: missing
  std::vector<Attribute> attributes;
};
struct FileTensor {
  std::string name;
  Tensor tensor;
};
struct FileValue {
  std::string name;
  graph::Type type;
};
struct FileModel {
  std::string name;
  std::vector<FileValue> inputs, outputs, values;
  std::vector<FileTensor> tensors;
  std::vector<FileNode> nodes;
};

class ModelWriter;

// What a writing adapter sees: one node of the graph and the model that grows.
class NodeWriter {
 public:
  NodeWriter(ModelWriter& model, const graph::Node& node) : model(model), node(node) {}
  ModelWriter& model;
  const graph::Node& node;

  graph::Value* value(std::string_view arg) const;
  const Any* constant(std::string_view arg) const;  // null: known only when running
  int64_t integer(std::string_view arg) const;  // of a constant
  bool ints(std::string_view arg, Dims& out) const;  // false: not constant
  int rank(std::string_view arg) const;  // -1: unknown

  std::string name(std::string_view arg) const;  // of a tensor argument, in the file
  std::string tensor(Tensor t) const;  // a constant of the file
  std::string ints_input(std::span<const int64_t> ints) const { return tensor(ints_tensor(ints)); }
  // A node between: returns the name of its output.
  std::string add(std::string_view op, std::vector<std::string> inputs,
                  std::vector<Attribute> attributes = {}) const;
  // The node that makes output i of ours.
  bool finish(std::string_view op, std::vector<std::string> inputs, std::vector<Attribute> attributes = {},
              int output = 0) const;
  template <class... Parts>
  bool declines(const Parts&... parts) {
    why = cat(parts...);
    return false;
  }
  std::string why;
};

struct WritingAdapter {
  std::string_view op;  // schema name
  int since, until;
  bool (*write)(NodeWriter& n);
};

class ModelWriter {
 public:
  // `copies` is the dialect's operator that hands a value on under another name.
  ModelWriter(Dialect dialect, int version, std::span<const WritingAdapter> adapters,
              std::string_view copies);
  FileModel write(const graph::Graph& graph);

  int version() const { return version_; }
  std::string name_of(graph::Value* value);
  std::string add_tensor(Tensor tensor, std::string_view hint);
  void add_node(const graph::Node& node, std::string_view op, std::string_view domain,
                std::vector<std::string> inputs, std::vector<std::string> outputs,
                std::vector<Attribute> attributes);
  std::string unique(std::string name) { return unique_in(used_, std::move(name)); }
  std::string scoped(const graph::Node& node, std::string_view last) const;

 private:
  void name_outputs(const graph::Graph& graph);
  bool say(graph::Node& node, std::string& why);
  bool say_row(const Row& row, graph::Node& node, std::string& why);

  Dialect dialect_;
  int version_;
  std::span<const WritingAdapter> adapters_;
  std::string copies_;
  FileModel out_;
  std::map<const graph::Value*, std::string> names_;
  std::map<const TensorImpl*, std::string> tensors_;
  using Names = std::set<std::string, std::less<>>;
  static std::string unique_in(Names& used, std::string name);
  Names used_;  // of values
  Names node_names_;
  std::set<size_t> reserved_;  // outputs whose names copies will have
};

// The node as other operators before it, or false: none is known. Serves every dialect.
bool rewrite(graph::Graph& graph, graph::Node& node, std::vector<graph::Value*>& results);
// Casts of a pointwise operator's operands to one type, where ours promotes and files do not.
bool promote_operands(graph::Graph& graph, graph::Node& node);

}  // namespace moka::spelling
