// Tensors from Python data and back: nested lists, buffers, NumPy, DLPack.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "python/bindings/tensor_object.h"

namespace moka::python {

extern PyMethodDef creation_functions[];  // tensor, as_tensor, from_numpy, from_dlpack, ...
// Nested lists and numbers, anything with a buffer, or another Tensor (copied).
Tensor tensor_from_data(PyObject* data, DType dtype);
Tensor tensor_from_data(PyObject* data);  // type of the data: float -> default, int -> int64, bool -> bool
// Inside vmap a tensor stands for many; `what` names the call that wants one.
void check_not_batched(const Tensor& t, const char* what);
// A capture cannot see what Python does with a number it reads out of a tensor either.
void check_not_capturing(const Tensor& t, const char* what);  // capture.cpp
// Whether a recording runs in which the elements of `t` may be others in another run.
bool is_followed(const Tensor& t);  // capture.cpp
// A recording hears that `t` is a tensor that the program made.
void follow_new(const Tensor& t);  // capture.cpp
// A recording hears that `x` shows from now on what `source` shows.
void follow_geometry(const Tensor& x, const Tensor& source);  // capture.cpp

inline PyCFunction with_keywords(PyCFunctionWithKeywords f) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(f));
}

}  // namespace moka::python
