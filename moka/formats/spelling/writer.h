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

struct NamedGraph;
struct FileNode {
  std::string name, op, domain;
  std::vector<std::string> inputs, outputs;  // empty: missing
  std::vector<Attribute> attributes;
  std::vector<NamedGraph> graphs;  // attributes that are graphs: branches, bodies
  std::string scope;  // the module that it comes from
};
struct FileTensor {
  std::string name;
  Tensor tensor;
};
struct FileValue {
  std::string name;
  graph::Type type;
};
struct FileGraph {  // its nodes see the names of the graphs around it
  std::string name;
  std::vector<FileValue> inputs, outputs;
  std::vector<FileNode> nodes;
};
struct NamedGraph {
  std::string name;
  FileGraph graph;
};
struct FileModel : FileGraph {
  std::vector<FileValue> values;
  std::vector<FileTensor> tensors;
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
  // An int[] argument, or one number as a list, as a tensor of the file: constant or computed when running.
  std::string ints_name(std::string_view arg) const;
  std::string one_name(std::string_view arg) const;
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
  // No mapping of the table is right for this form: it is written with other operators.
  bool left_to_rules() {
    to_rules = true;
    return false;
  }
  std::string why;
  bool to_rules = false;
};

struct WritingAdapter {
  std::string_view op;  // schema name
  int since, until;
  bool (*write)(NodeWriter& n);
};

// What a dialect adds to the table of mappings.
struct WritingRules {
  Dialect dialect;
  int version;
  std::span<const std::span<const WritingAdapter>> adapters;  // asked in this order, before the table
  std::string_view copies;  // the operator that hands a value on under another name
  // Numbers, lists of integers and sizes as tensors; null: there are none in the file.
  bool (*builtin)(ModelWriter& model, const graph::Node& node, std::string& why) = nullptr;
  // Conditions and loops; null: there are none.
  bool (*control)(ModelWriter& model, graph::Node& node, std::string& why) = nullptr;
  // Whether a mapping of version `written_as` may be used, because an older form is made of it afterwards.
  bool (*older)(std::string_view op, int since, int version) = nullptr;
  int written_as = 0;
  bool transforms = false;  // there is an operator for Fourier transforms of one dimension
};

class ModelWriter {
 public:
  explicit ModelWriter(const WritingRules& rules);
  FileModel write(const graph::Graph& graph);

  int version() const { return rules_.version; }
  std::string name_of(graph::Value* value);
  std::string add_tensor(Tensor tensor, std::string_view hint);
  FileNode& add_node(const graph::Node& node, std::string_view op, std::string_view domain,
                     std::vector<std::string> inputs, std::vector<std::string> outputs,
                     std::vector<Attribute> attributes);
  std::string unique(std::string name) { return unique_in(used_, std::move(name)); }
  std::string scoped(const graph::Node& node, std::string_view last) const;

  // For dialects that have control flow: names for a block's parameters, then its nodes; and copies of results that are
  // made elsewhere.
  std::string bind(graph::Value* value, std::string name);
  void say_block(graph::Block& block, FileGraph& out);
  FileValue result_of(graph::Block& block, graph::Value* value, FileGraph& out);

 private:
  void name_outputs(const graph::Graph& graph);
  void say_nodes(graph::Block& block);
  bool say(graph::Node& node, std::string& why);
  bool say_row(const Row& row, graph::Node& node, std::string& why);
  void replace(graph::Node& node, std::span<graph::Value* const> results);
  bool replace_empty(graph::Node& node);
  bool rewrite_node(graph::Node& node);
  std::string default_name(const graph::Value& value) const;

  const WritingRules& rules_;
  const Dialect dialect_;
  FileModel out_;
  std::vector<FileNode>* nodes_;  // of the graph that is being written
  std::map<const graph::Value*, std::string> names_;
  std::map<const TensorImpl*, std::string> tensors_;
  std::map<std::string, std::string> small_;  // by type, sizes and bytes
  using Names = std::set<std::string, std::less<>>;
  static std::string unique_in(Names& used, std::string name);
  Names used_;  // of values
  Names node_names_;
  std::set<size_t> reserved_;  // outputs whose names copies will have
  std::vector<std::string> problems_;
  std::map<const graph::Node*, std::string> unsaid_;  // builtins that have no form, and why
  size_t rewrites_ = 0;
};

// Drops nodes whose outputs nothing reads, and tensors that no node reads.
void drop_unread(FileModel& model);

// Real tensors with a last dimension of size 2 in place of complex ones, also for inputs, states and outputs. Of Fourier
// transforms those of one dimension stay, as view_as_real(fft_c2c(view_as_complex(pair))) or view_as_real(fft_r2c(real));
// without `transforms` they are products with matrices.
void split_complex(graph::Graph& graph, bool transforms);

// The node as other operators before it, or false: none is known. Serves every dialect.
bool rewrite(graph::Graph& graph, graph::Node& node, std::vector<graph::Value*>& results);
// Casts of a pointwise operator's operands to one type, where ours promotes and files do not.
bool promote_operands(graph::Graph& graph, graph::Node& node);

}  // namespace moka::spelling
