// The node of an operator's call: what its derivative reads, and the running of that derivative.
// SPDX-License-Identifier: Apache-2.0
#include "moka/autograd/op_node.h"

#include <algorithm>

#include "moka/autograd/accumulate.h"
#include "moka/autograd/forward.h"
#include "moka/autograd/saved.h"
#include "moka/autograd/views.h"
#include "moka/ops/pointwise/driver.h"
#include "moka/schema/reading.h"
#include "moka/tensor/meta.h"
#include "moka/tensor/wrapper.h"

namespace moka::autograd {

namespace {
bool same_sizes(std::span<const int64_t> a, std::span<const int64_t> b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
}
Tensor shape_of_tensor(const Tensor& t) { return shape_only(t.sizes(), t.dtype()); }
Any shapes_of(std::span<const Tensor> list) {
  std::vector<Tensor> shapes;
  for (const Tensor& t : list) shapes.push_back(t ? shape_of_tensor(t) : Tensor());
  return Any(std::span<const Tensor>(shapes));
}
// Versions only rise, so their sum tells whether any of a list changed.
uint32_t version_of(const Any& saved) {
  if (saved.is_tensor()) return saved.tensor().version();
  uint32_t sum = 0;
  for (const Tensor& t : saved.tensors())
    if (t) sum += t.version();
  return sum;
}
bool has_several_types(std::span<const Tensor> list) {
  const Tensor* first = nullptr;
  for (const Tensor& t : list) {
    if (!t) continue;
    if (first && first->dtype() != t.dtype()) return true;
    first = &t;
  }
  return false;
}
uint64_t bit(int parameter) { return uint64_t(1) << parameter; }

// Ties the gradient of a piecewise linear operator to the argument that chose the piece: by it, it changes by zero.
class ZeroLink final : public GradNode {
 public:
  std::string name() const override { return "ZeroLinkBackward"; }
  void backward(std::span<Tensor> dys, std::span<Tensor> dxs, bool) override {
    if (wants(1)) dxs[1] = zeros_like(dys[0]);
    dxs[0] = std::move(dys[0]);
  }
};
Tensor linked_by_zero(const Tensor& gradient, const Edge& argument) {
  if (!is_differentiable(gradient.dtype())) return gradient;
  auto link = Ref<GradNode>::share(new ZeroLink);
  link->edges.resize(2);
  link->edges[0] = gradient_edge(gradient);
  link->edges[1] = argument;
  Tensor out = detach_from_tape(gradient);
  set_history(out, std::move(link), 0);
  return out;
}
}  // namespace

std::string OpNode::name() const { return node_name(info(*op_).schema.base); }

// ---- recording
void OpNode::make_edges(const Arg* args) {
  size_t count = 0;
  for (const Row& row : rules_->rows)
    for (int target : row.targets)
      if (wanted_ >> target & 1) count += args[target].tag == Tag::Tensors ? args[target].count : 1;
  edges.resize(count);
  size_t at = 0;
  for (const Row& row : rules_->rows) {
    bool active = false;
    for (int target : row.targets) {
      if (!(wanted_ >> target & 1)) continue;
      active = true;
      if (target == 0) self_ = static_cast<int>(at);
      const Arg& a = args[target];
      if (a.tag == Tag::Tensor) {
        edges[at++] = gradient_edge(a.as_tensor());
        continue;
      }
      list_arg_ = target;
      list_size_ = a.count;
      for (const Tensor& t : a.as_tensors()) {
        if (t && is_differentiable(t.dtype())) edges[at] = gradient_edge(t);
        at++;
      }
    }
    if (!active) continue;
    used_.values |= row.usage.values;
    used_.shapes |= row.usage.shapes;
  }
}

Ref<OpNode> OpNode::before(const Frame& f, const Rules& rules, uint64_t wanted) {
  OpNode* node = new OpNode(f.op, rules);
  node->references.store(1, std::memory_order_relaxed);
  Ref<OpNode> keep = Ref<OpNode>::adopt(node);
  node->wanted_ = wanted;
  node->make_edges(f.args);
  node->slots_.resize(static_cast<size_t>(rules.slots));
  node->versions_.resize(static_cast<size_t>(rules.slots));
  for (int i = 0, p = rules.gradients; i < f.count && p < rules.slots; i++, p++) {
    const Arg& a = f.args[i];
    Any& slot = node->slots_[static_cast<size_t>(p)];
    if (a.tag == Tag::Tensor) {
      bool is_target = f.given && f.outs[0] == a.as_tensor();
      if (node->used_.values & bit(p))
        node->save(p, a.as_tensor(), is_target ? SavedAs::Target : SavedAs::Argument);
    } else if (a.tag != Tag::Tensors) {
      slot = Any::copy(a);
    } else if (node->used_.values & bit(p)) {
      slot = Any::copy(a);
      node->tracked_ |= bit(p);
      node->versions_[static_cast<size_t>(p)] = version_of(slot);
    } else if (node->used_.shapes & bit(p) || has_several_types(a.as_tensors())) {
      slot = shapes_of(a.as_tensors());
    }
  }
  return keep;
}

void OpNode::save(int parameter, const Tensor& t, SavedAs as) {
  Any& slot = slots_[static_cast<size_t>(parameter)];
  slot = save_tensor(t, as, info(*op_).schema.name);
  if (!slot.is_tensor()) {
    packed_ |= bit(parameter);
    return;
  }
  versions_[static_cast<size_t>(parameter)] = slot.tensor().version();
  tracked_ |= bit(parameter);
}

void OpNode::after(Frame& f, Ref<GradNode> self) {
  const Rules& rules = *rules_;
  const Tensor& first = f.outs[0];
  outputs = static_cast<uint32_t>(f.outs.size());
  // Gradients that will not have the shape and type of their argument by themselves need to know them.
  for (int i = 0, p = rules.gradients; i < f.count && p < rules.slots; i++, p++) {
    if (f.args[i].tag != Tag::Tensor || used_.values & bit(p)) continue;
    const Tensor& t = f.tensor(i);
    if (used_.shapes & bit(p) ||
        ((wanted_ >> i & 1) && (!same_sizes(t.sizes(), first.sizes()) || t.dtype() != first.dtype())))
      slots_[static_cast<size_t>(p)] = shape_of_tensor(t);
  }
  int p = rules.gradients + rules.args;
  if (rules.list_output) {
    std::vector<Tensor> parts(f.outs.size());
    for (size_t i = 0; i < parts.size(); i++) parts[i] = f.outs[i];
    slots_[static_cast<size_t>(p)] = shapes_of(parts);
  } else {
    for (size_t i = 0; i < f.outs.size() && p < rules.slots; i++, p++) {
      if (used_.values & bit(p)) {
        save(p, f.outs[i], SavedAs::Result);
        keeps_outputs_ = true;
      } else if (used_.shapes & bit(p) || (rules.gradients > 1 && static_cast<int>(i) < rules.gradients)) {
        slots_[static_cast<size_t>(p)] = shape_of_tensor(f.outs[i]);
      }
    }
  }
  if (f.given & 1) return rebase_history(first, std::move(self), self_);
  size_t differentiable =
      rules.list_output ? f.outs.size() : std::min<size_t>(rules.gradients, f.outs.size());
  for (size_t i = 1; i < differentiable; i++)
    if (is_differentiable(f.outs[i].dtype())) set_history(f.outs[i], self, static_cast<uint32_t>(i));
  if (differentiable && is_differentiable(first.dtype())) set_history(first, std::move(self), 0);
}

// ---- backward
void OpNode::backward(std::span<Tensor> dys, std::span<Tensor> dxs, bool create_graph) {
  MOKA_CHECK(!released_,
             "backward: Trying to backward through the graph a second time, but the saved tensors of ",
             name(), " were freed by an earlier backward; Specify retain_graph=True in the first one");
  if (tracked_) check_versions();
  // The gradients' slots are filled for the time of this call.
  struct Clear {
    OpNode& node;
    ~Clear() {
      for (int g = 0; g < node.rules_->gradients; g++) node.slots_[static_cast<size_t>(g)] = Any();
    }
  } clear{*this};
  if (rules_->list_output) {
    slots_[0] = parts_of(dys);
  } else {
    for (int g = 0; g < rules_->gradients; g++) {
      Tensor& dy = dys[static_cast<size_t>(g)];
      slots_[static_cast<size_t>(g)] = dy ? std::move(dy) : zeros_for(g);
    }
  }
  if (!packed_ && !(create_graph && keeps_outputs_)) return run_rows(slots_.begin(), dxs, create_graph);
  uint64_t read = values_read();
  std::vector<Any> in(static_cast<size_t>(rules_->slots));
  for (int i = 0; i < rules_->slots; i++)
    if (!(packed_ & bit(i)) || read & bit(i)) in[static_cast<size_t>(i)] = unpacked(i, create_graph);
  run_rows(in.data(), dxs, create_graph);
}

// What the derivatives that will run now read: packed tensors that none needs stay packed.
uint64_t OpNode::values_read() const {
  uint64_t read = 0;
  size_t edge = 0;
  for (const Row& row : rules_->rows) {
    bool asked = false;
    for (int target : row.targets)
      if (wanted_ >> target & 1)
        for (size_t n = target == list_arg_ ? list_size_ : 1; n; n--) asked |= wants(edge++);
    if (asked) read |= row.usage.values;
  }
  return read;
}

void OpNode::run_rows(const Any* in, std::span<Tensor> dxs, bool create_graph) {
  size_t edge = 0;
  for (const Row& row : rules_->rows) {
    size_t first = edge;
    bool asked = false;
    for (int target : row.targets)
      if (wanted_ >> target & 1)
        for (size_t n = target == list_arg_ ? list_size_ : 1; n; n--) asked |= wants(edge++);
    if (!asked) continue;
    SmallVectorOf<Any, 2> out;
    out.resize(row.targets.size());
    run_derivative(*op_, row, in, out.begin(), create_graph);
    for (size_t k = 0, at = first; k < row.targets.size(); k++) {
      int target = row.targets[k];
      if (!(wanted_ >> target & 1)) continue;
      size_t n = target == list_arg_ ? list_size_ : 1;
      if (!out[k].is_none()) {
        if (target != list_arg_) {
          dxs[at] = fit(out[k].tensor(), target);
          if (create_graph && op_->piecewise_linear)
            dxs[at] = linked_by_zero(
                dxs[at], around_ && static_cast<int>(at) == self_ ? around_->view_before() : edges[at]);
        } else
          for (size_t j = 0; j < n; j++) dxs[at + j] = fit_type(out[k].tensors()[j], target, j);
      }
      at += n;
    }
  }
}

void run_derivative(const Op& op, const Row& row, const Any* in, Any* out, bool recorded) {
  const Derivative& d = *row.derivative;
  if (d.fused && !recorded && !forward_active() && !is_batched(in[0].tensor())) {
    // One kernel over all parameters, in the type of the gradient.
    DType dtype = in[0].tensor().dtype();
    // A real gradient of complex operands (abs) is not one real kernel.
    bool serves = is_floating(dtype) && !is_wrapper(in[0].tensor());
    for (int i = 1; i < d.parameters && serves; i++)
      serves = !in[i].is_tensor() || (!is_complex(in[i].tensor().dtype()) && !is_batched(in[i].tensor()) &&
                                      !is_wrapper(in[i].tensor()));
    if (serves) {
      Arg operands[16];
      for (int i = 0; i < d.parameters; i++)
        operands[i] =
            i == 0 || (row.usage.values & bit(i) && !in[i].is_none()) ? in[i].arg() : Arg(int64_t(0));
      out[0] =
          apply_formula(d.fused, {operands, static_cast<size_t>(d.parameters)}, dtype, info(op).schema.name);
      return;
    }
  }
  MetaBody meta(in[0].is_tensor() && is_meta(in[0].tensor()));
  d.eager(in, out);
}

void OpNode::keep_tangent(int output, int level, const Tensor& tangent) {
  const int p = rules_->gradients + rules_->args + output;
  if (rules_->list_output || p >= rules_->slots || !(tracked_ & bit(p))) return;
  const Any& slot = slots_[static_cast<size_t>(p)];
  if (slot.is_tensor()) set_tangent(slot.tensor(), level, tangent);
}

// A gradient in the shape and type of the argument it belongs to.
Tensor OpNode::fit(const Tensor& g, int target) const {
  const Any& saved = slots_[static_cast<size_t>(rules_->gradients + target)];
  if (saved.is_none()) return g;
  const Tensor& like =
      saved.is_tensor() ? saved.tensor() : static_cast<PackedTensor*>(saved.arg().object)->shape;
  Tensor out = g;
  if (!same_sizes(out.sizes(), like.sizes())) out = sum_to_shape(out, like.sizes());
  if (out.dtype() != like.dtype()) {
    static const Op& to = get_op("to");
    out = EagerReading::call(to, out, like.dtype());
  }
  return out;
}

// The same for one of a list, whose shapes are right by themselves.
Tensor OpNode::fit_type(const Tensor& g, int target, size_t place) const {
  const Any& saved = slots_[static_cast<size_t>(rules_->gradients + target)];
  if (!g || saved.tag() != Tag::Tensors) return g;
  const Tensor& like = saved.tensors()[place];
  if (!like || like.dtype() == g.dtype()) return g;
  static const Op& to = get_op("to");
  return EagerReading::call(to, g, like.dtype());
}

Tensor OpNode::zeros_for(int output) const {
  return zeros_like(slots_[static_cast<size_t>(rules_->gradients + rules_->args + output)].tensor());
}
Any OpNode::parts_of(std::span<Tensor> dys) const {
  std::span<const Tensor> shapes = slots_[static_cast<size_t>(1 + rules_->args)].tensors();
  std::vector<Tensor> parts(dys.size());
  for (size_t i = 0; i < parts.size(); i++) parts[i] = dys[i] ? std::move(dys[i]) : zeros_like(shapes[i]);
  return Any(std::span<const Tensor>(parts));
}

Any OpNode::unpacked(int parameter, bool create_graph) {
  const Any& slot = slots_[static_cast<size_t>(parameter)];
  bool is_packed = packed_ & bit(parameter);
  int output = parameter - rules_->gradients - rules_->args;
  bool is_result = output >= 0 && used_.values & bit(parameter);
  if (!is_packed && !(is_result && create_graph)) return slot;
  Tensor t = unpack_tensor(slot, create_graph);
  if (!is_result || !create_graph) return t;
  t = detach_from_tape(t);
  if (around_) around_->set_view_history(t);
  else set_history(t, Ref<GradNode>::share(this), static_cast<uint32_t>(output));
  return t;
}

Any OpNode::saved(int parameter) {
  MOKA_CHECK(!released_, name(),
             ": its saved tensors are read after they have already been freed by an earlier "
             "backward; Specify retain_graph=True in the first one");
  if (parameter >= rules_->slots) return Any();
  check_versions();
  Any value = unpacked(parameter, true);
  return value.is_tensor() && !value.tensor().has_storage() ? Any() : value;
}

void OpNode::release_saved() {
  if (!tracked_ && !packed_) return;  // sizes are enough for it: it can run again
  for (Any& v : slots_) v = Any();
  tracked_ = 0;
  released_ = true;
}

void OpNode::check_versions() const {
  for (uint64_t rest = tracked_; rest; rest &= rest - 1) {
    int p = __builtin_ctzll(rest);
    if (version_of(slots_[static_cast<size_t>(p)]) != versions_[static_cast<size_t>(p)]) fail_version(p);
  }
}
void OpNode::fail_version(int parameter) const {
  const Schema& s = info(*op_).schema;
  const Any& saved = slots_[static_cast<size_t>(parameter)];
  int arg = parameter - rules_->gradients;
  std::string what = arg < rules_->args  ? cat("argument '", s.args[static_cast<size_t>(arg)].name, "'")
                     : s.outs.size() > 1 ? cat("result ", arg - rules_->args)
                                         : "result";
  fail(
      "backward: one of the variables needed for gradient computation has been modified by an inplace "
      "operation: ",
      s.name, " needs its ", what, " (", saved, ") as it was saved, but it is at version ", version_of(saved),
      ", expected version ", versions_[static_cast<size_t>(parameter)],
      ". Work on a clone(), or write out of place",
      anomaly_enabled() ? "" : "; set_detect_anomaly(True) tells where the forward ran");
}

}  // namespace moka::autograd
