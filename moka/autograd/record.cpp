// The autograd layer: runs an operator below itself and records one node with what its derivative will read.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <mutex>

#include "moka/autograd/node.h"
#include "moka/base/small_vector_of.h"
#include "moka/ops/pointwise/driver.h"
#include "moka/schema/reading.h"

namespace moka::autograd {

namespace {

// A derivative row with its names resolved to argument indices.
struct Row {
  const Derivative* derivative;
  SmallVector<int, 4> targets;
  Usage usage;
};
struct Rules {
  std::vector<Row> rows;
  int args = 0;
  bool list_output = false;
};

#ifndef MOKA_PREDICTOR
const Rules& rules_of(const Op& op) {
  OpInfo& info = moka::info(op);
  static std::mutex mutex;
  void* known = __atomic_load_n(&info.autograd, __ATOMIC_ACQUIRE);
  if (known) return *static_cast<const Rules*>(known);
  std::lock_guard lock(mutex);
  if (info.autograd) return *static_cast<const Rules*>(info.autograd);
  Rules* rules = new Rules;  // lives as long as the Op
  rules->args = static_cast<int>(info.schema.args.size());
  rules->list_output = info.schema.outs[0].type.list;
  for (const Derivative& d : op.derivative.rows) {
    Row row{&d, {}, d.usage()};
    std::string_view rest = d.names;
    while (!rest.empty()) {
      size_t space = rest.find(' ');
      std::string_view name = rest.substr(0, space);
      int at = info.schema.find_arg(name);
      if (at < 0)
        fail_kind(ErrorKind::Internal, info.schema.name, ": the derivative names '", name,
                  "', which is no argument");
      row.targets.push_back(at);
      rest = space == std::string_view::npos ? std::string_view() : rest.substr(space + 1);
    }
    rules->rows.push_back(row);
  }
  __atomic_store_n(&info.autograd, static_cast<void*>(rules), __ATOMIC_RELEASE);
  return *rules;
}

bool wants_gradient(const Arg& a) {
  auto wants = [](const Tensor& t) { return t && requires_grad(t) && is_differentiable(t.dtype()); };
  if (a.tag == Tag::Tensor) return wants(a.as_tensor());
  if (a.tag == Tag::Tensors)
    for (const Tensor& t : a.as_tensors())
      if (wants(t)) return true;
  return false;
}

bool same_sizes(std::span<const int64_t> a, std::span<const int64_t> b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
}

// One recorded call of an operator.
class OpNode final : public GradNode {
 public:
  OpNode(const Op& op, const Rules& rules) : op_(&op), rules_(&rules) {}

  std::string name() const override {
    std::string n(info(*op_).schema.base);
    for (size_t i = 0; i < n.size(); i++)
      if (i == 0 || n[i - 1] == '_') n[i] = static_cast<char>(std::toupper(n[i]));
    std::erase(n, '_');
    return n + "Backward";
  }

  void backward(std::vector<Tensor>& dys, std::vector<Tensor>& dxs, bool create_graph) override {
    MOKA_CHECK(!released_, "backward: the saved tensors of ", name(),
               " were freed by an earlier backward; pass retain_graph=True to the first one");
    Any in[1 + max_args + Outputs::inline_limit];
    if (rules_->list_output) in[0] = Any(std::span<const Tensor>(fill_missing(dys)));
    else in[0] = Any(dys[0] ? dys[0] : zeros_of(0));
    for (int i = 0; i < rules_->args; i++) in[1 + i] = unpack(i);
    size_t outs = rules_->list_output ? 0 : outputs;
    for (size_t i = 0; i < outs && i < Outputs::inline_limit; i++)
      in[1 + rules_->args + i] = unpack_output(static_cast<int>(i), create_graph);

    size_t edge = 0;
    for (const Row& row : rules_->rows) {
      bool active = false;
      for (int target : row.targets) active |= wanted_ >> target & 1;
      if (!active) continue;
      Any out[max_args];
      run_row(row, in, out, create_graph);
      for (size_t k = 0; k < row.targets.size(); k++) {
        int target = row.targets[k];
        if (!(wanted_ >> target & 1)) continue;
        if (list_sizes_ && list_arg_ == target) {
          for (uint32_t j = 0; j < list_sizes_; j++, edge++)
            if (!out[k].is_none()) dxs[edge] = out[k].tensors()[j];
        } else if (!out[k].is_none()) {
          dxs[edge++] = fit(out[k].tensor(), target);
        } else {
          edge++;
        }
      }
    }
  }

  void release_saved() override {
    for (Any& v : values_) v = Any();
    for (Any& v : output_values_) v = Any();
    released_ = true;
  }

  static void record(Frame& f, const Rules& rules, const Arg* original, uint64_t wanted);

 private:
  void run_row(const Row& row, const Any* in, Any* out, bool create_graph) {
    const Derivative& d = *row.derivative;
    if (d.fused && !create_graph) {
      // One kernel over all parameters, in the type of the gradient.
      Arg operands[16];
      DType dtype = in[0].tensor().dtype();
      for (int i = 0; i < d.parameters; i++)
        operands[i] = in[i].is_none() || !needs(row, i) ? Arg(int64_t(0)) : in[i].arg();
      if (dtype == DType::F32 || dtype == DType::F64 || dtype == DType::F16 || dtype == DType::BF16) {
        out[0] = apply_formula(d.fused, {operands, static_cast<size_t>(d.parameters)}, dtype,
                               info(*op_).schema.name);
        return;
      }
    }
    d.eager(in, out);
  }
  static bool needs(const Row& row, int parameter) {
    return row.usage.values >> parameter & 1 || parameter == 0;
  }

  // A gradient in the shape and type of the argument it belongs to.
  Tensor fit(const Tensor& g, int target) const {
    const Any& saved = values_[target];
    if (!saved.is_tensor()) return g;
    const Tensor& like = saved.tensor();
    Tensor out = g;
    if (!same_sizes(out.sizes(), like.sizes())) out = sum_to_shape(out, like.sizes());
    if (out.dtype() != like.dtype()) {
      static const Op& to = get_op("to");
      out = EagerReading::call(to, out, like.dtype());
    }
    return out;
  }

  Tensor zeros_of(int output) const {
    const Tensor& like = output_values_[output].tensor();
    Tensor z = new_tensor(like.sizes(), like.dtype());
    std::memset(z.raw_data(), 0, z.bytes());
    return z;
  }
  std::vector<Tensor> fill_missing(const std::vector<Tensor>& dys) const {
    std::vector<Tensor> out = dys;
    for (size_t i = 0; i < out.size(); i++)
      if (!out[i]) {
        const Tensor& like = list_likes_[i];
        out[i] = new_tensor(like.sizes(), like.dtype());
        std::memset(out[i].raw_data(), 0, out[i].bytes());
      }
    return out;
  }

  Any unpack(int i) {
    const Any& v = values_[i];
    if (!v.is_tensor() || !v.tensor().has_storage()) return v;
    check_version(v.tensor(), versions_[i], i, "argument");
    return v;
  }
  Any unpack_output(int i, bool create_graph) {
    const Any& v = output_values_[i];
    if (!v.is_tensor() || !v.tensor().has_storage()) return v;
    check_version(v.tensor(), output_versions_[i], i, "output");
    if (!create_graph) return v;
    Tensor again = detach(v.tensor());
    set_history(again, Ref<GradNode>::share(this), static_cast<uint32_t>(i));
    return again;
  }
  void check_version(const Tensor& t, uint32_t version, int i, std::string_view what) const {
    if (t.version() == version) return;
    const Schema& s = info(*op_).schema;
    std::string which = what == "argument" ? s.args[static_cast<size_t>(i)].name : cat(i);
    fail("backward: ", s.name, " saved its ", what, " '", which, "' (", t,
         ") for its gradient, but it was modified in place since: ", "version ", t.version(), ", expected ",
         version, "; work on a clone()", source.empty() ? "" : "\n  forward call at ", source);
  }

  const Op* op_;
  const Rules* rules_;
  uint64_t wanted_ = 0;  // bit i: argument i wants a gradient
  bool released_ = false;
  int list_arg_ = -1;
  uint32_t list_sizes_ = 0;
  std::vector<Tensor> list_likes_;
  SmallVectorOf<Any, 4> values_;          // by argument; tensors whole, shape-only or absent
  SmallVectorOf<Any, 2> output_values_;
  SmallVector<uint32_t, 4> versions_;
  SmallVector<uint32_t, 2> output_versions_;
};

void OpNode::record(Frame& f, const Rules& rules, const Arg* original, uint64_t wanted) {
  OpNode* node = new OpNode(f.op, rules);
  Ref<GradNode> keep = Ref<GradNode>::share(node);
  node->wanted_ = wanted;
  Usage used;
  for (const Row& row : rules.rows) {
    bool active = false;
    for (int target : row.targets) active |= wanted >> target & 1;
    if (!active) continue;
    used.values |= row.usage.values;
    used.shapes |= row.usage.shapes;
    for (int target : row.targets) {
      if (!(wanted >> target & 1)) continue;
      const Arg& a = original[target];
      if (a.tag == Tag::Tensors) {
        node->list_arg_ = target;
        node->list_sizes_ = a.count;
        for (const Tensor& t : a.as_tensors())
          node->edges.push_back(t && is_differentiable(t.dtype()) ? gradient_edge(t) : Edge{});
      } else {
        node->edges.push_back(gradient_edge(a.as_tensor()));
      }
    }
  }
  const Tensor& first = f.outs[0];
  node->values_.resize(static_cast<size_t>(f.count));
  node->versions_.resize(static_cast<size_t>(f.count));
  for (int i = 0; i < f.count; i++) {
    const Arg& a = original[i];
    uint64_t bit = uint64_t(1) << (i + 1);
    if (a.tag == Tag::Tensor) {
      const Tensor& t = a.as_tensor();
      if (used.values & bit) {
        // The tensor that the call changed in place keeps its old history in the saved copy.
        if (f.given && f.outs[0] == t) {
          Tensor old = detach(t);
          if (requires_grad(t)) {
            Edge e = gradient_edge(t);
            if (e.node) set_history(old, e.node, e.slot);
          }
          node->values_[i] = old;
        } else {
          node->values_[i] = t;
        }
        // An in-place write raises the version by one after this; what was saved is what came before it.
        node->versions_[i] = t.version();
      } else if (used.shapes & bit || ((wanted >> i & 1) && (!same_sizes(t.sizes(), first.sizes()) ||
                                                             t.dtype() != first.dtype()))) {
        node->values_[i] = shape_only(t.sizes(), t.dtype());
      }
    } else if (a.tag == Tag::Tensors) {
      if ((used.values | used.shapes) & bit) node->values_[i] = Any::copy(a);
    } else {
      node->values_[i] = Any::copy(a);
    }
  }
  node->outputs = static_cast<uint32_t>(f.outs.size());
  if (rules.list_output) {
    for (size_t i = 0; i < f.outs.size(); i++)
      node->list_likes_.push_back(shape_only(f.outs[i].sizes(), f.outs[i].dtype()));
  } else {
    node->output_values_.resize(f.outs.size());
    node->output_versions_.resize(f.outs.size());
    for (size_t i = 0; i < f.outs.size(); i++) {
      const Tensor& y = f.outs[i];
      uint64_t bit = uint64_t(1) << (1 + f.count + static_cast<int>(i));
      if (used.values & bit) {
        node->output_values_[i] = detach(y);
        node->output_versions_[i] = y.version() + (f.given & 1 && i == 0 ? 1 : 0);
      } else if (used.shapes & bit || f.outs.size() > 1) {
        node->output_values_[i] = shape_only(y.sizes(), y.dtype());
      }
    }
  }
  // Derivatives take the gradient of the first output, or of all parts of a list; further outputs are constants to them.
  for (size_t i = 0; i < (rules.list_output ? f.outs.size() : 1); i++)
    if (is_differentiable(f.outs[i].dtype())) set_history(f.outs[i], keep, static_cast<uint32_t>(i));
}

void autograd_layer(Frame& f, uint32_t rest) {
  const Op& op = f.op;
  if (op.derivative.rows.count == 0) {
    // A composite is differentiated through its parts; an operator without a gradient gives constants.
    if (op.body) return run_op(f);
    LayersOff off(layer::autograd);
    if (op.derivative.none.empty()) {
      for (int i = 0; i < f.count; i++)
        if (wants_gradient(f.args[i]))
          fail_kind(ErrorKind::NotImplemented, f.name(),
                    ": no derivative is defined; use no_grad() or detach() its inputs");
    }
    return dispatch_layers(f, rest);
  }
  const Rules& rules = rules_of(op);
  uint64_t wanted = 0;
  for (const Row& row : rules.rows)
    for (int target : row.targets)
      if (wants_gradient(f.args[target])) wanted |= uint64_t(1) << target;
  if (f.given)
    for (size_t i = 0; i < f.outs.size(); i++)
      if (f.given >> i & 1) {
        bool in_place = f.count > 0 && f.args[0].tag == Tag::Tensor && f.tensor(0) == f.outs[i];
        MOKA_CHECK(in_place || !(wanted || requires_grad(f.outs[i])), f.name(),
                   ": out= does not support gradients; leave it away or use no_grad()");
        if ((wanted || requires_grad(f.outs[i])) && f.outs[i].impl()->view)
          fail_kind(ErrorKind::NotImplemented, f.name(),
                    "_: an in-place change of a view cannot be recorded for gradients; build the result with "
                    "cat, stack, where or scatter");
      }
  {
    LayersOff off(layer::autograd);
    dispatch_layers(f, rest);
  }
  if (wanted) OpNode::record(f, rules, f.args, wanted);
}
#endif
}  // namespace

void install() {
  static std::once_flag once;
  std::call_once(once, [] { set_layer_handler(layer::autograd, autograd_layer); });
}

}  // namespace moka::autograd
