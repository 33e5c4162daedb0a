// backward, grad, modes, and what tensors have of autograd, for Python.
// SPDX-License-Identifier: Apache-2.0
#include "python/bindings/autograd.h"

#include <cstring>
#include <optional>

#include "moka/autograd/autocast.h"
#include "moka/autograd/batch.h"
#include "moka/autograd/engine.h"
#include "python/bindings/arguments.h"
#include "python/bindings/function_node.h"
#include "python/bindings/grad_node.h"

namespace moka::python {

namespace {
using autograd::Edge;
using autograd::Root;

// The error of a failed backward, caused by the forward that it belongs to where anomaly mode knows that.
void set_backward_error() {
  set_python_error();
  std::string trace = autograd::take_failure_trace();
  if (trace.empty()) return;
  PyObject *type, *value, *where;
  PyErr_Fetch(&type, &value, &where);
  PyErr_NormalizeException(&type, &value, &where);
  if (where) PyException_SetTraceback(value, where);
  PyObject* last = Py_NewRef(value);
  while (PyObject* cause = PyException_GetCause(last)) {
    Py_DECREF(last);
    last = cause;
  }
  if (PyObject* forward = PyObject_CallFunction(PyExc_RuntimeError, "s", trace.c_str()))
    PyException_SetCause(last, forward);
  else PyErr_Clear();
  Py_DECREF(last);
  PyErr_Restore(type, value, where);
}

// ---- reading arguments
std::vector<PyObject*> items_of(PyObject* o, PyRef& keep) {
  if (is_tensor(o)) return {o};
  keep = PyRef::steal(PySequence_Fast(o, "expected a Tensor or a sequence of them"));
  if (!keep) throw PythonErrorSet{};
  PyObject** items = PySequence_Fast_ITEMS(keep.get());
  return {items, items + PySequence_Fast_GET_SIZE(keep.get())};
}
// moka.autograd.graph.GradientEdge: a tuple of a node and an output's number.
bool read_edge(PyObject* o, Edge& edge) {
  if (!PyTuple_Check(o) || PyTuple_GET_SIZE(o) < 2 || !is_node(PyTuple_GET_ITEM(o, 0))) return false;
  long slot = PyLong_AsLong(PyTuple_GET_ITEM(o, 1));
  if (slot == -1 && PyErr_Occurred()) throw PythonErrorSet{};
  edge = {Ref<autograd::GradNode>::share(unwrap_node(PyTuple_GET_ITEM(o, 0))), static_cast<uint32_t>(slot)};
  MOKA_CHECK(slot >= 0 && edge.slot < edge.node->outputs, "GradientEdge: ", edge.node->name(), " has ",
             edge.node->outputs, " outputs, there is none with number ", static_cast<int64_t>(slot));
  return true;
}
const Tensor& expect_tensor(PyObject* o, const char* what) {
  MOKA_CHECK_KIND(Type, is_tensor(o), what, ": expected a Tensor, got ", Py_TYPE(o)->tp_name);
  return unwrap(o);
}
std::vector<Tensor> read_tensors(PyObject* o, const char* what, bool may_be_none) {
  std::vector<Tensor> out;
  if (o == Py_None) return out;
  PyRef keep;
  for (PyObject* v : items_of(o, keep))
    out.push_back(v == Py_None && may_be_none ? Tensor() : expect_tensor(v, what));
  return out;
}

std::vector<Root> read_roots(PyObject* roots, PyObject* grads, const char* what) {
  std::vector<Tensor> g = read_tensors(grads, what, true);
  PyRef keep;
  Edge edge;
  bool is_edge = read_edge(roots, edge);
  std::vector<PyObject*> items = is_edge ? std::vector<PyObject*>{roots} : items_of(roots, keep);
  MOKA_CHECK(g.empty() || g.size() == items.size(), what, ": ", items.size(), " outputs but ", g.size(),
             " gradients");
  std::vector<Root> out;
  for (size_t i = 0; i < items.size(); i++) {
    if (read_edge(items[i], edge)) {
      MOKA_CHECK(i < g.size() && g[i], what, ": a gradient must be given for a GradientEdge");
      out.push_back({edge, g[i]});
      continue;
    }
    const Tensor& t = expect_tensor(items[i], what);
    MOKA_CHECK(
        autograd::requires_grad(t) || autograd::is_batched(t), what, ": element ", i, " of tensors, ", t,
        ", does not require grad and does not have a grad_fn: nothing it was computed from requires grad "
        "(was it made under no_grad() or detached?)");
    out.push_back(autograd::root_of(t, g.empty() ? Tensor() : g[i]));
  }
  return out;
}

bool flag(PyObject* o, bool otherwise) {
  if (o == Py_None) return otherwise;
  int on = PyObject_IsTrue(o);
  if (on < 0) throw PythonErrorSet{};
  return on;
}

// Python's lock: small graphs are not worth letting go of it.
struct InterpreterLock final : autograd::HostLock {
  std::optional<GilReleased> released;
  void give_up() override { released.emplace(true); }
};

PyObject* run_backward(std::span<const Root> roots, std::span<const Tensor> inputs,
                       autograd::BackwardOptions options) {
  try {
    InterpreterLock lock;
    options.host = &lock;
    autograd::backward(roots, inputs, options);
  } catch (...) {
    set_backward_error();
    return nullptr;
  }
  Py_RETURN_NONE;
}

// _backward(tensors, gradients, retain_graph, create_graph, inputs)
PyObject* py_backward(PyObject*, PyObject* args) {
  PyObject *tensors, *grads, *retain, *create, *inputs;
  if (!PyArg_ParseTuple(args, "OOOOO", &tensors, &grads, &retain, &create, &inputs)) return nullptr;
  return guarded([&]() -> PyObject* {
    bool create_graph = flag(create, false), retain_graph = flag(retain, create_graph);
    std::vector<Root> roots = read_roots(tensors, grads, "backward");
    std::vector<Tensor> leaves = read_tensors(inputs, "backward", false);
    MOKA_CHECK(inputs == Py_None || !leaves.empty(), "backward: inputs argument cannot be empty");
    return run_backward(roots, leaves, {retain_graph, create_graph});
  });
}

// _grad(outputs, inputs, gradients, retain_graph, create_graph, allow_unused)
// Inside vmap, where outputs and inputs may stand for batches.
std::vector<Tensor> gradients_in_vmap(PyObject* outputs, std::span<PyObject* const> inputs, PyObject* grads,
                                      autograd::BackwardOptions options) {
  std::vector<Tensor> outs, given, xs;
  PyRef keep;
  for (PyObject* o : items_of(outputs, keep)) outs.push_back(expect_tensor(o, "grad"));
  if (grads != Py_None)
    for (PyObject* o : items_of(grads, keep))
      given.push_back(o == Py_None ? Tensor() : expect_tensor(o, "grad"));
  given.resize(outs.size());
  for (PyObject* o : inputs) xs.push_back(expect_tensor(o, "grad"));
  return autograd::gradients_of_batches(outs, given, xs, options);
}

PyObject* py_grad(PyObject*, PyObject* args) {
  PyObject *outputs, *inputs, *grads, *retain, *create, *unused;
  if (!PyArg_ParseTuple(args, "OOOOOO", &outputs, &inputs, &grads, &retain, &create, &unused)) return nullptr;
  return guarded([&]() -> PyObject* {
    bool create_graph = flag(create, false), retain_graph = flag(retain, create_graph);
    PyRef keep;
    std::vector<PyObject*> items = items_of(inputs, keep);
    auto check_used = [&](const std::vector<Tensor>& found) {
      for (size_t i = 0; i < found.size(); i++)
        MOKA_CHECK(found[i] || flag(unused, false), "grad: input ", i,
                   " appears to not have been used to compute the outputs. Set allow_unused=True to get None "
                   "for it");
    };
    if (autograd::batch_levels()) {
      std::vector<Tensor> found = gradients_in_vmap(outputs, items, grads, {retain_graph, create_graph});
      check_used(found);
      return tensor_tuple(found);
    }
    std::vector<Root> roots = read_roots(outputs, grads, "grad");
    std::vector<Edge> edges(items.size());
    for (size_t i = 0; i < items.size(); i++) {
      if (read_edge(items[i], edges[i])) continue;
      const Tensor& t = expect_tensor(items[i], "grad");
      MOKA_CHECK(autograd::requires_grad(t), "grad: input ", i, " (", t, ") does not require grad");
      edges[i] = autograd::gradient_edge(t);
    }
    std::vector<Tensor> found;
    try {
      InterpreterLock lock;
      found = autograd::gradients(roots, edges, {retain_graph, create_graph, &lock});
    } catch (...) {
      set_backward_error();
      return nullptr;
    }
    check_used(found);
    return tensor_tuple(found);
  });
}

// _at_end_of_backward(function): calls it when the running backward has come to its end.
PyObject* py_at_end(PyObject*, PyObject* function) {
  return guarded([&] {
    PyRef keep = PyRef::share(function);
    autograd::at_end_of_backward([keep] {
      GilHeld gil;
      PyRef result = PyRef::steal(PyObject_CallNoArgs(keep.get()));
      if (!result) throw PythonErrorSet{};
    });
    return Py_NewRef(Py_None);
  });
}
PyObject* py_reaches_all(PyObject*, PyObject*) { return PyBool_FromLong(autograd::reaches_all_leaves()); }
PyObject* py_running_task(PyObject*, PyObject*) {
  return PyLong_FromUnsignedLongLong(autograd::running_task());
}

// ---- modes
PyObject* py_is_grad_enabled(PyObject*, PyObject*) { return PyBool_FromLong(autograd::grad_enabled()); }
PyObject* py_set_grad_enabled(PyObject*, PyObject* on) {
  return guarded([&] {
    bool now = flag(on, true), before = autograd::grad_enabled();
    autograd::set_grad_enabled(now);
    return PyBool_FromLong(before);
  });
}
PyObject* py_set_inference(PyObject*, PyObject* on) {
  return guarded([&] { return PyBool_FromLong(std::exchange(inference_mode, flag(on, true))); });
}
PyObject* py_is_inference(PyObject*, PyObject*) { return PyBool_FromLong(inference_mode); }
PyObject* py_set_anomaly(PyObject*, PyObject* args) {
  int on, check_nan;
  if (!PyArg_ParseTuple(args, "pp", &on, &check_nan)) return nullptr;
  PyObject* before = Py_BuildValue("(NN)", PyBool_FromLong(autograd::anomaly_enabled()),
                                   PyBool_FromLong(autograd::anomaly_checks_nan()));
  autograd::set_anomaly(on, check_nan);
  return before;
}

// The program's stack as Python prints it, for anomaly mode.
std::string forward_trace() {
  GilHeld gil;
  PyObject *type, *value, *where;
  PyErr_Fetch(&type, &value, &where);
  std::string text;
  PyRef module = PyRef::steal(PyImport_ImportModule("moka.autograd.modes"));
  PyRef lines = PyRef::steal(module ? PyObject_CallMethod(module.get(), "_program_lines", nullptr) : nullptr);
  if (const char* utf8 = lines ? PyUnicode_AsUTF8(lines.get()) : nullptr) text = utf8;
  PyErr_Clear();
  PyErr_Restore(type, value, where);
  return text;
}

// ---- methods of tensors
PyObject* tensor_backward(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  PyObject* values[4] = {Py_None, Py_None, Py_None, Py_None};
  static const char* const names[] = {"gradient", "retain_graph", "create_graph", "inputs"};
  return guarded([&]() -> PyObject* {
    MOKA_CHECK_KIND(Type, count <= 4, "backward(): takes at most 4 arguments, got ",
                    static_cast<int64_t>(count));
    std::copy(args, args + count, values);
    for (Py_ssize_t k = 0; keywords && k < PyTuple_GET_SIZE(keywords); k++) {
      const char* name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(keywords, k));
      size_t at = 0;
      while (at < 4 && std::strcmp(name, names[at])) at++;
      MOKA_CHECK_KIND(Type, at < 4, "backward(): has no argument '", name, "'");
      MOKA_CHECK_KIND(Type, static_cast<Py_ssize_t>(at) >= count, "backward(): argument '", name,
                      "' was given twice");
      values[at] = args[count + k];
    }
    bool create_graph = flag(values[2], false), retain_graph = flag(values[1], create_graph);
    std::vector<Tensor> inputs = read_tensors(values[3], "backward", false);
    MOKA_CHECK(values[3] == Py_None || !inputs.empty(), "backward: inputs argument cannot be empty");
    Tensor gradient = values[0] == Py_None ? Tensor() : expect_tensor(values[0], "backward");
    Root root = autograd::root_of(unwrap(self), std::move(gradient));
    return run_backward({&root, 1}, inputs, {retain_graph, create_graph});
  });
}
PyObject* tensor_requires_grad_(PyObject* self, PyObject* args, PyObject* keywords) {
  int on = 1;
  static const char* const names[] = {"requires_grad", nullptr};
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "|p:requires_grad_", const_cast<char**>(names), &on))
    return nullptr;
  return guarded([&] {
    autograd::set_requires_grad(unwrap(self), on);
    return Py_NewRef(self);
  });
}
PyObject* tensor_retain_grad(PyObject* self, PyObject*) {
  return guarded([&] {
    autograd::retain_grad(unwrap(self));
    return Py_NewRef(Py_None);
  });
}
PyObject* tensor_retains_grad(PyObject* self, PyObject*) {
  const autograd::GradMeta* m = autograd::meta(unwrap(self));
  return PyBool_FromLong(m && m->retains_grad);
}
PyObject* tensor_register_hook(PyObject* self, PyObject* hook) {
  return guarded([&] {
    PyRef keep = PyRef::share(hook);
    auto kept =
        autograd::add_hook(unwrap(self), [keep](const Tensor& g) { return call_tensor_hook(keep.get(), g); });
    return make_handle([kept] { *kept = nullptr; });
  });
}
PyObject* tensor_after_accumulating(PyObject* self, PyObject* hook) {
  return guarded([&] {
    const Tensor& t = unwrap(self);
    MOKA_CHECK(
        autograd::requires_grad(t) && autograd::is_leaf(t),
        "register_post_accumulate_grad_hook: only leaf tensors that require grad accumulate gradients");
    PyRef keep = PyRef::share(hook);
    auto kept = std::make_shared<std::function<void(const Tensor&)>>([keep](const Tensor& leaf) {
      GilHeld gil;
      PyRef wrapped = PyRef::steal(wrap(leaf));
      PyRef result = PyRef::steal(PyObject_CallOneArg(keep.get(), wrapped.get()));
      if (!result) throw PythonErrorSet{};
    });
    static_cast<autograd::LeafNode*>(autograd::gradient_edge(t).node.get())
        ->after_accumulating.push_back(kept);
    return make_handle([kept] { *kept = nullptr; });
  });
}
PyObject* tensor_detach_(PyObject* self, PyObject*) {
  return guarded([&] {
    autograd::cut_history(unwrap(self));
    return Py_NewRef(self);
  });
}
PyObject* tensor_is_view(PyObject* self, PyObject*) {
  return PyBool_FromLong(unwrap(self).impl()->base != nullptr);
}
PyObject* tensor_is_inference(PyObject* self, PyObject*) {
  return PyBool_FromLong(unwrap(self).impl()->inference);
}
// (node, slot) of the gradient edge, as autograd.graph.get_gradient_edge needs it.
PyObject* tensor_gradient_edge(PyObject* self, PyObject*) {
  return guarded([&] {
    MOKA_CHECK(autograd::requires_grad(unwrap(self)), "get_gradient_edge: the tensor does not require grad");
    return edge_object(autograd::gradient_edge(unwrap(self)));
  });
}
PyObject* tensor_raise_version(PyObject* self, PyObject*) {
  return guarded([&] {
    MOKA_CHECK(!unwrap(self).impl()->inference, "increment_version: inference tensors have no version");
    unwrap(self).raise_version();
    return Py_NewRef(Py_None);
  });
}

template <class F>
PyCFunction as_function(F* f) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(f));
}
PyMethodDef methods[] = {
    {"backward", as_function(tensor_backward), METH_FASTCALL | METH_KEYWORDS,
     "backward(gradient=None, retain_graph=None, create_graph=False, inputs=None): accumulates gradients "
     "into "
     "the leaves, or only into inputs."},
    {"requires_grad_", as_function(tensor_requires_grad_), METH_VARARGS | METH_KEYWORDS,
     "Sets requires_grad; returns the tensor."},
    {"retain_grad", tensor_retain_grad, METH_NOARGS, "Keeps .grad although this is no leaf."},
    {"register_hook", tensor_register_hook, METH_O,
     "Calls a function with each gradient; it may return another. Returns a handle with remove()."},
    {"register_post_accumulate_grad_hook", tensor_after_accumulating, METH_O,
     "Calls a function with this leaf whenever its .grad has been added to. Returns a handle with remove()."},
    {"detach_", tensor_detach_, METH_NOARGS, "Makes this tensor a leaf without a history."},
    {"_is_view", tensor_is_view, METH_NOARGS, "Whether it is a view that follows its base's gradients."},
    {"is_inference", tensor_is_inference, METH_NOARGS, "Whether it was made under inference_mode."},
    {"_gradient_edge", tensor_gradient_edge, METH_NOARGS, nullptr},
    {"_retains_grad", tensor_retains_grad, METH_NOARGS, nullptr},
    {"_raise_version", tensor_raise_version, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr}};
}  // namespace

PyObject* get_grad_fn(PyObject* self, void*) {
  return guarded([&] { return wrap_node(autograd::grad_fn(unwrap(self)).get()); });
}
PyObject* get_base(PyObject* self, void*) {
  TensorImpl* base = unwrap(self).impl()->base;
  return guarded([&] { return wrap(base ? Tensor::share(base) : Tensor()); });
}

// ---- autocast: (enabled, dtype, keeps_weights), replaced by what is given
PyObject* py_set_autocast(PyObject*, PyObject* args) {
  int enabled, keeps;
  PyObject* dtype;
  if (!PyArg_ParseTuple(args, "pOp", &enabled, &dtype, &keeps)) return nullptr;
  return guarded([&]() -> PyObject* {
    const autograd::AutocastMode before = autograd::autocast_mode();
    autograd::AutocastMode mode{enabled != 0, keeps != 0, before.lower};
    if (!to_dtype_value(dtype, mode.lower))
      fail_kind(ErrorKind::Type, "autocast: dtype must be a dtype, got ", Py_TYPE(dtype)->tp_name);
    autograd::set_autocast_mode(mode);
    return Py_BuildValue("(NNN)", PyBool_FromLong(before.enabled), dtype_object(before.lower),
                         PyBool_FromLong(before.keeps_weights));
  });
}
PyObject* py_autocast_mode(PyObject*, PyObject*) {
  return guarded([&] {
    const autograd::AutocastMode mode = autograd::autocast_mode();
    return Py_BuildValue("(NNN)", PyBool_FromLong(mode.enabled), dtype_object(mode.lower),
                         PyBool_FromLong(mode.keeps_weights));
  });
}
PyObject* py_open_autocast(PyObject*, PyObject*) {
  autograd::open_autocast_scope();
  return Py_NewRef(Py_None);
}
PyObject* py_close_autocast(PyObject*, PyObject*) {
  autograd::close_autocast_scope();
  return Py_NewRef(Py_None);
}
PyObject* py_clear_autocast(PyObject*, PyObject*) {
  autograd::clear_autocast_cache();
  return Py_NewRef(Py_None);
}

PyMethodDef autograd_functions[] = {
    {"_set_autocast", py_set_autocast, METH_VARARGS, nullptr},
    {"_autocast_mode", py_autocast_mode, METH_NOARGS, nullptr},
    {"_open_autocast_scope", py_open_autocast, METH_NOARGS, nullptr},
    {"_close_autocast_scope", py_close_autocast, METH_NOARGS, nullptr},
    {"clear_autocast_cache", py_clear_autocast, METH_NOARGS,
     "Drops the weights that autocast keeps converted."},
    {"is_grad_enabled", py_is_grad_enabled, METH_NOARGS, "Whether operations are recorded in this thread."},
    {"_set_grad_enabled", py_set_grad_enabled, METH_O, "Switches recording; returns what it was."},
    {"_set_inference_mode", py_set_inference, METH_O, "Switches inference mode; returns what it was."},
    {"is_inference_mode_enabled", py_is_inference, METH_NOARGS,
     "Whether inference mode is on in this thread."},
    {"_set_anomaly", py_set_anomaly, METH_VARARGS,
     "Switches anomaly mode and its search for NaN; returns both before."},
    {"_backward", py_backward, METH_VARARGS, nullptr},
    {"_grad", py_grad, METH_VARARGS, nullptr},
    {"_at_end_of_backward", py_at_end, METH_O, nullptr},
    {"_backward_reaches_all_leaves", py_reaches_all, METH_NOARGS, nullptr},
    {"_running_backward", py_running_task, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr}};

int init_autograd(PyObject* module) {
  autograd::set_trace_source(forward_trace);
  for (PyMethodDef* m = methods; m->ml_name; m++) {
    PyObject* descriptor = PyDescr_NewMethod(tensor_type, m);
    if (!descriptor || PyDict_SetItemString(tensor_type->tp_dict, m->ml_name, descriptor) < 0) return -1;
    Py_DECREF(descriptor);
  }
  PyType_Modified(tensor_type);
  if (PyModule_AddFunctions(module, function_functions) < 0) return -1;
  return init_grad_node(module) < 0 || init_function_node(module) < 0 ? -1 : 0;
}

}  // namespace moka::python
