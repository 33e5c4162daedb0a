// Views and writing in place: the geometry that relates gradients of a view and of its base.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/autograd/history.h"
#include "moka/base/small_vector.h"

namespace moka::autograd {

// Where a view's elements lie among those of its base.
class ViewGeometry {
 public:
  ViewGeometry(const Tensor& base, const Tensor& view);
  // The part of a tensor of the base's shape that the view shows; a copy.
  Tensor part_of(const Tensor& whole) const;
  // Zeros of the base's shape with `part` at the view's elements.
  Tensor spread(const Tensor& part) const;
  // `whole` with `part` (zeros if undefined) at the view's elements; may write into a whole that nobody else holds.
  Tensor put(Tensor whole, const Tensor& part, bool create_graph) const;

 private:
  Tensor in_memory_order(const Tensor& whole) const;
  Tensor from_memory_order(const Tensor& memory) const;

  // Where one of both is complex and the other real, all geometry is that of the numbers' parts.
  bool whole_in_parts_ = false, part_in_parts_ = false;
  Dims base_sizes_, base_strides_;  // strides only where the base is not contiguous
  Dims sizes_, strides_;
  int64_t offset_;
  int64_t reach_ = 0;  // elements of memory from the base's first to its last
};

// The history of a base after a write into a view of it: the operation's own node sees the view's part of the gradient.
class CopySlices final : public GradNode {
 public:
  CopySlices(const Tensor& base, const Tensor& view, Ref<GradNode> write, int self);
  std::string name() const override { return "CopySlices"; }
  void backward(std::span<Tensor> dys, std::span<Tensor> dxs, bool create_graph) override;
  void release_saved() override { write_->release_saved(); }
  // The view as it was before the write: a part of what the base was. None where no gradient leads there.
  Edge view_before() const;
  // Makes `t` a view of this node's output.
  void set_view_history(const Tensor& t);

 private:
  ViewGeometry geometry_;
  Ref<GradNode> write_;
  int self_;       // the edge of write_ that leads to what the view was before; -1: none
  int base_edge_;  // the edge of this node that leads to what the base was before; -1: none
};

}  // namespace moka::autograd
