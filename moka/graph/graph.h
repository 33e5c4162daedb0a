// The one graph of Moka in static single assignment form: Graph -> Block -> Node -> Value.
// Traced modules, scripts, NetDefs and ONNX models all become this.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "moka/schema/frame.h"

namespace moka::graph {

class Graph;
class Block;
class Node;
class Value;

// One dimension of a tensor type: a size, a named symbol ("batch"), or unknown.
struct Dim {
  int64_t size = -1;   // >= 0: fixed
  std::string symbol;  // set when size < 0 and the dimension has a name
  bool fixed() const { return size >= 0; }
  friend bool operator==(const Dim&, const Dim&) = default;
};

enum class TypeKind : uint8_t {
  Any,  // not known yet
  Tensor,
  Int,
  Float,
  Bool,
  String,
  None,
  DType,
  Device,
  Number,
  List,      // elements[0]
  Tuple,     // elements
  Dict,      // elements[0] -> elements[1]
  Optional,  // elements[0]
  Token,     // orders effects; carries no data
  Object,    // an instance of a named class (class_name): generators, counters, readers, queues
};

struct Type {
  TypeKind kind = TypeKind::Any;
  // Tensor:
  bool has_dtype = false;
  DType dtype = DType::F32;
  bool has_dims = false;  // false: unknown rank
  std::vector<Dim> dims;
  Device device{};
  std::vector<Type> elements;
  std::string class_name;

  Type() = default;
  Type(TypeKind kind) : kind(kind) {}
  static Type tensor() { return Type(TypeKind::Tensor); }
  static Type tensor(DType dtype, std::span<const int64_t> sizes);
  static Type list(Type element);
  friend bool operator==(const Type&, const Type&) = default;
  std::string text() const;  // float32[2, batch, ?], int, [int], (int, float), {str: int}, int?, token
};
// The type of a constant or of a run-time value; tensors with dtype and fixed dims.
Type type_of(const Arg& value);
// True when a value of type `from` may be used where `to` is declared; unknown parts fit everything.
bool fits(const Type& from, const Type& to);
bool fits(const Type& from, const ArgType& to);
// The most exact type that both fit: dimensions that differ become unknown, kinds that differ Any or Optional.
Type join(const Type& a, const Type& b);

// Where a node comes from, for messages at every later stage.
struct Source {
  std::string file;    // "model.py", "resnet.onnx"
  int line = 0;
  std::string scope;   // module path "layer1.0.conv1", or the node's name in the file it was read from
};

// What a node is. Everything except operators is structural and means the same in every dialect.
enum class NodeKind : uint8_t {
  Op,        // node.op: inputs are all arguments of its schema, constants included
  Constant,  // node.constant
  If,        // input 0: bool; blocks: then, else; both yield as many values as the node has outputs
  Loop,  // inputs: trip count (int or none), start condition (bool), initial carried values...; one block with params
  // (iteration int, carried...) that yields (condition, carried...); outputs: the final carried values
  Get,  // reads state `name`            -> value (+ token after, when effects order it)
  Set,  // input 0 is written to state `name`
  List,  // inputs -> list
  Tuple,  // inputs -> tuple
  Unpack,  // list or tuple -> its elements
  Call,  // calls the graph `name` of the same Program
  Python,  // a segment that stays Python: `name` is looked up in the table that the bindings fill
  Builtin,  // a pure function of values that operators do not serve: lists, scalars, sizes (builtins.h has the table)
  Join,  // tokens -> one token that comes after all of them; without inputs: the start
};
// Any node may have tokens after its ordinary inputs (it runs after what made them) and, when it has effects, one token
// after its ordinary outputs.
const char* node_kind_name(NodeKind kind);

class Value {
 public:
  Type type;
  std::string name;  // unique in its graph when printed; may be empty
  Node* producer() const { return producer_; }  // null for block parameters
  Block* block() const { return block_; }  // the block whose parameter it is, or that holds its producer
  int index() const { return index_; }  // among the producer's outputs or the block's parameters
  // Uses: (node, input index); block results are uses with node == nullptr.
  struct Use {
    Node* node;
    Block* results_of;
    int index;
  };
  const std::vector<Use>& uses() const { return uses_; }
  void replace_all_uses_with(Value* other);
  // The constant it is, or null.
  const Any* constant() const;

 private:
  friend class Graph;
  friend class Block;
  friend class Node;
  Node* producer_ = nullptr;
  Block* block_ = nullptr;
  int index_ = 0;
  size_t slot_ = 0;  // in Graph::values_
  std::vector<Use> uses_;
  void add_use(Use use) { uses_.push_back(use); }
  void remove_use(const Use& use);
};

class Node {
 public:
  NodeKind kind;
  const Op* op = nullptr;  // NodeKind::Op
  Any constant;  // NodeKind::Constant
  std::string name;  // Get, Set: state; Call: graph; Python: segment; else a label for people, may be empty
  Source source;
  std::map<std::string, Any>
      notes;  // hints that no pass needs for correctness: layout, backend, fusion group

  std::span<Value* const> inputs() const { return inputs_; }
  std::span<Value* const> outputs() const { return outputs_; }
  Value* input(int i) const { return inputs_[i]; }
  Value* output(int i = 0) const { return outputs_[i]; }
  const std::vector<std::unique_ptr<Block>>& blocks() const { return blocks_; }
  Block* block(int i) const { return blocks_[i].get(); }
  Block* owner() const { return owner_; }
  Node* next() const { return next_; }
  Node* previous() const { return previous_; }

  void set_input(int i, Value* v);
  void add_input(Value* v);
  void remove_input(int i);
  Value* add_output(Type type);
  void remove_output(int i);  // it must have no uses
  Block* add_block();
  void move_before(Node* other);
  // Inputs and outputs that carry data: without the tokens behind them.
  int data_inputs() const;
  int data_outputs() const;
  // Unlinks and deletes; its outputs must have no uses.
  void destroy();
  // Reads or writes named state, draws random numbers, or does input/output: may not be dropped, duplicated or reordered
  // against other effects.
  bool has_effects() const;
  std::string_view op_name() const;  // schema name, or the structural kind
  // Input bound to a schema argument, null when the op has no such argument.
  Value* argument(std::string_view arg) const;

 private:
  friend class Graph;
  friend class Block;
  friend class Value;
  explicit Node(NodeKind kind) : kind(kind) {}
  void drop_uses();  // of its inputs and those of everything inside its blocks
  void drop_values();  // its outputs and everything made inside its blocks
  std::vector<Value*> inputs_;
  std::vector<Value*> outputs_;
  std::vector<std::unique_ptr<Block>> blocks_;
  Block* owner_ = nullptr;
  Node *next_ = nullptr, *previous_ = nullptr;

 public:
  ~Node();
};

class Block {
 public:
  ~Block();
  Graph* graph() const { return graph_; }
  Node* owner() const { return owner_; }  // null for the graph's main block
  std::span<Value* const> params() const { return params_; }
  std::span<Value* const> results() const { return results_; }
  Value* add_param(Type type, std::string name = {});
  void add_result(Value* v);
  void set_result(int i, Value* v);
  void remove_param(int i);  // it must have no uses
  void remove_result(int i);
  bool empty() const { return first_ == nullptr; }
  Node* first() const { return first_; }
  Node* last() const { return last_; }

  // for (Node* n : *block) may destroy n inside the loop.
  class Iterator {
   public:
    explicit Iterator(Node* n) : node_(n), next_(n ? n->next() : nullptr) {}
    Node* operator*() const { return node_; }
    Iterator& operator++() {
      node_ = next_;
      next_ = node_ ? node_->next() : nullptr;
      return *this;
    }
    bool operator!=(const Iterator& o) const { return node_ != o.node_; }

   private:
    Node *node_, *next_;
  };
  Iterator begin() const { return Iterator(first_); }
  Iterator end() const { return Iterator(nullptr); }

 private:
  friend class Graph;
  friend class Node;
  friend class Value;
  Block(Graph* graph, Node* owner) : graph_(graph), owner_(owner) {}
  void link(Node* node, Node* before);  // before == null: at the end
  void drop_uses();
  void drop_values();
  void unlink(Node* node);
  Graph* graph_;
  Node* owner_;
  std::vector<Value*> params_, results_;
  Node *first_ = nullptr, *last_ = nullptr;
};

// A named tensor (or other value) that lives between runs: parameters, buffers, workspace blobs.
struct State {
  std::string name;
  Any value;
  Type type;
  bool parameter = false;  // trained; false: buffer or blob
  bool written = false;  // some node of the program sets it
};

class Graph {
 public:
  explicit Graph(std::string name = "main");
  ~Graph();
  Graph(const Graph&) = delete;

  std::string name;
  Block* main() const { return main_.get(); }
  std::span<Value* const> inputs() const { return main_->params(); }
  std::span<Value* const> outputs() const { return main_->results(); }
  Value* add_input(std::string name, Type type) { return main_->add_param(std::move(type), std::move(name)); }
  void add_output(Value* v, std::string name = {});
  void remove_input(int i) { main_->remove_param(i); }
  void remove_output(int i);
  std::vector<std::string> output_names;  // as many as outputs
  std::map<std::string, State> states;  // by name; printed in this order
  std::map<std::string, std::string> metadata;  // producer, doc, user's properties

  // Building: new nodes go before `before` or, when null, at the end of `block`.
  struct Point {
    Block* block;
    Node* before = nullptr;
  };
  Node* create(NodeKind kind, Point at, std::span<Value* const> inputs, int outputs);
  // One input for every schema argument; the outputs are tensors of unknown type until infer_types(node) looks.
  Node* create_op(const Op& op, Point at, std::span<Value* const> inputs);
  Value* constant(Any value, Point at);
  Node* create_named(NodeKind kind, std::string name, Point at, std::span<Value* const> inputs, int outputs);

  std::unique_ptr<Graph> clone() const;  // states share their tensors

 private:
  friend class Node;
  friend class Block;
  std::unique_ptr<Block> main_;
  std::vector<std::unique_ptr<Value>> values_;
  Value* make_value(Type type);
  void drop_value(Value* v);
};

using ValueMap = std::unordered_map<const Value*, Value*>;
// Copies the nodes of `from` to `to`; values that `map` does not know stay what they are. Fills in what was copied.
void copy_nodes(const Block& from, Graph::Point to, ValueMap& map);

// Result types as far as the inputs' types and constants say; shapes that cannot fit together are an error.
std::vector<Type> infer_types(const Op& op, std::span<Value* const> inputs);
// Sets the types of the node's outputs (operators, builtins, lists, tuples, unpack); others stay as they are.
void infer_types(Node& node);

// Several graphs that call each other by name.
struct Program {
  std::map<std::string, std::unique_ptr<Graph>> graphs;
};

// The text form (docs/ir.md): print and parse lose nothing; tensors constants above `inline_limit` elements and all states
// are written as references and kept in `tensors` when given.
struct TensorTable {
  std::map<std::string, Tensor> tensors;
};
inline constexpr int64_t inline_limit = 16;
std::string print(const Graph& graph, TensorTable* table = nullptr);
std::string print(const Node& node);
std::string print(const Program& program, TensorTable* table = nullptr);

// What a hostile text may ask for.
struct ParseLimits {
  size_t bytes = size_t(1) << 30;
  int depth = 64;  // of blocks, types and literals
  size_t values = 20'000'000;
};
// Errors name line and column.
std::unique_ptr<Graph> parse(std::string_view text, const TensorTable* table = nullptr,
                             const ParseLimits& limits = {});
Program parse_program(std::string_view text, const TensorTable* table = nullptr,
                      const ParseLimits& limits = {});

// Every promise of the form: uses come after definitions, types fit schemas, blocks match their nodes. An error names the
// node and its source.
void verify(const Graph& graph);

}  // namespace moka::graph
