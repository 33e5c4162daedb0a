// Tangents of results: linear operators run on the tangent, formulas use their derivative, all others transpose their
// derivative, which is linear in the gradient that it takes.
// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <unordered_map>

#include "moka/autograd/accumulate.h"
#include "moka/autograd/batch.h"
#include "moka/autograd/forward.h"
#include "moka/autograd/op_node.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/operators.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/schema/reading.h"

namespace moka::autograd {

#ifndef MOKA_PREDICTOR
namespace {
// ---- operators that are linear in an argument, for each by itself
struct Linear {
  uint64_t args = 0;  // bit i: linear in argument i
  int left_out = -1;  // an argument that is added to the result: None in the call with a tangent
};
const Linear* linear_rule(const Op& op) {
  static const std::unordered_map<const Op*, Linear> rules = [] {
    // Linear in the first argument.
    constexpr std::string_view in_first[] = {"sum",
                                             "mean",
                                             "cat",
                                             "stack",
                                             "clone",
                                             "repeat",
                                             "flip",
                                             "gather",
                                             "index_select",
                                             "embedding",
                                             "cumsum",
                                             "tril",
                                             "triu",
                                             "trace",
                                             "im2col",
                                             "col2im",
                                             "avg_pool1d",
                                             "avg_pool2d",
                                             "avg_pool3d",
                                             "adaptive_avg_pool1d",
                                             "adaptive_avg_pool2d",
                                             "adaptive_avg_pool3d",
                                             "pixel_shuffle",
                                             "pixel_unshuffle",
                                             "channel_shuffle",
                                             "resample",
                                             "fft_c2c",
                                             "fft_r2c",
                                             "fft_c2r",
                                             "as_strided_backward",
                                             "diagonal_backward",
                                             "unfold_backward",
                                             "diag_embed",
                                             "slice_backward",
                                             "select_backward",
                                             "narrow_backward",
                                             "strided_part",
                                             "strided_part_backward",
                                             "index_backward",
                                             "embedding_backward",
                                             "mean_backward",
                                             "index_add_zeros",
                                             "take_selected",
                                             "put_selected",
                                             "trace_backward",
                                             "cumsum_backward",
                                             "pad_border"};
    constexpr std::string_view in_first_two[] = {"matmul",
                                                 "mm",
                                                 "bmm",
                                                 "linear",
                                                 "conv1d",
                                                 "conv2d",
                                                 "conv3d",
                                                 "conv_transpose1d",
                                                 "conv_transpose2d",
                                                 "conv_transpose3d",
                                                 "linear_backward_weight",
                                                 "matmul_backward_input",
                                                 "matmul_backward_other",
                                                 "conv1d_backward_input",
                                                 "conv1d_backward_weight",
                                                 "conv2d_backward_input",
                                                 "conv2d_backward_weight",
                                                 "conv3d_backward_input",
                                                 "conv3d_backward_weight"};
    std::unordered_map<const Op*, Linear> made;
    for (std::string_view name : in_first) made[&get_op(name)] = {1, -1};
    for (std::string_view name : in_first_two) {
      const Op& op = get_op(name);
      made[&op] = {3, info(op).schema.find_arg("bias")};
    }
    return made;
  }();
  auto found = rules.find(&op);
  return found == rules.end() ? nullptr : &found->second;
}

// ---- parts
Tensor in_type(const Tensor& t, DType dtype) { return t.dtype() == dtype ? t : to(t, dtype); }
Tensor in_shape(const Tensor& t, std::span<const int64_t> sizes) {
  std::span<const int64_t> have = t.sizes();
  return std::equal(have.begin(), have.end(), sizes.begin(), sizes.end()) ? t : expand(t, sizes);
}
Tensor like(const Tensor& t, const Tensor& out) { return in_shape(in_type(t, out.dtype()), out.sizes()); }
void add_to(Tensor& sum, Tensor t) { sum = sum ? add(sum, t) : std::move(t); }

class Pushed {
 public:
  explicit Pushed(const ForwardCall& call)
      : call_(call), f_(call.frame), rules_(rules_of(f_.op)), results_(f_.outs.size()) {
    for (int i = 0; i < f_.count; i++)
      if (call.of[i] || !call.lists[i].empty()) left_ |= uint64_t(1) << i;
    left_ &= rules_.targets;
  }

  std::vector<Tensor> run() {
    if (const Linear* rule = linear_rule(f_.op)) push_linear(*rule);
    if (left_ && is_real() && f_.outs.size() == 1) {
      if (f_.op.formula) push_derivative(true);
      else if (f_.op.schema.starts_with("softmax(")) push_derivative(false);  // its Jacobian is symmetric
    }
    if (left_) transpose_derivative();
    for (size_t i = 0; i < results_.size(); i++)
      if (results_[i]) results_[i] = like(results_[i], f_.outs[i]);
    return std::move(results_);
  }

 private:
  bool is_real() const {
    bool real = !is_complex(f_.outs[0].dtype());
    for (int i = 0; i < f_.count && real; i++)
      real = f_.args[i].tag == Tag::Floats   ? false
             : f_.args[i].tag == Tag::Tensor ? !is_complex(f_.tensor(i).dtype())
                                             : true;
    return real;
  }

  void push_linear(const Linear& rule) {
    for (uint64_t rest = left_ & rule.args; rest; rest &= rest - 1) {
      const int i = __builtin_ctzll(rest);
      left_ &= ~(uint64_t(1) << i);
      ArgRoom args;
      std::copy(f_.args, f_.args + f_.count, &args[0]);
      if (rule.left_out >= 0) args[rule.left_out] = Arg();
      std::vector<Tensor> list = call_.lists[i];
      for (size_t k = 0; k < list.size(); k++)
        if (!list[k]) list[k] = moka::zeros_like(detach(f_.tensors(i)[k]));
      args[i] = list.empty() ? Arg(call_.of[i]) : Arg(std::span<const Tensor>(list));
      Frame pushed(f_.op, args, f_.count);
      moka::call(pushed);
      add_to(results_[0], pushed.outs[0]);
    }
  }

  // All parameters of the derivatives, but for the gradients.
  std::vector<Any> parameters(bool recorded) const {
    std::vector<Any> in(static_cast<size_t>(rules_.gradients));
    auto kept = [&](const Tensor& t) { return t && !recorded && requires_grad(t) ? detach_from_tape(t) : t; };
    for (int i = 0; i < f_.count; i++) {
      const Arg& a = f_.args[i];
      if (a.tag == Tag::Tensor) {
        in.push_back(Any(kept(f_.tensor(i))));
      } else if (a.tag == Tag::Tensors) {
        std::vector<Tensor> list;
        for (const Tensor& t : a.as_tensors()) list.push_back(kept(t));
        in.push_back(Any(std::span<const Tensor>(list)));
      } else {
        in.push_back(Any::copy(a));
      }
    }
    std::vector<Tensor> outs;
    for (size_t i = 0; i < f_.outs.size(); i++) outs.push_back(kept(f_.outs[i]));
    if (rules_.list_output) in.push_back(Any(std::span<const Tensor>(outs)));
    else
      for (const Tensor& t : outs) in.push_back(Any(t));
    return in;
  }

  // The derivative of a formula is a factor for each element: it takes the tangent as well as a gradient.
  void push_derivative(bool each_element) {
    std::vector<Any> in = parameters(true);
    for (const Row& row : rules_.rows)
      for (size_t k = 0; k < row.targets.size(); k++) {
        const uint64_t bit = uint64_t(1) << row.targets[k];
        if (!(left_ & bit)) continue;
        left_ &= ~bit;
        in[0] = Any(like(call_.of[row.targets[k]], f_.outs[0]));
        std::vector<Any> out(row.targets.size());
        run_derivative(f_.op, row, in.data(), out.data(), !each_element || grad_enabled());
        if (!out[k].is_none()) add_to(results_[0], out[k].tensor());
      }
  }

  bool is_recorded() const {
    bool wanted = false;
    auto look = [&](const Tensor& t) { wanted |= t && requires_grad(t); };
    for (int i = 0; i < f_.count; i++) {
      look(call_.of[i]);
      for (const Tensor& t : call_.lists[i]) look(t);
      if (f_.args[i].tag == Tag::Tensor) look(f_.tensor(i));
      else if (f_.args[i].tag == Tag::Tensors)
        for (const Tensor& t : f_.tensors(i)) look(t);
    }
    return wanted && grad_enabled();
  }

  // <derivative(g), tangent> is linear in g: its own gradient by g is the tangent of the result.
  void transpose_derivative() {
    const bool recorded = is_recorded();
    const uint64_t begin = next_sequence_number();
    GradModeScope mode(true);
    std::vector<Any> in = parameters(recorded);
    std::vector<Tensor> dummies;  // of the outputs that have gradients
    std::vector<size_t> places;
    const size_t gradients = rules_.list_output ? f_.outs.size() : static_cast<size_t>(rules_.gradients);
    std::vector<Tensor> dys(gradients);
    for (size_t i = 0; i < gradients && i < f_.outs.size(); i++) {
      const Tensor& out = f_.outs[i];
      if (!out) continue;
      dys[i] = moka::zeros_like(detach(out));
      if (!is_differentiable(out.dtype())) continue;
      set_requires_grad(dys[i], true);
      dummies.push_back(dys[i]);
      places.push_back(i);
    }
    if (rules_.list_output) in[0] = Any(std::span<const Tensor>(dys));
    else
      for (size_t i = 0; i < gradients; i++) in[i] = Any(dys[i]);

    std::vector<Tensor> found, tangents;
    auto pair = [&](const Tensor& gradient, const Tensor& tangent) {
      if (!gradient || !tangent || !requires_grad(gradient)) return;
      found.push_back(gradient);
      tangents.push_back(like(tangent, gradient));
    };
    for (const Row& row : rules_.rows) {
      bool asked = false;
      for (int target : row.targets) asked |= left_ >> target & 1;
      if (!asked) continue;
      std::vector<Any> out(row.targets.size());
      run_derivative(f_.op, row, in.data(), out.data(), true);
      for (size_t k = 0; k < row.targets.size(); k++) {
        const int target = row.targets[k];
        if (!(left_ >> target & 1) || out[k].is_none()) continue;
        const std::vector<Tensor>& list = call_.lists[target];
        if (list.empty()) pair(out[k].tensor(), call_.of[target]);
        else
          for (size_t i = 0; i < list.size(); i++) pair(out[k].tensors()[i], list[i]);
      }
    }
    left_ = 0;
    if (found.empty()) return;
    BackwardOptions options{.retain_graph = true, .create_graph = recorded, .since = begin};
    std::vector<Tensor> pushed = gradients_of_batches(found, tangents, dummies, options);
    for (size_t i = 0; i < pushed.size(); i++)
      if (pushed[i]) add_to(results_[places[i]], pushed[i]);
  }

  const ForwardCall& call_;
  const Frame& f_;
  const Rules& rules_;
  uint64_t left_ = 0;  // bit i: the tangent of argument i has not been pushed yet
  std::vector<Tensor> results_;
};
}  // namespace

std::vector<Tensor> output_tangents(const ForwardCall& call) {
  const Frame& f = call.frame;
  if (f.op.derivative.rows.count == 0) {
    if (f.op.derivative.none.empty())
      fail_kind(ErrorKind::NotImplemented, "Trying to use forward AD with ", f.name(),
                " that does not support it: no derivative is defined; detach() its inputs");
    return {};
  }
  if (const Rules& rules = rules_of(f.op); !rules.unwritten.empty())
    fail_kind(ErrorKind::NotImplemented, info(f.op).schema.base,
              ": the derivative is not implemented: ", rules.unwritten);
  return Pushed(call).run();
}
#endif

}  // namespace moka::autograd
