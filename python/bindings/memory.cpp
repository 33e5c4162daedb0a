// Memory for Python: DLPack both ways, operations that change what a tensor object shows, promotion of types.
// SPDX-License-Identifier: Apache-2.0
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "moka/autograd/history.h"
#include "moka/ops/kernels/memory_format.h"
#include "moka/tensor/dlpack.h"
#include "moka/tensor/geometry.h"
#include "moka/tensor/meta.h"
#include "python/bindings/arguments.h"
#include "python/bindings/classes.h"
#include "python/bindings/convert.h"
#include "python/bindings/modules.h"
#include "python/bindings/tensor_caster.h"

namespace nb = nanobind;

namespace moka::python {

namespace {
constexpr const char* managed_name = "dltensor";
constexpr const char* versioned_name = "dltensor_versioned";

// A capsule that nobody took gives its structure back.
template <class M>
PyObject* capsule(M* m, const char* name) {
  PyObject* o = PyCapsule_New(m, name, [](PyObject* self) {
    const char* own = std::is_same_v<M, dlpack::Managed> ? managed_name : versioned_name;
    if (!PyCapsule_IsValid(self, own)) return;  // taken: renamed
    M* left = static_cast<M*>(PyCapsule_GetPointer(self, own));
    if (left->deleter) left->deleter(left);
  });
  if (!o) {
    m->deleter(m);
    throw nb::python_error();
  }
  return o;
}
nb::object to_dlpack(const Tensor& t, bool versioned, bool copied) {
  check_not_capturing(t, "dlpack");
  if (versioned) return nb::steal(capsule(dlpack::to_versioned(t, copied), versioned_name));
  return nb::steal(capsule(dlpack::to_managed(t), managed_name));
}
Tensor from_dlpack(nb::handle given) {
  PyObject* o = given.ptr();
  // Renamed before it is read: reading takes ownership even when it fails.
  if (PyCapsule_IsValid(o, versioned_name)) {
    auto* v = static_cast<dlpack::Versioned*>(PyCapsule_GetPointer(o, versioned_name));
    PyCapsule_SetName(o, "used_dltensor_versioned");
    return dlpack::from_versioned(v);
  }
  if (PyCapsule_IsValid(o, managed_name)) {
    auto* m = static_cast<dlpack::Managed*>(PyCapsule_GetPointer(o, managed_name));
    PyCapsule_SetName(o, "used_dltensor");
    return dlpack::from_managed(m);
  }
  throw nb::type_error("from_dlpack: expected an object with __dlpack__ or an unused DLPack capsule");
}

// x.t_() and its like: x is from now on what the view operator made of it.
void become(const Tensor& x, const Tensor& result, const std::string& name) {
  autograd::check_writable(x, name);
  if (autograd::grad_enabled()) autograd::check_rebase(x, name, false);
  x.raise_version();
  if (x == result) return;
  MOKA_CHECK(x.has_storage() && result.impl()->storage == x.impl()->storage, name, ": the result is no view");
  follow_geometry(x, result);
  if (autograd::requires_grad(result)) {
    autograd::Edge edge = autograd::gradient_edge(result);
    take_geometry(x, result);
    autograd::set_history(x, edge.node, edge.slot);
    return;
  }
  take_geometry(x, result);
}

void resize(const Tensor& x, const std::vector<int64_t>& sizes, std::optional<std::string> format) {
  MOKA_CHECK(!autograd::requires_grad(x), "resize_: cannot resize variables that require grad");
  autograd::check_writable(x, "resize_");
  if (!format && std::equal(sizes.begin(), sizes.end(), x.sizes().begin(), x.sizes().end())) return;
  std::string_view order = format ? std::string_view(*format) : "contiguous_format";
  for (int64_t s : sizes) MOKA_CHECK(s >= 0, "resize_: Trying to create tensor with negative dimension ", s);
  int64_t n = checked_numel(sizes, "resize_"), offset = x.impl()->offset;
  Dims strides = format_strides(order, std::span<const int64_t>(sizes), "resize_");
  size_t item = item_size(x.dtype());
  size_t needed = static_cast<size_t>(
      checked_mul(checked_add(offset, n, "resize_"), static_cast<int64_t>(item), "resize_"));
  if (n > 0 && needed > x.impl()->storage->bytes) {
    // Larger memory with the old elements in front; tensors that shared the old memory keep it.
    Tensor wide = new_tensor(sizes, x.dtype(), x.device());
    size_t old =
        x.impl()->storage->bytes - std::min(x.impl()->storage->bytes, static_cast<size_t>(offset) * item);
    if (old && !is_meta(x)) std::memcpy(wide.raw_data(), x.raw_data(), std::min(old, wide.bytes()));
    return take_geometry(x, strided_view(wide, sizes, strides, 0));
  }
  take_geometry(x, strided_view(x, sizes, strides, n ? offset : 0));
}

// x.set_(...): x shows other elements from now on, of another tensor's memory.
void show_other(const Tensor& x, const Tensor& source) {
  MOKA_CHECK(!autograd::requires_grad(x) || !autograd::grad_enabled(),
             "set_: variables that require grad cannot show other memory while gradients are recorded");
  MOKA_CHECK(x.dtype() == source.dtype(), "set_: the tensor has type ", x.dtype(), " but the source ",
             source.dtype());
  follow_geometry(x, source);
  take_geometry(x, source);
}
}  // namespace

void bind_memory(nb::module_& m) {
  m.def("_to_dlpack", to_dlpack, nb::arg("tensor"), nb::arg("versioned"), nb::arg("copied"));
  m.def("_from_dlpack", from_dlpack, nb::arg("capsule"));
  m.def("_become", become, nb::arg("tensor"), nb::arg("result"), nb::arg("name"));
  m.def("_resize", resize, nb::arg("tensor"), nb::arg("sizes"), nb::arg("memory_format") = nb::none());
  m.def("_show_module", [](std::string name) { shown_module = std::move(name); }, nb::arg("name"));
  m.def("_set", show_other, nb::arg("tensor"), nb::arg("source"));
  m.def("_storage_bytes", [](const Tensor& t) { return t.has_storage() ? t.impl()->storage->bytes : 0; });
  m.def("_is_in_format", [](const Tensor& t, const std::string& format) {
    format_strides(format == "channels_last" || format == "channels_last_3d" ? "contiguous_format" : format,
                   t.sizes(), "is_contiguous");  // names that do not exist are an error
    return is_in_format(format, t);
  });
  m.def("_promote_types", [](nb::handle a, nb::handle b) {
    DType x, y;
    if (!to_dtype_value(a.ptr(), x) || !to_dtype_value(b.ptr(), y))
      throw nb::type_error("promote_types: expected two dtypes");
    return nb::steal(dtype_object(promote(x, y)));
  });
}

}  // namespace moka::python
