// Optimizer steps, shared out over threads.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/optimizer/kernels.h"

#include <cmath>

#include "moka/base/parallel.h"
#include "moka/ops/kernels/by_isa.h"

#define MOKA_TARGET_PAGE "moka/ops/optimizer/kernels_target.h"
#include "moka/ops/kernels/each_target.h"

namespace moka {

namespace {
// Whole vectors a part, so that every split computes every element the same way.
constexpr int64_t unit = 64;
template <class F>
void each_part(int64_t n, F f) {
  parallel_for(0, (n + unit - 1) / unit, 16384 / unit, [&](int64_t first, int64_t last) {
    first *= unit;
    last = last * unit < n ? last * unit : n;
    f(first, last - first);
  });
}
}  // namespace

template <class T>
void sgd_step_loop(const SgdStep& s, int64_t n, T* param, const T* grad, T* momentum) {
  auto run = MOKA_BY_ISA(Steps<T>::run_sgd);
  each_part(n, [&](int64_t at, int64_t count) {
    run(s, count, param + at, grad + at, momentum ? momentum + at : nullptr);
  });
}
template <class T>
void adam_step_loop(const AdamStep& s, int64_t n, T* param, const T* grad, T* average, T* squares, T* most) {
  auto run = MOKA_BY_ISA(Steps<T>::run_adam);
  each_part(n, [&](int64_t at, int64_t count) {
    run(s, count, param + at, grad + at, average + at, squares + at, most ? most + at : nullptr);
  });
}
template <class T>
void rmsprop_step_loop(const RmspropStep& s, int64_t n, T* param, const T* grad, T* squares, T* average,
                       T* momentum) {
  auto run = MOKA_BY_ISA(Steps<T>::run_rmsprop);
  each_part(n, [&](int64_t at, int64_t count) {
    run(s, count, param + at, grad + at, squares + at, average ? average + at : nullptr,
        momentum ? momentum + at : nullptr);
  });
}
template <class T>
void adagrad_step_loop(const AdagradStep& s, int64_t n, T* param, const T* grad, T* sum) {
  auto run = MOKA_BY_ISA(Steps<T>::run_adagrad);
  each_part(n, [&](int64_t at, int64_t count) { run(s, count, param + at, grad + at, sum + at); });
}
template void sgd_step_loop(const SgdStep&, int64_t, float*, const float*, float*);
template void sgd_step_loop(const SgdStep&, int64_t, double*, const double*, double*);
template void adam_step_loop(const AdamStep&, int64_t, float*, const float*, float*, float*, float*);
template void adam_step_loop(const AdamStep&, int64_t, double*, const double*, double*, double*, double*);
template void rmsprop_step_loop(const RmspropStep&, int64_t, float*, const float*, float*, float*, float*);
template void rmsprop_step_loop(const RmspropStep&, int64_t, double*, const double*, double*, double*,
                                double*);
template void adagrad_step_loop(const AdagradStep&, int64_t, float*, const float*, float*);
template void adagrad_step_loop(const AdagradStep&, int64_t, double*, const double*, double*);

}  // namespace moka
