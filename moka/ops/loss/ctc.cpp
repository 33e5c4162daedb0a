// Connectionist temporal classification (Graves et al. 2006): the probability of a label sequence over all alignments.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "moka/base/parallel.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/elementary/elementary.h"
#include "moka/ops/indexing/indexing.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/loss/terms.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/selecting/selecting.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
constexpr double none_yet = -std::numeric_limits<double>::infinity();

// log_probs [time, batch, classes]; labels of item n are label[start[n] .. start[n] + labels[n]).
struct Ctc {
  Tensor x;
  int64_t time, batch, classes, blank;
  std::vector<int64_t> label, start, steps, labels;
  bool zero_infinity;
};
// Arguments from `first`: log_probs, targets, input_lengths, target_lengths, blank, zero_infinity.
void check_ctc(const Frame& f, int first) {
  const Tensor &x = floating_argument(f, first), &t = tensor_argument(f, first + 1);
  MOKA_CHECK(x.dim() == 3, f.name(), ": log_probs must have shape [time, batch, classes], got ", x.sizes());
  MOKA_CHECK(is_integral(t.dtype()), f.name(), ": targets must be integers, got ", t.dtype());
  int64_t blank = f.integer(first + 4);
  MOKA_CHECK(blank >= 0 && blank < x.size(2), f.name(), ": blank must be in label range: 0 to ",
             x.size(2) - 1, ", got ", blank);
  Dims steps = ints_argument(f, first + 2), labels = ints_argument(f, first + 3);
  size_t batch = static_cast<size_t>(x.size(1));
  MOKA_CHECK(steps.size() == batch, f.name(), ": input_lengths must be of size batch_size ", batch, ", got ",
             steps.size());
  MOKA_CHECK(labels.size() == batch, f.name(), ": target_lengths must be of size batch_size ", batch,
             ", got ", labels.size());
  int64_t total = 0, longest = 0;
  for (size_t i = 0; i < batch; i++) {
    MOKA_CHECK(steps[i] >= 0 && steps[i] <= x.size(0), f.name(), ": input_lengths[", i,
               "] must be between 0 and ", x.size(0), ", got ", steps[i]);
    MOKA_CHECK(labels[i] >= 0, f.name(), ": target_lengths[", i, "] must not be negative, got ", labels[i]);
    total = checked_add(total, labels[i], "ctc");
    longest = std::max(longest, labels[i]);
  }
  MOKA_CHECK(t.dim() == 1 || t.dim() == 2, f.name(), ": targets must be 1-D or 2-D, got shape ", t.sizes());
  if (t.dim() == 1)
    MOKA_CHECK(t.numel() == total, f.name(), ": targets must hold the sum of target_lengths, ", total,
               " labels, got ", t.numel());
  else
    MOKA_CHECK(t.size(0) == x.size(1) && t.size(1) >= longest, f.name(), ": targets must have shape [", batch,
               ", at least ", longest, "], got ", t.sizes());
}
Ctc ctc(const Frame& f, int first) {
  Ctc c;
  c.x = as_contiguous(in_kernel_dtype(f.tensor(first)));
  c.time = c.x.size(0);
  c.batch = c.x.size(1);
  c.classes = c.x.size(2);
  c.blank = f.integer(first + 4);
  c.zero_infinity = f.flag(first + 5);
  Tensor t = as_contiguous(to_dtype(f.tensor(first + 1), DType::I64));
  Dims steps = ints_argument(f, first + 2), labels = ints_argument(f, first + 3);
  c.steps.assign(steps.begin(), steps.end());
  c.labels.assign(labels.begin(), labels.end());
  c.label.assign(t.data<int64_t>(), t.data<int64_t>() + t.numel());
  int64_t at = 0;
  for (int64_t n = 0; n < c.batch; n++) {
    c.start.push_back(t.dim() == 1 ? at : n * t.size(1));
    at += c.labels[static_cast<size_t>(n)];
    for (int64_t k = 0; k < c.labels[static_cast<size_t>(n)]; k++) {
      int64_t v = c.label[static_cast<size_t>(c.start.back() + k)];
      MOKA_CHECK_KIND(Index, v >= 0 && v < c.classes, f.name(), ": a label of item ", n, " is ", v,
                      ", but there are ", c.classes, " classes");
    }
  }
  return c;
}

double log_sum(double a, double b, double c) {
  double high = std::max(a, std::max(b, c));
  if (high == none_yet) return none_yet;
  return high + std::log(std::exp(a - high) + std::exp(b - high) + std::exp(c - high));
}

// One item: blanks around and between its labels make 2 labels + 1 states.
template <class T>
struct Item {
  const Ctc& c;
  int64_t n, steps, states;
  const int64_t* labels;
  Item(const Ctc& c, int64_t n)
      : c(c),
        n(n),
        steps(c.steps[static_cast<size_t>(n)]),
        states(2 * c.labels[static_cast<size_t>(n)] + 1),
        labels(c.label.data() + c.start[static_cast<size_t>(n)]) {}
  int64_t label(int64_t s) const { return s % 2 ? labels[s / 2] : c.blank; }
  double at(int64_t t, int64_t s) const {
    return double(c.x.data<T>()[(t * c.batch + n) * c.classes + label(s)]);
  }
  bool skips(int64_t s) const { return s % 2 && s > 1 && labels[s / 2] != labels[s / 2 - 1]; }

  // alpha[t][s]: log probability of all paths through state s at time t. Returns the loss.
  double forward(std::vector<double>& alpha) const {
    alpha.assign(static_cast<size_t>(std::max<int64_t>(steps, 1) * states), none_yet);
    if (steps == 0) return states == 1 ? 0 : -none_yet;
    alpha[0] = at(0, 0);
    if (states > 1) alpha[1] = at(0, 1);
    for (int64_t t = 1; t < steps; t++) {
      const double* before = alpha.data() + (t - 1) * states;
      double* now = alpha.data() + t * states;
      for (int64_t s = 0; s < states; s++)
        now[s] = log_sum(before[s], s > 0 ? before[s - 1] : none_yet, skips(s) ? before[s - 2] : none_yet) +
                 at(t, s);
    }
    const double* last = alpha.data() + (steps - 1) * states;
    return -log_sum(last[states - 1], states > 1 ? last[states - 2] : none_yet, none_yet);
  }
  // The same from the end.
  void backward(std::vector<double>& beta) const {
    beta.assign(static_cast<size_t>(std::max<int64_t>(steps, 1) * states), none_yet);
    if (steps == 0) return;
    double* last = beta.data() + (steps - 1) * states;
    last[states - 1] = at(steps - 1, states - 1);
    if (states > 1) last[states - 2] = at(steps - 1, states - 2);
    for (int64_t t = steps - 1; t-- > 0;) {
      const double* after = beta.data() + (t + 1) * states;
      double* now = beta.data() + t * states;
      for (int64_t s = 0; s < states; s++)
        now[s] = log_sum(after[s], s + 1 < states ? after[s + 1] : none_yet,
                         s + 2 < states && skips(s + 2) ? after[s + 2] : none_yet) +
                 at(t, s);
    }
  }
};

template <class T>
void losses(const Ctc& c, T* out) {
  parallel_for(0, c.batch, 1, [&](int64_t first, int64_t last) {
    std::vector<double> alpha;
    for (int64_t n = first; n < last; n++) {
      double loss = Item<T>(c, n).forward(alpha);
      out[n] = static_cast<T>(c.zero_infinity && std::isinf(loss) ? 0 : loss);
    }
  });
}
// As in PyTorch the gradient is that of log_softmax's argument: exp(log_probs) - posterior. It is right wherever
// log_probs comes from log_softmax, whose own gradient leaves it unchanged.
template <class T>
void gradient(const Ctc& c, const T* dy, T* out) {
  std::fill_n(out, c.x.numel(), T(0));
  parallel_for(0, c.batch, 1, [&](int64_t first, int64_t last) {
    std::vector<double> alpha, beta, posterior(static_cast<size_t>(c.classes));
    for (int64_t n = first; n < last; n++) {
      Item<T> item(c, n);
      double loss = item.forward(alpha);
      if (c.zero_infinity && std::isinf(loss)) continue;
      item.backward(beta);
      for (int64_t t = 0; t < item.steps; t++) {
        std::fill(posterior.begin(), posterior.end(), none_yet);
        for (int64_t s = 0; s < item.states; s++) {
          double& p = posterior[static_cast<size_t>(item.label(s))];
          p = log_sum(p,
                      alpha[static_cast<size_t>(t * item.states + s)] +
                          beta[static_cast<size_t>(t * item.states + s)],
                      none_yet);
        }
        int64_t at = (t * c.batch + n) * c.classes;
        for (int64_t k = 0; k < c.classes; k++) {
          double x = double(c.x.data<T>()[at + k]);
          out[at + k] =
              static_cast<T>((std::exp(x) - std::exp(posterior[static_cast<size_t>(k)] + loss - x)) * dy[n]);
        }
      }
    }
  });
}

void ctc_shape(Frame& f) {
  check_ctc(f, 0);
  const int64_t sizes[] = {f.tensor(0).size(1)};
  f.output(0, sizes, f.tensor(0).dtype());
}
void ctc_kernel(Frame& f) {
  Ctc c = ctc(f, 0);
  KernelOutput out(f, 0);
  if (c.x.dtype() == DType::F64) losses(c, out.data<double>());
  else losses(c, out.data<float>());
  out.finish();
}
void ctc_backward_shape(Frame& f) {
  floating_argument(f, 0);
  check_ctc(f, 1);
  check_shape(f, 0, Dims{f.tensor(1).size(1)});
  f.output(0, f.tensor(1).sizes(), f.tensor(1).dtype());
}
void ctc_backward_kernel(Frame& f) {
  Ctc c = ctc(f, 1);
  KernelOutput out(f, 0);
  Tensor dy = as_contiguous(to_dtype(f.tensor(0), c.x.dtype()));
  if (c.x.dtype() == DType::F64) gradient(c, dy.data<double>(), out.data<double>());
  else gradient(c, dy.data<float>(), out.data<float>());
  out.finish();
}

// The same gradient in differentiable operators: the steps one after the other, all items and states at once. What
// cannot be reached has the log probability `never`, which no sum brings back.
constexpr double never = -1e30;
Tensor shifted(const Tensor& states, int64_t by) {  // [batch, states], moved to the right (left if negative)
  const int64_t n = states.size(1), size = std::min(std::abs(by), n);
  Tensor gap = full(Dims{states.size(0), size}, never, states.dtype());
  Tensor kept = narrow(states, 1, by > 0 ? int64_t(0) : size, n - size);
  std::vector<Tensor> parts = by > 0 ? std::vector<Tensor>{gap, kept} : std::vector<Tensor>{kept, gap};
  return concat(std::span<const Tensor>(parts), 1);
}
Tensor of_ints(const std::vector<int64_t>& values, int64_t columns) {
  Tensor t = new_tensor(Dims{static_cast<int64_t>(values.size()) / columns, columns}, DType::I64);
  std::copy(values.begin(), values.end(), t.data<int64_t>());
  return t;
}
void ctc_gradient_parts(const Any* in, Any* out) {
  const Tensor &dy = in[0].tensor(), &x = in[1].tensor();
  std::span<const int64_t> steps = in[3].ints(), labels = in[4].ints();
  const int64_t time = x.size(0), batch = x.size(1), blank = in[5].to_int();
  if (time == 0 || batch == 0) {
    out[0] = Any(zeros_like(x));
    return;
  }
  // Where the labels of every item lie among the targets; padded with their first.
  const int64_t longest = *std::max_element(labels.begin(), labels.end()), states = 2 * longest + 1;
  Tensor targets = to(in[2].tensor(), DType::I64);
  const int64_t row = targets.dim() == 2 ? targets.size(1) : 0;
  std::vector<int64_t> place, ends, last;
  int64_t begin = 0;
  for (size_t n = 0; n < labels.size(); begin += row ? row : labels[n], n++) {
    for (int64_t k = 0; k < longest; k++) place.push_back(k < labels[n] ? begin + k : 0);
    ends.push_back(2 * labels[n] + 1);
    last.push_back(steps[n] - 1);
  }
  Tensor own = full(Dims{batch, states}, blank, DType::I64);  // the label of each state
  if (longest) {
    Tensor found =
        reshape(index_select(reshape(targets, Dims{-1}), 0, reshape(of_ints(place, longest), Dims{-1})),
                Dims{batch, longest, 1});
    std::vector<Tensor> pair{found, full(Dims{batch, longest, 1}, blank, DType::I64)};
    own = concat(std::span<const Tensor>(std::vector<Tensor>{
                     full(Dims{batch, 1}, blank, DType::I64),
                     reshape(concat(std::span<const Tensor>(pair), 2), Dims{batch, 2 * longest})}),
                 1);
  }
  const Tensor state = unsqueeze(arange(int64_t(0), states, int64_t(1)), 0);
  const Tensor end = of_ints(ends, 1), final_step = of_ints(last, 1), inside = lt(state, end);
  const Tensor other = ne(own, to(shifted(to(own, DType::F64), 2), DType::I64));
  const Tensor skips = logical_and(logical_and(other, gt(state, 1)), eq(remainder(state, 2), 1));
  auto both = [](const Tensor& a, const Tensor& b) { return logaddexp(a, b); };
  auto at = [&](int64_t t) { return where(inside, gather(select(x, 0, t), 1, own), never); };

  std::vector<Tensor> alpha(static_cast<size_t>(time)), beta(alpha.size());
  for (int64_t t = 0; t < time; t++) {
    Tensor& now = alpha[static_cast<size_t>(t)];
    if (t == 0) {
      now = where(lt(state, 2), at(0), never);
      continue;
    }
    const Tensor& before = alpha[static_cast<size_t>(t - 1)];
    Tensor sum = both(both(before, shifted(before, 1)), where(skips, shifted(before, 2), never));
    // After its last step an item stays as it is.
    now = where(le(full(Dims{}, t, DType::I64), final_step), where(inside, sum + at(t), never), before);
  }
  const Tensor ending = logical_and(ge(state, end - 2), inside);
  const Tensor loss = neg(logsumexp(where(ending, alpha.back(), never), Dims{1}, true));
  const Tensor skips_next = shifted(to(skips, x.dtype()), -2);
  for (int64_t t = time; t-- > 0;) {
    Tensor& now = beta[static_cast<size_t>(t)];
    const Tensor step = full(Dims{}, t, DType::I64), start = where(ending, at(t), never);
    now = start;
    if (t + 1 == time) continue;
    const Tensor& after = beta[static_cast<size_t>(t + 1)];
    Tensor sum = both(both(after, shifted(after, -1)), where(eq(skips_next, 1), shifted(after, -2), never));
    now = where(lt(step, final_step), where(inside, sum + at(t), never), start);
  }
  std::vector<Tensor> rows;
  for (int64_t t = 0; t < time; t++) {
    const size_t k = static_cast<size_t>(t);
    Tensor share = where(inside, exp(alpha[k] + beta[k] + loss - at(t)), 0);
    Tensor posterior = scatter_add(full(Dims{batch, x.size(2)}, 0.0, x.dtype()), 1, own, share);
    Tensor g = (exp(select(x, 0, t)) - posterior) * unsqueeze(dy, 1);
    Tensor counts = le(full(Dims{}, t, DType::I64), final_step);
    if (in[6].to_bool()) counts = logical_and(counts, lt(loss, -never / 2));
    rows.push_back(where(counts, g, 0));
  }
  out[0] = Any(stack(std::span<const Tensor>(rows), 0));
}
}  // namespace

constinit const Op ctc_terms_op{
    .schema =
        "ctc_terms(Tensor log_probs, Tensor targets, int[] input_lengths, int[] target_lengths, int blank=0, "
        "bool "
        "zero_infinity=False) -> Tensor",
    .doc =
        "-log of the probability of each item's label sequence, log_probs [time, batch, classes] being "
        "outputs of "
        "log_softmax.",
    .method = "function",
    .shape = ctc_shape,
    .kernels = {KernelRow{.name = "forward", .run = ctc_kernel}},
    .derivative = {wrt("log_probs",
                       [](auto dy, auto x, auto t, auto steps, auto labels, auto blank, auto zero) {
                         return ctc_backward(dy, x, t, steps, labels, blank, zero);
                       })},
    .onnx = none("ONNX has no such loss"),
    .netdef = none("Caffe2's CTC is an extension"),
    .autocast = Autocast::Float32,
    .samples = {shapes({4, 2, 3}, {2, 1})
                    .in(Domain::Index, 1, 2)
                    .with("input_lengths", {4, 3})
                    .with("target_lengths", {1, 1})
                    .with("blank", 2)
                    .no_gradient(),
                shapes({3, 1, 3}, {2})
                    .in(Domain::Index, 1, 2)
                    .with("input_lengths", {3})
                    .with("target_lengths", {2})
                    .with("blank", 2)
                    .no_gradient()},
};
constinit const Op ctc_backward_op{
    .schema =
        "ctc_backward(Tensor grad, Tensor log_probs, Tensor targets, int[] input_lengths, int[] "
        "target_lengths, int "
        "blank=0, bool zero_infinity=False) -> Tensor",
    .doc = "Gradient of ctc_terms: that of log_softmax's argument, which passes log_softmax unchanged.",
    .method = "function",
    .shape = ctc_backward_shape,
    .kernels = {KernelRow{.name = "forward_backward", .run = ctc_backward_kernel}},
    .body = eager_body(ctc_gradient_parts),
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shapes({2}, {4, 2, 3}, {2, 1})
                    .in(Domain::Index, 2, 2)
                    .with("input_lengths", {4, 3})
                    .with("target_lengths", {1, 1})
                    .with("blank", 2)
                    .no_gradient(),
                shapes({1}, {3, 1, 3}, {2})
                    .in(Domain::Index, 2, 2)
                    .with("input_lengths", {3})
                    .with("target_lengths", {2})
                    .with("blank", 2)
                    .no_gradient()},
};

}  // namespace moka::ops
