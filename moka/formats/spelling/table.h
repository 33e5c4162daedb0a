// All mappings of one dialect as a table, made once from the registered operators, and the two directions: a node of a
// file becomes an operator with arguments, a node of a graph becomes an operator of the file.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "moka/formats/spelling/mapping.h"
#include "moka/graph/graph.h"
#include "moka/schema/op.h"

namespace moka::spelling {

enum class Dialect : uint8_t { Onnx, NetDef };
const char* dialect_name(Dialect dialect);
// The dialect's code of an element type, 0 where it has none; and back.
int dtype_code(Dialect dialect, DType dtype);
bool find_dtype_code(Dialect dialect, int64_t code, DType& out);

struct Row {
  const Op* op = nullptr;
  std::string domain;
  int since = 1, until = 0;
  Mapping mapping;
  bool valid_in(int version) const { return version >= since && (until == 0 || version < until); }
};

class Table {
 public:
  static const Table& of(Dialect dialect);

  Dialect dialect() const { return dialect_; }
  std::vector<const Row*> named(std::string_view name, std::string_view domain, int version) const;
  std::vector<const Row*> of_op(const Op& op, int version) const;
  bool knows(std::string_view name, std::string_view domain) const;  // in any version
  // Names in the table that are near `name`, for messages.
  std::vector<std::string> near(std::string_view name) const;
  const std::vector<std::string>& problems() const {
    return problems_;
  }  // mappings that do not parse: a test wants none

 private:
  explicit Table(Dialect dialect);
  Dialect dialect_;
  size_t ops_ = 0;  // registered when the table was made
  std::vector<Row> rows_;
  std::multimap<std::string, int, std::less<>> by_name_;  // name -> row
  std::map<const Op*, std::vector<int>> by_op_;
  std::vector<std::string> problems_;
};

// ---- one node of a file

struct Attribute {
  std::string name;
  Any value;  // Int, Float, String, Ints, Floats, Tensor, or List of these
};

struct ForeignNode {
  std::string name, op, domain;
  std::vector<graph::Value*> inputs;  // null: missing
  std::vector<Attribute> attributes;
  int outputs = 1;  // up to the last one that is used
  const Any* attribute(std::string_view name) const;
};

// What reading asks of the graph that is being built.
class Values {
 public:
  virtual ~Values() = default;
  virtual const Any* known(
      graph::Value* value) = 0;  // its constant, computed if need be; null: known only when running
};

// What reading one row gives: for every argument of the op either a value of the graph, several (a Tensor[]), or a constant.
struct Slot {
  bool set = false;
  graph::Value* value = nullptr;
  std::vector<graph::Value*> list;
  bool is_list = false;
  Any constant;
};
struct Match {
  const Row* row = nullptr;
  std::vector<Slot> slots;
};
// False: the row does not fit, `why` says so in a clause.
bool read_row(const Row& row, Dialect dialect, const ForeignNode& node, Values& values, Match& out,
              std::string& why);

// ---- one node of a graph

struct WrittenInput {
  graph::Value* value = nullptr;  // null: `constant`, or missing where that is None too
  Any constant;  // a tensor
};
struct WrittenNode {
  std::string op, domain;
  std::vector<WrittenInput> inputs;
  std::vector<Attribute> attributes;
  std::vector<int> outputs;  // the node's output for each of the file's, -1: not used
};
bool write_row(const Row& row, Dialect dialect, const graph::Node& node, WrittenNode& out, std::string& why);

// A zero-dimensional or one-dimensional tensor of a number or a list, for formats that want tensors there.
Tensor number_tensor(const Any& number, DType dtype);
Tensor ints_tensor(std::span<const int64_t> ints);

}  // namespace moka::spelling
