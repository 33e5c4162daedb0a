// vmap: tensors that stand for a whole batch, and the layer that runs operators on them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "moka/autograd/engine.h"

namespace moka::autograd {

// What random operators do inside vmap.
enum class Randomness { Error, Different, Same };

// Opens a level for batches of `size`; the innermost level is closed first. of_tangents: only tangents have the batch,
// so that gradients inside need not be one for every element.
int open_batch_level(int64_t size, Randomness randomness, bool of_tangents = false);
void close_batch_level();
int batch_levels();

// The tensor of which the program sees one element: `physical` without its dimension `dim`.
Tensor add_batch(const Tensor& physical, int dim, int level);
// The tensor behind, the batch at dimension `dim`; one that is not batched at this level is expanded.
Tensor remove_batch(const Tensor& t, int dim, int level);
// The level of a batched tensor's outermost batch, 0 for ordinary tensors.
int batch_level(const Tensor& t);
// Of a batched tensor: what lies behind, the batch first.
const Tensor& physical(const Tensor& t);
// A tensor whose first dimension is a batch of `level` as one element of it, and back: the batch first, expanded where
// it has none. Batches of inner levels stay.
Tensor label_batch(const Tensor& t, int level);
Tensor unlabel_batch(const Tensor& t, int level);
// At every open level that `t` is not batched at it becomes so: its gradient is then one for every element.
Tensor add_all_batches(const Tensor& t);
Tensor detach_batched(const Tensor& t);
// gradients() of outputs and with respect to inputs that may be batched: those of each element by itself. Undefined
// where none flows; an undefined entry of `grads` stands for a scalar's 1.
std::vector<Tensor> gradients_of_batches(std::span<const Tensor> outputs, std::span<const Tensor> grads,
                                         std::span<const Tensor> inputs, BackwardOptions options);

}  // namespace moka::autograd
