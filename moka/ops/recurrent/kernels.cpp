// The steps of a recurrent layer, forward and backward.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/recurrent/kernels.h"

#include <algorithm>
#include <optional>

#include "moka/base/parallel.h"
#include "moka/ops/kernels/by_isa.h"
#include "moka/ops/kernels/scratch.h"
#include "moka/ops/linear/gemm.h"
#include "moka/ops/number.h"
#include "moka/ops/reduction/kernels.h"

#define MOKA_TARGET_PAGE "moka/ops/recurrent/cells_target.h"
#include "moka/ops/kernels/each_target.h"

namespace moka {

namespace {
// The steps in the order in which states follow each other.
template <class F>
void each_step(const RnnShape& s, bool reverse, F f) {
  const int64_t steps = static_cast<int64_t>(s.batch.size());
  for (int64_t i = 0; i < steps; i++) f(static_cast<size_t>(reverse ? steps - 1 - i : i));
}
// The right operand of the steps' products. Weights that the second cache holds are read by every thread, for rows of its
// own over all steps; larger ones, and those of a single row, are shared out over the threads at every step. Which it is
// depends on the shape alone, so that results do not depend on the number of threads.
template <class T>
class StepWeights {
 public:
  StepWeights(const RnnShape& s, int64_t k, int64_t n, MatrixView<T> b)
      : by_rows_(shares_rows(s)), k_(k), n_(n) {
    if (by_rows_) pack_panels<T>(k, n, b, {panels_.emplace(width() * k).data(), k, panel});
    else packed_.emplace(k, n, b);
  }
  static bool shares_rows(const RnnShape& s) {
    const int64_t weights = s.hidden * s.gates() * s.projected;
    return !s.batch.empty() && s.batch[0] > 1 && weights * int64_t(sizeof(T)) <= int64_t(1) << 20;
  }
  // What rows of a result must have room for.
  int64_t width() const { return by_rows_ ? (n_ + panel - 1) / panel * panel : n_; }
  // c[rows, n] = a[rows, k] b + bias, or + c.
  void multiply(int64_t rows, const T* a, int64_t a_row, T* c, const T* bias, bool accumulate = false) const {
    if (!by_rows_)
      return packed_->multiply(rows, {a, a_row, 1}, c, n_, {.column = bias, .accumulate = accumulate});
    const int64_t w = width();
    for (int64_t b = 0; bias && b < rows; b++) std::copy_n(bias, n_, c + b * w);
    gemm_direct<T>(rows, n_, k_, a, a_row, {panels_->data(), k_, panel}, c, w, bias || accumulate);
  }

 private:
  static constexpr int64_t panel = 32;
  bool by_rows_;
  int64_t k_, n_;
  std::optional<Scratch<T>> panels_;
  std::optional<PackedRight<T>> packed_;
};
// f(first, last): rows of a batch that are computed together over all steps.
template <class T, class F>
void each_group(const RnnShape& s, int64_t rows, F f) {
  if (StepWeights<T>::shares_rows(s)) parallel_for(0, rows, 1, f);
  else f(int64_t(0), rows);
}
template <class F>
void each_row(const RnnShape& s, int64_t first, int64_t last, F f) {
  parallel_for(first, last, 1024 / (s.hidden * s.gates() + 1) + 1, [&](int64_t from, int64_t to) {
    for (int64_t b = from; b < to; b++) f(b);
  });
}
}  // namespace

template <class T>
void run_layer(const RnnShape& s, const RnnInputs<T>& in, T* states, T* kept) {
  const int64_t h = s.hidden, p = s.projected, g = s.gates() * h, most = s.batch.empty() ? 0 : s.batch[0];
  const bool lstm = s.kind == CellKind::Lstm;
  auto lstm_cell = MOKA_BY_ISA(Cells<T>::lstm);
  auto gru_cell = MOKA_BY_ISA(Cells<T>::gru);
  auto plain_cell = MOKA_BY_ISA(Cells<T>::plain);
  const StepWeights<T> weight(s, p, g, {in.weight, 1, p}),
      projection(s, s.project ? h : 0, p, {in.projection, 1, h});
  const int64_t gates = weight.width(), width = s.project ? projection.width() : p;
  Scratch<T> state(most * width), cell(lstm ? most * h : 0), u(most * gates), m(s.project ? most * h : 0);
  for (int64_t b = 0; b < most; b++) std::copy_n(in.h0 + b * p, p, state.data() + b * width);
  if (lstm) std::copy_n(in.c0, most * h, cell.data());
  each_group<T>(s, most, [&](int64_t first, int64_t end) {
    each_step(s, s.reverse, [&](size_t t) {
      const int64_t last = std::min(end, s.batch[t]), start = s.start[t];
      if (last <= first) return;
      weight.multiply(last - first, state.data() + first * width, width, u.data() + first * gates, in.bias);
      each_row(s, first, last, [&](int64_t b) {
        const T *a = in.gates + (start + b) * g, *own = u.data() + b * gates;
        T *to = state.data() + b * width, *keep = kept + (start + b) * s.kept();
        if (lstm)
          lstm_cell(h, a, own, cell.data() + b * h, keep, cell.data() + b * h,
                    s.project ? m.data() + b * h : to);
        else if (s.kind == CellKind::Gru) gru_cell(h, a, own, to, keep, to);
        else plain_cell(h, s.kind == CellKind::Relu, a, own, to);
      });
      if (s.project)
        projection.multiply(last - first, m.data() + first * h, h, state.data() + first * width, nullptr);
      for (int64_t b = first; b < last; b++) {
        T* to = states + (start + b) * s.state();
        std::copy_n(state.data() + b * width, p, to);
        if (lstm) std::copy_n(cell.data() + b * h, h, to + p);
      }
    });
  });
}

template <class T>
void run_layer_backward(const RnnShape& s, const RnnInputs<T>& in, const T* dstates, const T* states,
                        const T* kept, const RnnGradients<T>& out) {
  const int64_t h = s.hidden, p = s.projected, g = s.gates() * h, most = s.batch.empty() ? 0 : s.batch[0];
  const bool lstm = s.kind == CellKind::Lstm, gru = s.kind == CellKind::Gru;
  auto lstm_cell = MOKA_BY_ISA(Cells<T>::lstm_backward);
  auto gru_cell = MOKA_BY_ISA(Cells<T>::gru_backward);
  auto plain_cell = MOKA_BY_ISA(Cells<T>::plain_backward);
  const StepWeights<T> weight(s, g, p, {in.weight, p, 1}),
      projection(s, s.project ? p : 0, h, {in.projection, h, 1});
  const int64_t width = weight.width(), inner = s.project ? projection.width() : 0;
  Scratch<T> dh(most * width), dc(lstm ? most * h : 0), dm(most * inner);
  Scratch<T> before(s.rows() * p), own(gru ? s.rows() * g : 0);
  Scratch<T> m(s.project ? s.rows() * h : 0), dprojected(s.project ? s.rows() * p : 0);
  T* du = gru ? own.data() : out.gates;  // gradient of the state's part of the gates
  std::fill_n(dh.data(), most * width, T(0));
  if (lstm) std::fill_n(dc.data(), most * h, T(0));
  each_group<T>(s, most, [&](int64_t first, int64_t end) {
    each_step(s, !s.reverse, [&](size_t t) {
      const int64_t last = std::min(end, s.batch[t]), start = s.start[t];
      if (last <= first) return;
      // The states before this step: those of a neighbouring step, or the first ones.
      const bool has_neighbour = s.reverse ? t + 1 < s.batch.size() : t > 0;
      const size_t neighbour = s.reverse ? t + 1 : t - 1;
      const int64_t continued = has_neighbour ? s.batch[neighbour] : 0;
      auto earlier = [&](int64_t b) { return states + (s.start[neighbour] + b) * s.state(); };
      for (int64_t b = first; b < last; b++) {
        std::copy_n(b < continued ? earlier(b) : in.h0 + b * p, p, before.data() + (start + b) * p);
        const T* d = dstates + (start + b) * s.state();
        T* to = dh.data() + b * width;
        for (int64_t j = 0; j < p; j++) to[j] += d[j];
        if (lstm)
          for (int64_t j = 0; j < h; j++) dc[b * h + j] += d[p + j];
        if (s.project) std::copy_n(to, p, dprojected.data() + (start + b) * p);
      }
      if (s.project)
        projection.multiply(last - first, dh.data() + first * width, width, dm.data() + first * inner,
                            nullptr);
      each_row(s, first, last, [&](int64_t b) {
        T *to = dh.data() + b * width, *da = out.gates + (start + b) * g;
        const T *keep = kept + (start + b) * s.kept(), *now = states + (start + b) * s.state();
        if (lstm)
          lstm_cell(h, s.project ? dm.data() + b * inner : to, keep,
                    b < continued ? earlier(b) + p : in.c0 + b * h, now + p, dc.data() + b * h, da,
                    s.project ? m.data() + (start + b) * h : nullptr);
        else if (gru)
          gru_cell(h, to, keep, before.data() + (start + b) * p, da, own.data() + (start + b) * g);
        else plain_cell(h, s.kind == CellKind::Relu, to, now, da);
      });
      weight.multiply(last - first, du + (start + first) * g, g, dh.data() + first * width, nullptr, gru);
    });
  });
  for (int64_t b = 0; b < most; b++) std::copy_n(dh.data() + b * width, p, out.h0 + b * p);
  if (lstm) std::copy_n(dc.data(), most * h, out.c0);
  gemm<T>(g, p, s.rows(), {du, 1, g}, {before.data(), p, 1}, out.weight, p);
  if (out.bias) reduce<T>(Reduce::Sum, 1, s.rows(), g, du, out.bias);
  if (out.projection) gemm<T>(p, h, s.rows(), {dprojected.data(), 1, p}, {m.data(), h, 1}, out.projection, h);
}

#define MOKA_INSTANTIATE(T)                                                                            \
  template void run_layer(const RnnShape&, const RnnInputs<T>&, T*, T*);                               \
  template void run_layer_backward(const RnnShape&, const RnnInputs<T>&, const T*, const T*, const T*, \
                                   const RnnGradients<T>&);
MOKA_INSTANTIATE(float)
MOKA_INSTANTIATE(double)
#undef MOKA_INSTANTIATE

}  // namespace moka
