// The node of an operator's call: what its derivative reads, and the running of that derivative.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/autograd/history.h"
#include "moka/autograd/saved.h"
#include "moka/base/small_vector.h"

namespace moka::autograd {

// A derivative row with its names resolved to argument indices.
struct Row {
  const Derivative* derivative;
  SmallVector<int, 4> targets;
  Usage usage;
};
// All rows of an operator. Parameters are numbered as derivatives take them: gradients, arguments, outputs.
struct Rules {
  std::vector<Row> rows;
  int gradients = 1;  // output gradients that derivatives take; one list where the output is a Tensor[]
  int args = 0;
  int slots = 0;      // parameters that the rows read or whose shape they need
  bool list_output = false;
  std::string_view unwritten{};  // why there is no derivative yet, where there should be one
  uint64_t targets = 0;  // bit i: argument i has a derivative
  uint64_t refused = 0;  // bit i: argument i may not require gradients
};
const Rules& rules_of(const Op& op);

// What the row's derivative gives for parameters `in`; as one kernel where that is possible and nothing records it.
void run_derivative(const Op& op, const Row& row, const Any* in, Any* out, bool recorded);

class CopySlices;

class OpNode final : public GradNode {
 public:
  // Before the call: a node with the edges of the arguments that want gradients (bit i of wanted: argument i) and what
  // is saved of arguments.
  static Ref<OpNode> before(const Frame& f, const Rules& rules, uint64_t wanted);
  // After it: what is saved of results, and their histories. self: this node.
  void after(Frame& f, Ref<GradNode> self);

  std::string name() const override;
  void backward(std::span<Tensor> dys, std::span<Tensor> dxs, bool create_graph) override;
  void release_saved() override;

  const Op& op() const { return *op_; }
  const Rules& rules() const { return *rules_; }
  // Gives what was saved of a result the tangent that the result has.
  void keep_tangent(int output, int level, const Tensor& tangent);
  // The call wrote into a view: `slices` runs this node from now on.
  void run_by(CopySlices& slices) { around_ = &slices; }
  // What was saved of a parameter; undefined where nothing was. Throws where it was changed since.
  Any saved(int parameter);

 private:
  OpNode(const Op& op, const Rules& rules) : op_(&op), rules_(&rules) {}
  void make_edges(const Arg* args);
  void save(int parameter, const Tensor& t, SavedAs as);
  void check_versions() const;
  [[noreturn]] void fail_version(int parameter) const;
  Any unpacked(int parameter, bool create_graph);
  Tensor zeros_for(int output) const;
  Any parts_of(std::span<Tensor> dys) const;
  uint64_t values_read() const;
  void run_rows(const Any* in, std::span<Tensor> dxs, bool create_graph);
  Tensor fit(const Tensor& g, int target) const;
  Tensor fit_type(const Tensor& g, int target, size_t place) const;

  const Op* op_;
  const Rules* rules_;
  uint64_t wanted_ = 0;       // bit i: argument i wants a gradient
  Usage used_;                // by the derivatives that will run
  uint64_t tracked_ = 0;      // bit i: parameter i holds tensors whose version is checked
  uint64_t packed_ = 0;       // bit i: parameter i is a PackedTensor
  bool released_ = false;
  bool keeps_outputs_ = false;
  int self_ = -1;             // the edge of argument 0
  int list_arg_ = -1;         // the argument that is a list and wants gradients
  uint32_t list_size_ = 0;
  CopySlices* around_ = nullptr;  // runs this node, where the call wrote into a view
  SmallVectorOf<Any, 6> slots_;           // by parameter; tensors whole, shape-only or absent
  SmallVectorOf<uint32_t, 6> versions_;   // by parameter
};

}  // namespace moka::autograd
