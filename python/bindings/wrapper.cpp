// The layer that leaves operators to Python, and the making of tensors that stand for a Python object.
// SPDX-License-Identifier: Apache-2.0
#include "python/bindings/wrapper.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <unordered_set>

#include "moka/autograd/history.h"
#include "moka/base/thread_local.h"
#include "moka/schema/body.h"
#include "moka/tensor/meta.h"
#include "python/bindings/classes.h"
#include "python/bindings/graph.h"
#include "python/bindings/tensor_caster.h"

namespace nb = nanobind;

namespace moka::python {

namespace {
// What a wrapper's storage, which has no memory, keeps: all handles show the same class and attributes.
struct StandIn {
  PyRef type, attributes;
  Device device;
};
void drop(Storage* s) { delete static_cast<StandIn*>(s->context); }
StandIn* stand_in(const Tensor& t) {
  Storage* s = t.impl()->storage;
  return s && s->free_data == drop ? static_cast<StandIn*>(s->context) : nullptr;
}

PyObject* handler = nullptr;  // (operator, arguments, given outputs, in place) -> results, or NotImplemented
MOKA_THREAD_LOCAL int modes = 0;
std::unordered_set<std::string>& shown_whole() {
  static auto* names = new std::unordered_set<std::string>;
  return *names;
}

void show_modes(int count) {
  modes = count;
  if (modes) thread_layers.forced |= layer::wrapper;
  else thread_layers.forced &= ~layer::wrapper;
}

void take_results(Frame& f, nb::object found) {
  if (f.given) return;  // they are in the outputs that came
  const Schema& s = info(f.op).schema;
  if (s.outs.empty()) return;
  auto put = [&](size_t i, nb::handle value) {
    if (value.is_none()) return;
    if (!is_tensor(value.ptr()))
      fail_kind(ErrorKind::Type, f.name(), ": __torch_dispatch__ must return a Tensor, got ",
                Py_TYPE(value.ptr())->tp_name);
    f.outs[i] = unwrap(value.ptr());
  };
  if (s.outs.size() == 1 && !s.outs[0].type.list) {
    f.outs.resize(1);
    return put(0, found);
  }
  nb::list all(found);
  f.outs.resize(nb::len(all));
  for (size_t i = 0; i < nb::len(all); i++) put(i, all[i]);
}

void leave_to_python(Frame& f, uint32_t) {
  // Composites are seen by their parts, but those that torch has kernels for.
  if (!handler || (f.op.body && !has_kernels(f.op) && !shown_whole().contains(info(f.op).schema.name)))
    return run_op(f);
  GilHeld gil;
  nb::list args, outs;
  for (int i = 0; i < f.count; i++) args.append(any_to_python(Any::copy(f.args[i])));
  bool in_place = false;
  if (f.given) {
    for (size_t i = 0; i < f.outs.size(); i++) outs.append(nb::steal(wrap(f.outs[i])));
    in_place = f.count && f.args[0].tag == Tag::Tensor && f.outs[0] == f.tensor(0);
  }
  nb::object found;
  {
    LayersOff off(layer::autograd);
    struct NotMeta {  // the wrapper has no memory, but what it stands for may
      int before = std::exchange(meta_bodies, 0);
      ~NotMeta() { meta_bodies = before; }
    } not_meta;
    try {
      found = nb::borrow(handler)(info(f.op).schema.name.c_str(), args, outs, in_place);
    } catch (nb::python_error& e) {
      e.restore();
      throw PythonErrorSet{};
    }
  }
  if (found.is(nb::handle(Py_NotImplemented))) {
    LayersOff off(layer::wrapper);
    return run_op(f);
  }
  take_results(f, std::move(found));
}
}  // namespace

PyObject* wrap_stand_in(const Tensor& t) {
  StandIn* stands = stand_in(t);
  if (!stands) return nullptr;
  PyObject* o = wrap_as(reinterpret_cast<PyTypeObject*>(stands->type.get()), t);
  reinterpret_cast<TensorObject*>(o)->dict = Py_NewRef(stands->attributes.get());
  return o;
}

PyObject* wrapper_number(const Tensor& t) {
  if (!handler || !is_wrapper(t)) return nullptr;
  GilHeld gil;
  nb::list args, outs;
  args.append(nb::steal(wrap(t)));
  LayersOff off(layer::autograd);
  try {
    nb::object found = nb::borrow(handler)("_local_scalar_dense", args, outs, false);
    return found.is(nb::handle(Py_NotImplemented)) ? nullptr : found.release().ptr();
  } catch (nb::python_error& e) {
    e.restore();
    throw PythonErrorSet{};
  }
}

Device shown_device(const Tensor& t) {
  if (__builtin_expect(is_wrapper(t), 0))
    if (StandIn* stands = stand_in(t)) return stands->device;
  return t.device();
}

void bind_wrapper(nb::module_& m) {
  set_layer_handler(layer::wrapper, leave_to_python);
  m.def(
      "_make_wrapper",
      [](nb::handle type, std::vector<int64_t> sizes, nb::object strides, nb::object dtype,
         nb::object device) {
        DType element = default_float();
        Device where{};
        if (!dtype.is_none() && !to_dtype_value(dtype.ptr(), element))
          throw nb::type_error("dtype: expected a dtype");
        if (!device.is_none() && !to_device_value(device.ptr(), where))
          throw nb::type_error("device: expected a device");
        Dims steps = strides.is_none() ? contiguous_strides(sizes) : Dims();
        if (!strides.is_none())
          for (nb::handle step : strides) steps.push_back(nb::cast<int64_t>(step));
        Tensor t = new_strided_tensor(sizes, steps, element, meta_device);
        Storage* s = t.impl()->storage;
        s->context = new StandIn{PyRef::share(type.ptr()), PyRef::steal(PyDict_New()), where};
        s->free_data = drop;
        t.impl()->layers |= layer::wrapper;
        return nb::steal(wrap(t));
      },
      nb::arg("type"), nb::arg("sizes"), nb::arg("strides").none(), nb::arg("dtype").none(),
      nb::arg("device").none(),
      "An object of a subclass of Tensor with sizes and dtype but no elements: its class answers for "
      "operators.");
  m.def(
      "_leave_calls",
      [](nb::handle t) {
        tensor_argument(t.ptr(), "_leave_calls");
        unwrap(t.ptr()).impl()->layers |= layer::wrapper;
      },
      nb::arg("tensor"), "Operators on this tensor, which has elements, are left to its class.");
  m.def(
      "_is_wrapper", [](nb::handle t) { return is_tensor(t.ptr()) && is_wrapper(unwrap(t.ptr())); },
      nb::arg("value"), "Whether operators on the value are left to its class.");
  m.def(
      "_dispatch_handler",
      [](nb::object call, const std::vector<std::string>& whole) {
        shown_whole().insert(whole.begin(), whole.end());
        Py_XSETREF(handler, call.release().ptr());
      },
      nb::arg("call"), nb::arg("whole"),
      "What operators on wrappers, and all under modes, are left to; composites by their parts but those "
      "named.");
  m.def(
      "_dispatch_modes",
      [](int count) {
        int before = modes;
        if (count >= 0) show_modes(count);
        return before;
      },
      nb::arg("count") = -1,
      "How many modes see the operators of this thread; sets it where a count is given.");
  m.def(
      "_without_dispatch",
      [](nb::object call, nb::args args, nb::kwargs keywords) {
        LayersOff off(layer::wrapper);
        return call(*args, **keywords);
      },
      "(function, *args, **kwargs): the call, whose operators are left to nobody.");
}

}  // namespace moka::python
