// The steps of a recurrent layer, forward and backward.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/recurrent/kernels.h"

#include <algorithm>

#include "moka/base/parallel.h"
#include "moka/ops/kernels/by_isa.h"
#include "moka/ops/kernels/scratch.h"
#include "moka/ops/linear/gemm.h"
#include "moka/ops/number.h"

#define MOKA_TARGET_ISA 0
#include "moka/ops/recurrent/cells_target.h"
#if defined(__x86_64__)
#define MOKA_TARGET_ISA 1
#include "moka/ops/recurrent/cells_target.h"
#define MOKA_TARGET_ISA 2
#include "moka/ops/recurrent/cells_target.h"
#endif

namespace moka {

namespace {
// The steps in the order in which states follow each other.
template <class F>
void each_step(const RnnShape& s, bool reverse, F f) {
  const int64_t steps = static_cast<int64_t>(s.batch.size());
  for (int64_t i = 0; i < steps; i++) f(static_cast<size_t>(reverse ? steps - 1 - i : i));
}
template <class F>
void each_row(const RnnShape& s, int64_t rows, F f) {
  parallel_for(0, rows, 1024 / (s.hidden * s.gates() + 1) + 1, [&](int64_t first, int64_t last) {
    for (int64_t b = first; b < last; b++) f(b);
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
  Scratch<T> state(most * p), cell(lstm ? most * h : 0), u(most * g), m(s.project ? most * h : 0);
  std::copy_n(in.h0, most * p, state.data());
  if (lstm) std::copy_n(in.c0, most * h, cell.data());
  const PackedRight<T> weight(p, g, {in.weight, 1, p}),
      projection(s.project ? h : 0, p, {in.projection, 1, h});
  each_step(s, s.reverse, [&](size_t t) {
    const int64_t rows = s.batch[t], start = s.start[t];
    weight.multiply(rows, {state.data(), p, 1}, u.data(), g, {.column = in.bias});
    each_row(s, rows, [&](int64_t b) {
      const T *a = in.gates + (start + b) * g, *own = u.data() + b * g;
      T *to = state.data() + b * p, *keep = kept + (start + b) * s.kept();
      if (lstm)
        lstm_cell(h, a, own, cell.data() + b * h, keep, cell.data() + b * h,
                  s.project ? m.data() + b * h : to);
      else if (s.kind == CellKind::Gru) gru_cell(h, a, own, to, keep, to);
      else plain_cell(h, s.kind == CellKind::Relu, a, own, to);
    });
    if (s.project) projection.multiply(rows, {m.data(), h, 1}, state.data(), p);
    for (int64_t b = 0; b < rows; b++) {
      T* to = states + (start + b) * s.state();
      std::copy_n(state.data() + b * p, p, to);
      if (lstm) std::copy_n(cell.data() + b * h, h, to + p);
    }
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
  Scratch<T> dh(most * p), dc(lstm ? most * h : 0), dm(s.project ? most * h : 0);
  Scratch<T> before(s.rows() * p), own(gru ? s.rows() * g : 0);
  Scratch<T> m(s.project ? s.rows() * h : 0), dprojected(s.project ? s.rows() * p : 0);
  T* du = gru ? own.data() : out.gates;  // gradient of the state's part of the gates
  std::fill_n(dh.data(), most * p, T(0));
  if (lstm) std::fill_n(dc.data(), most * h, T(0));
  const PackedRight<T> weight(g, p, {in.weight, p, 1}),
      projection(s.project ? p : 0, h, {in.projection, h, 1});
  each_step(s, !s.reverse, [&](size_t t) {
    const int64_t rows = s.batch[t], start = s.start[t];
    // The states before this step: those of a neighbouring step, or the first ones.
    const bool has_neighbour = s.reverse ? t + 1 < s.batch.size() : t > 0;
    const size_t neighbour = s.reverse ? t + 1 : t - 1;
    const int64_t continued = has_neighbour ? std::min(rows, s.batch[neighbour]) : 0;
    auto earlier = [&](int64_t b) { return states + (s.start[neighbour] + b) * s.state(); };
    for (int64_t b = 0; b < rows; b++) {
      std::copy_n(b < continued ? earlier(b) : in.h0 + b * p, p, before.data() + (start + b) * p);
      const T* d = dstates + (start + b) * s.state();
      T* to = dh.data() + b * p;
      for (int64_t j = 0; j < p; j++) to[j] += d[j];
      if (lstm)
        for (int64_t j = 0; j < h; j++) dc[b * h + j] += d[p + j];
    }
    if (s.project) {
      std::copy_n(dh.data(), rows * p, dprojected.data() + start * p);
      projection.multiply(rows, {dh.data(), p, 1}, dm.data(), h);
    }
    each_row(s, rows, [&](int64_t b) {
      T *to = dh.data() + b * p, *da = out.gates + (start + b) * g;
      const T *keep = kept + (start + b) * s.kept(), *now = states + (start + b) * s.state();
      if (lstm)
        lstm_cell(h, s.project ? dm.data() + b * h : to, keep, b < continued ? earlier(b) + p : in.c0 + b * h,
                  now + p, dc.data() + b * h, da, s.project ? m.data() + (start + b) * h : nullptr);
      else if (gru) gru_cell(h, to, keep, before.data() + (start + b) * p, da, own.data() + (start + b) * g);
      else plain_cell(h, s.kind == CellKind::Relu, to, now, da);
    });
    weight.multiply(rows, {du + start * g, g, 1}, dh.data(), p, {.accumulate = gru});
  });
  std::copy_n(dh.data(), most * p, out.h0);
  if (lstm) std::copy_n(dc.data(), most * h, out.c0);
  gemm<T>(g, p, s.rows(), {du, 1, g}, {before.data(), p, 1}, out.weight, p);
  if (out.bias) {
    std::fill_n(out.bias, g, T(0));
    for (int64_t r = 0; r < s.rows(); r++)
      for (int64_t j = 0; j < g; j++) out.bias[j] += du[r * g + j];
  }
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
