// Sums of gradients: on their way, and in .grad.
// SPDX-License-Identifier: Apache-2.0
#include "moka/autograd/accumulate.h"

#include <algorithm>
#include <cstring>

#include "moka/autograd/forward.h"
#include "moka/ops/kernels/memory_format.h"
#include "moka/ops/pointwise/pointwise.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/tensor/meta.h"
#include "moka/tensor/wrapper.h"

namespace moka::autograd {

namespace {
void add_in_place(const Tensor& into, const Tensor& g) {
  Arg args[3] = {into, g, Arg(1)};
  Frame f(ops::add_op, args, 3);
  f.outs.resize(1);
  f.outs[0] = into;
  f.given = 1;
  run_op(f);
}
// The strides of a leaf whose elements lie without gaps, but not in order: its gradient lies as it does.
Dims leaf_strides(const Tensor& leaf) {
  if (leaf.is_contiguous()) return {};
  Dims strides = format_strides("preserve_format", leaf, "backward");
  return std::ranges::equal(strides, leaf.strides()) ? strides : Dims();
}
// Neither a wrapper nor one of vmap's tensors, which stand for others.
bool is_plain(const Tensor& t) { return !(t.impl()->layers & (layer::wrapper | layer::batch)); }
// A result that was computed without being recorded need not follow its base.
void drop_base(const Tensor& t) {
  TensorImpl* i = t.impl();
  if (!i->base || i->references.load(std::memory_order_relaxed) != 1 || i->layers & layer::autograd) return;
  release(std::exchange(i->base, nullptr));
  i->origin = ViewOrigin::Plain;
}
}  // namespace

bool is_own(const Tensor& t) {
  const TensorImpl* i = t.impl();
  return i->references.load(std::memory_order_relaxed) == 1 && i->storage && !is_wrapper(t) &&
         i->storage->references.load(std::memory_order_relaxed) == 1 && !i->storage->read_only &&
         t.is_contiguous();
}

void accumulate(Tensor& sum, Tensor g, bool create_graph) {
  const bool recorded = create_graph || forward_active();
  if (!recorded) drop_base(g);
  if (!sum) sum = std::move(g);
  else if (!recorded && sum.dtype() == g.dtype() && is_own(sum) && is_plain(g)) add_in_place(sum, g);
  else sum = add(sum, g);
}

void accumulate_grad(const Tensor& leaf, Tensor g, bool create_graph) {
  GradMeta& m = make_meta(leaf);
  if (!m.grad) {
    if (create_graph || forward_active()) {
      m.grad = clone(g);
      return;
    }
    drop_base(g);
    if (!is_plain(g)) {
      m.grad = detach(g);
      return;
    }
    if (Dims strides = leaf_strides(leaf); !strides.empty()) {
      m.grad = new_strided_tensor(g.sizes(), strides, g.dtype(), g.device());
      copy_elements(g, m.grad);
    } else if (is_own(g)) {
      m.grad = std::move(g);
    } else {
      m.grad = new_tensor(g.sizes(), g.dtype(), g.device());
      copy_elements(g, m.grad);
    }
    m.grad.impl()->layers &= ~layer::autograd;
  } else if (create_graph || forward_active() || !is_plain(g) || !is_plain(m.grad)) {
    m.grad = add(m.grad, g);
  } else {
    add_in_place(m.grad, g);  // whoever holds .grad sees it grow, as in PyTorch
  }
}

Tensor sum_to_shape(const Tensor& gradient, std::span<const int64_t> sizes) {
  Dims dims;
  const int lead = gradient.dim() - static_cast<int>(sizes.size());
  bool fits = lead >= 0;
  for (int d = 0; fits && d < gradient.dim(); d++) {
    const int64_t size = d < lead ? 1 : sizes[static_cast<size_t>(d - lead)];
    if (d < lead || (size == 1 && gradient.size(d) != 1)) dims.push_back(d);
    else fits = size == gradient.size(d);
  }
  MOKA_CHECK(fits, "a gradient of shape ", gradient.sizes(), " is not a broadcast of the value's shape ",
             sizes, "; the shapes of a backward's arguments do not belong together");
  if (dims.empty()) return gradient;
  Tensor out = sum(gradient, dims, true);
  return lead == 0 ? out : reshape(out, sizes);
}

Tensor zeros_like(const Tensor& shape) {
  Tensor zero = new_tensor({}, shape.dtype(), shape.device());
  if (!is_meta(zero)) std::memset(zero.raw_data(), 0, zero.bytes());
  return strided_view(zero, shape.sizes(), Dims(shape.sizes().size()), 0);
}

}  // namespace moka::autograd
