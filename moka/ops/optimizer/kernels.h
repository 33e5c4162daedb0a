// Optimizer steps over contiguous memory: each tensor is read and written once.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace moka {

struct SgdStep {
  double lr, momentum, dampening, weight_decay;
  bool nesterov, maximize, first;  // first: the momentum buffer starts as the gradient
};
// momentum may be null.
template <class T>
void sgd_step_loop(const SgdStep& s, int64_t n, T* param, const T* grad, T* momentum);

struct AdamStep {
  double lr, beta1, beta2, eps, weight_decay;
  bool decoupled, maximize;
  double correction1, correction2;  // 1 - beta1^t, sqrt(1 - beta2^t)
};
// most may be null; else it holds the largest average of squares so far (amsgrad).
template <class T>
void adam_step_loop(const AdamStep& s, int64_t n, T* param, const T* grad, T* average, T* squares, T* most);

struct RmspropStep {
  double lr, alpha, eps, weight_decay, momentum;
  bool maximize;
};
// average (of gradients: centered) and momentum may be null.
template <class T>
void rmsprop_step_loop(const RmspropStep& s, int64_t n, T* param, const T* grad, T* squares, T* average,
                       T* momentum);

struct AdagradStep {
  double lr, weight_decay, eps;  // lr: after its decay
  bool maximize;
};
template <class T>
void adagrad_step_loop(const AdagradStep& s, int64_t n, T* param, const T* grad, T* sum);

}  // namespace moka
