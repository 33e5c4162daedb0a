// What nodes keep of tensors for backward, and hooks that replace it.
// SPDX-License-Identifier: Apache-2.0
#include "moka/autograd/saved.h"

#include <algorithm>

#include "moka/autograd/forward.h"
#include "moka/base/thread_local.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/tensor/wrapper.h"

namespace moka::autograd {

namespace {
MOKA_THREAD_LOCAL SavedTensorHooks* hooks = nullptr;

// Another handle of t whose gradient goes to `edge`.
Tensor with_edge(const Tensor& t, const Edge& edge) {
  Tensor out = detach_from_tape(t);
  if (edge) set_history(out, edge.node, edge.slot);
  return out;
}
}  // namespace

SavedTensorHooks* saved_tensor_hooks() { return hooks; }
SavedTensorHooks* set_saved_tensor_hooks(SavedTensorHooks* now) { return std::exchange(hooks, now); }

Tensor copy_with_history(const Tensor& t) {
  Tensor copy;
  if (is_wrapper(t)) {
    copy = clone(detach(t));
  } else {
    copy = new_tensor(t.sizes(), t.dtype(), t.device());
    copy_elements(t, copy);
  }
  if (Edge e = gradient_edge(t)) set_history(copy, e.node, e.slot);
  if (forward_active()) copy_tangents(t, copy);
  return copy;
}

Any save_tensor(const Tensor& t, SavedAs as, std::string_view op) {
  MOKA_CHECK(!t.impl()->inference, op,
             ": Inference tensors cannot be saved for backward: clone() it outside inference_mode, or use "
             "no_grad() instead");
  if (__builtin_expect(hooks != nullptr, 0)) {
    Edge edge = as == SavedAs::Result ? Edge() : gradient_edge(t);
    Ref<PackedTensor> packed = hooks->pack(detach(t));
    packed->shape = shape_only(t.sizes(), t.dtype());
    packed->edge = std::move(edge);
    return Any(Ref<Object>::share(packed.get()));
  }
  // A result would keep its own node alive.
  if (as == SavedAs::Result) return detach_from_tape(t);
  if (as == SavedAs::Target) return copy_with_history(t);
  // A view's history moves on whenever its base is written: the other handle keeps the present one, and no base that
  // might lead back to the node.
  return t.impl()->base ? with_edge(t, gradient_edge(t)) : t;
}

Tensor unpack_tensor(const Any& saved, bool with_history) {
  if (saved.is_tensor()) return saved.tensor();
  auto* packed = static_cast<PackedTensor*>(saved.arg().object);
  Tensor t = packed->unpack();
  std::span<const int64_t> sizes = packed->shape.sizes();
  MOKA_CHECK(t && std::equal(sizes.begin(), sizes.end(), t.sizes().begin(), t.sizes().end()) &&
                 t.dtype() == packed->shape.dtype(),
             "saved_tensors_hooks: the unpack hook returned ", t, " where ", packed->shape, " was packed");
  return with_history && packed->edge ? with_edge(t, packed->edge) : t;
}

}  // namespace moka::autograd
