// Nodes of the tape and handles of hooks as Python objects.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "moka/autograd/node.h"
#include "python/bindings/tensor_object.h"

namespace moka::python {

// A new reference; the same object for the same node as long as Python holds it. None for null.
PyObject* wrap_node(autograd::GradNode* n);
bool is_node(PyObject* o);
autograd::GradNode* unwrap_node(PyObject* o);
// Where an edge leads, as PyTorch shows it: (node, slot).
PyObject* edge_object(const autograd::Edge& e);

// An object whose remove() calls `remove` once.
PyObject* make_handle(std::function<void()> remove);
// A tuple of tensors, None where undefined.
PyObject* tensor_tuple(std::span<const Tensor> tensors);
// Calls a hook with one gradient; what it returns must have the gradient's shape and type. Undefined for None.
Tensor call_tensor_hook(PyObject* hook, const Tensor& gradient);

// What custom functions keep: attributes that their node does not have are looked up there. New reference or null.
PyObject* function_context(autograd::GradNode* n);

int init_grad_node(PyObject* module);

}  // namespace moka::python
