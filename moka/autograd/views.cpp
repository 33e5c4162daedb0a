// Views and writing in place: histories move through the base, so that every view of it sees the write.
// SPDX-License-Identifier: Apache-2.0
#include "moka/autograd/views.h"

#include <mutex>

#include "moka/autograd/accumulate.h"
#include "moka/autograd/forward.h"
#include "moka/autograd/op_node.h"
#include "moka/ops/complex/complex.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::autograd {

namespace {
// The history of a view that was made again from its base's.
class ViewNode final : public GradNode {
 public:
  ViewNode(ViewGeometry geometry, Edge base) : geometry_(std::move(geometry)) {
    edges.resize(1);
    edges[0] = std::move(base);
  }
  std::string name() const override { return "AsStridedBackward"; }
  void backward(std::span<Tensor> dys, std::span<Tensor> dxs, bool) override {
    dxs[0] = geometry_.spread(dys[0]);
  }

 private:
  ViewGeometry geometry_;
};

// Writes into such views, and through their bases, leave no gradient that could be told.
void check_origin(const Tensor& view, std::string_view op) {
  ViewOrigin origin = view.impl()->origin;
  if (origin == ViewOrigin::Plain) return;
  const char* how = op.empty()
                        ? " is a view and its base or another view of its base has been modified inplace"
                        : " is a view and is being modified inplace";
  GradMeta* m = meta(view);
  std::string what =
      cat(op, op.empty() ? "" : ": ",
          m && m->grad_fn ? cat("Output ", m->slot, " of ", m->grad_fn->name()) : "the target", how);
  switch (origin) {
    case ViewOrigin::Several:
      fail(what,
           ". This view is the output of a function that returns multiple views. Such functions (split, "
           "chunk, "
           "unbind) do not allow the output views to be modified in place: replace the write by an operation "
           "out of place, or make the views with slices");
    case ViewOrigin::Function:
      fail(
          what,
          ". This view was created inside a custom Function, whose backward the write would bypass. Return a "
          "clone() from the Function");
    default:
      fail(op, op.empty() ? "" : ": ", "A view was created in ",
           origin == ViewOrigin::Inference ? "inference mode" : "no_grad mode",
           op.empty() ? " and its base or another view of its base has been modified inplace"
                      : " and is being modified inplace",
           " with gradients recorded: whether the write should be recorded is not clear. Make the view and "
           "write "
           "into it both inside that mode, or both outside");
  }
}
}  // namespace

// ---- geometry
ViewGeometry::ViewGeometry(const Tensor& whole, const Tensor& part) {
  const bool mixed = is_complex(whole.dtype()) != is_complex(part.dtype());
  MOKA_CHECK_KIND(NotImplemented, mixed || whole.dtype() == part.dtype(),
                  "writing in place: gradients through a view of ", part.dtype(), " of a tensor of ",
                  whole.dtype(), " are not supported; clone() it first");
  whole_in_parts_ = mixed && is_complex(whole.dtype());
  part_in_parts_ = mixed && is_complex(part.dtype());
  const Tensor base = whole_in_parts_ ? view_as_real(detach(whole)) : whole;
  const Tensor view = part_in_parts_ ? view_as_real(detach(part)) : part;
  base_sizes_ = Dims(base.sizes());
  sizes_ = Dims(view.sizes());
  strides_ = Dims(view.strides());
  offset_ = view.numel() ? view.impl()->offset - base.impl()->offset : 0;
  if (base.is_contiguous()) return;
  MOKA_CHECK_KIND(NotImplemented, is_non_overlapping(base.sizes(), base.strides()),
                  "writing in place: gradients through views of a tensor whose elements share memory (sizes ",
                  base.sizes(), ", strides ", base.strides(), ") are not supported; clone() it first");
  base_strides_ = Dims(base.strides());
  reach_ = 1;
  for (int d = 0; d < base.dim(); d++) reach_ += (base.size(d) - 1) * base.stride(d);
}

Tensor ViewGeometry::in_memory_order(const Tensor& gradient) const {
  const Tensor whole = whole_in_parts_ ? view_as_real(gradient) : gradient;
  if (!reach_) return whole;
  const int64_t memory[] = {reach_};
  return strided_part_backward(whole, std::span<const int64_t>(memory), base_sizes_, base_strides_, 0);
}
Tensor ViewGeometry::from_memory_order(const Tensor& memory) const {
  const Tensor whole = reach_ ? strided_part(memory, base_sizes_, base_strides_, 0) : memory;
  return whole_in_parts_ ? view_as_complex(whole) : whole;
}

Tensor ViewGeometry::part_of(const Tensor& whole) const {
  const Tensor part = strided_part(in_memory_order(whole), sizes_, strides_, offset_);
  return part_in_parts_ ? view_as_complex(part) : part;
}
Tensor ViewGeometry::spread(const Tensor& gradient) const {
  const Tensor part = part_in_parts_ ? view_as_real(gradient) : gradient;
  if (!reach_) return from_memory_order(strided_part_backward(part, base_sizes_, sizes_, strides_, offset_));
  const int64_t memory[] = {reach_};
  return from_memory_order(
      strided_part_backward(part, std::span<const int64_t>(memory), sizes_, strides_, offset_));
}
Tensor ViewGeometry::put(Tensor whole, const Tensor& gradient, bool create_graph) const {
  const Tensor part = gradient && part_in_parts_ ? view_as_real(gradient) : gradient;
  if (!create_graph && !forward_active() && !reach_ && !whole_in_parts_ && is_own(whole) &&
      (!part || part.dtype() == whole.dtype())) {
    copy_elements(part ? part : zeros_like(shape_only({}, whole.dtype())),
                  strided_view(whole, sizes_, strides_, whole.impl()->offset + offset_));
    return whole;
  }
  Tensor memory = in_memory_order(whole);
  memory = part ? strided_put(memory, part, sizes_, strides_, offset_)
                : strided_put(memory, 0, sizes_, strides_, offset_);
  return from_memory_order(memory);
}

// ---- writes into views
CopySlices::CopySlices(const Tensor& base, const Tensor& view, Ref<GradNode> write, int self)
    : geometry_(base, view), write_(std::move(write)), self_(self), base_edge_(self) {
  Edge before = gradient_edge(base);
  size_t count = write_->edges.size();
  if (self < 0 && before) base_edge_ = static_cast<int>(count);
  edges.resize(count + (base_edge_ == static_cast<int>(count)));
  for (size_t i = 0; i < count; i++) edges[i] = write_->edges[i];
  if (base_edge_ < 0) return;
  edges[static_cast<size_t>(base_edge_)] = before;
  // What the view was before is part of what the base was: the write is asked for its gradient when that is wanted.
  if (self >= 0) write_->edges[static_cast<size_t>(self)] = before;
}

void CopySlices::backward(std::span<Tensor> dys, std::span<Tensor> dxs, bool create_graph) {
  Tensor whole = std::move(dys[0]);
  Tensor part = geometry_.part_of(whole);
  std::vector<Tensor> found(write_->edges.size());
  write_->backward({&part, 1}, found, create_graph);
  Tensor before;
  for (size_t i = 0; i < found.size(); i++)
    (static_cast<int>(i) == self_ ? before : dxs[i]) = std::move(found[i]);
  if (base_edge_ >= 0 && wants(static_cast<size_t>(base_edge_)))
    dxs[static_cast<size_t>(base_edge_)] = geometry_.put(std::move(whole), before, create_graph);
}

Edge CopySlices::view_before() const {
  if (base_edge_ < 0) return {};
  return {Ref<GradNode>::share(new ViewNode(geometry_, edges[static_cast<size_t>(base_edge_)])), 0};
}

void CopySlices::set_view_history(const Tensor& t) {
  set_history(t, Ref<GradNode>::share(new ViewNode(geometry_, Edge{Ref<GradNode>::share(this), 0})), 0);
}

void rebase_history(const Tensor& t, Ref<GradNode> write, int self) {
  if (!t.impl()->base) return set_history(t, std::move(write), 0);
  Tensor base = Tensor::share(t.impl()->base);
  auto* node = new CopySlices(base, t, write, self);
  Ref<GradNode> keep = Ref<GradNode>::share(node);
  if (auto* op = dynamic_cast<OpNode*>(write.get())) op->run_by(*node);
  set_history(base, std::move(keep), 0);
  renew_view(t);
}

void renew_view(const Tensor& view) {
  static std::mutex mutex;  // threads may share the view
  std::lock_guard lock(mutex);
  if (!is_stale(view.impl())) return;
  TensorImpl* v = view.impl();
  Tensor base = Tensor::share(v->base);
  GradMeta* m = meta(view);
  bool recorded = m && m->grad_fn;
  if (!requires_grad(base) || (!recorded && v->layers & layer::autograd)) {
    // Nothing to follow: the base has no history, or the view is a leaf of its own.
    v->view_version = view.version();
    return;
  }
  check_origin(view, {});
  set_history(view, Ref<GradNode>::share(new ViewNode(ViewGeometry(base, view), gradient_edge(base))), 0);
}

void check_rebase(const Tensor& t, std::string_view op, bool wanted) {
  if (TensorImpl* b = t.impl()->base) {
    Tensor base = Tensor::share(b);
    if (wanted || requires_grad(base)) check_origin(t, op);
    MOKA_CHECK(!(requires_grad(t) || requires_grad(base)) || !is_leaf(base), op,
               ": a view of a leaf Variable that requires grad is being used in an in-place operation. Use "
               "no_grad() or work on a copy");
    return;
  }
  MOKA_CHECK(
      !requires_grad(t) || !is_leaf(t), op,
      ": a leaf Variable that requires grad is being used in an in-place operation. Use no_grad() or work "
      "on a copy");
}

}  // namespace moka::autograd
