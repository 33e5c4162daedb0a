// Nodes of the tape and handles of hooks as Python objects.
// SPDX-License-Identifier: Apache-2.0
#include "python/bindings/grad_node.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>

#include "moka/autograd/op_node.h"
#include "python/bindings/arguments.h"
#include "python/bindings/classes.h"
#include "python/bindings/graph.h"

namespace moka::python {

using autograd::GradNode;

namespace {
struct NodeObject {
  PyObject_HEAD GradNode* node;
  PyObject* notes;  // .metadata
};
struct HandleObject {
  PyObject_HEAD std::function<void()>* remove;
};
PyTypeObject* node_type;
PyTypeObject* handle_type;

NodeObject* object_of(PyObject* o) { return reinterpret_cast<NodeObject*>(o); }

void node_dealloc(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  GradNode* n = unwrap_node(o);
  Py_XDECREF(object_of(o)->notes);
  n->extras->python = nullptr;
  autograd::release(n);
  type->tp_free(o);
  Py_DECREF(type);
}
// Programs for PyTorch know nodes of operators as AddBackward0.
std::string shown_name(GradNode* n) {
  bool numbered = shown_module == "torch" && dynamic_cast<autograd::OpNode*>(n);
  return n->name() + (numbered ? "0" : "");
}
PyObject* node_repr(PyObject* o) {
  return PyUnicode_FromFormat("<%s object at %p>", shown_name(unwrap_node(o)).c_str(), static_cast<void*>(o));
}
PyObject* node_name(PyObject* o, PyObject*) {
  return PyUnicode_FromString(shown_name(unwrap_node(o)).c_str());
}
// There each kind of node is a type of its own, whose name programs read.
PyTypeObject* type_of_node(GradNode* n) {
  static std::map<std::string, PyTypeObject*> types;
  if (shown_module != "torch") return node_type;
  auto [at, fresh] = types.try_emplace("torch.autograd." + shown_name(n), nullptr);
  if (fresh) {
    static PyType_Slot slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(node_dealloc)}, {0, nullptr}};
    PyType_Spec spec{at->first.c_str(), sizeof(NodeObject), 0,
                     Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
    PyRef bases = PyRef::steal(PyTuple_Pack(1, node_type));
    at->second = reinterpret_cast<PyTypeObject*>(PyType_FromSpecWithBases(&spec, bases.get()));
    if (!at->second) PyErr_Clear();
  }
  return at->second ? at->second : node_type;
}
PyObject* node_next(PyObject* o, void*) {
  GradNode* n = unwrap_node(o);
  PyObject* tuple = PyTuple_New(static_cast<Py_ssize_t>(n->edges.size()));
  for (size_t i = 0; tuple && i < n->edges.size(); i++)
    PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i), edge_object(n->edges[i]));
  return tuple;
}
PyObject* node_metadata(PyObject* o, void*) {
  if (!object_of(o)->notes && !(object_of(o)->notes = PyDict_New())) return nullptr;
  return Py_NewRef(object_of(o)->notes);
}
PyObject* node_sequence(PyObject* o, PyObject*) {
  return PyLong_FromUnsignedLongLong(unwrap_node(o)->sequence);
}

// Replaces gradients by what a hook returned: None, or a tuple (or one tensor) of as many.
void take_replacements(PyObject* result, std::span<Tensor> gradients, const char* hook) {
  if (result == Py_None) return;
  PyRef list = is_tensor(result) ? PyRef::steal(PyTuple_Pack(1, result)) : PyRef::share(result);
  MOKA_CHECK_KIND(Type, PyTuple_Check(list.get()), hook, ": expected None or a tuple of Tensors, got ",
                  Py_TYPE(result)->tp_name);
  Py_ssize_t n = PyTuple_GET_SIZE(list.get());
  MOKA_CHECK(static_cast<size_t>(n) == gradients.size(), hook,
             " hook has returned an incorrect number of values (got ", static_cast<int64_t>(n),
             ", but expected ", gradients.size(), ")");
  for (Py_ssize_t i = 0; i < n; i++) {
    PyObject* g = PyTuple_GET_ITEM(list.get(), i);
    MOKA_CHECK_KIND(Type, g == Py_None || is_tensor(g), hook, ": expected Tensors or None, got ",
                    Py_TYPE(g)->tp_name);
    gradients[static_cast<size_t>(i)] = g == Py_None ? Tensor() : unwrap(g);
  }
}

template <class Function, class List>
PyObject* add_node_hook(List& list, Function call) {
  auto kept = std::make_shared<Function>(std::move(call));
  list.push_back(kept);
  return make_handle([kept] { *kept = nullptr; });
}
PyObject* node_register_hook(PyObject* o, PyObject* hook) {
  PyRef keep = PyRef::share(hook);
  std::function<autograd::AfterHook> call = [keep](std::span<Tensor> dxs, std::span<const Tensor> dys) {
    GilHeld gil;
    PyRef into = PyRef::steal(tensor_tuple(dxs)), from = PyRef::steal(tensor_tuple(dys));
    PyRef result = PyRef::steal(PyObject_CallFunctionObjArgs(keep.get(), into.get(), from.get(), nullptr));
    if (!result) throw PythonErrorSet{};
    take_replacements(result.get(), dxs, "Node.register_hook");
  };
  return add_node_hook(unwrap_node(o)->make_extras().after, std::move(call));
}
PyObject* node_register_prehook(PyObject* o, PyObject* hook) {
  PyRef keep = PyRef::share(hook);
  std::function<autograd::BeforeHook> call = [keep](std::span<Tensor> dys) {
    GilHeld gil;
    PyRef from = PyRef::steal(tensor_tuple(dys));
    PyRef result = PyRef::steal(PyObject_CallOneArg(keep.get(), from.get()));
    if (!result) throw PythonErrorSet{};
    take_replacements(result.get(), dys, "Node.register_prehook");
  };
  return add_node_hook(unwrap_node(o)->make_extras().before, std::move(call));
}

// _saved_NAME: what an operator's node keeps of an argument or result.
PyObject* saved_attribute(autograd::OpNode& n, std::string_view name) {
  const Schema& s = info(n.op()).schema;
  if (name == "self" && s.find_arg("self") < 0) name = "input";
  int at = s.find_arg(name);
  if (at < 0 && name == "result") at = n.rules().args;
  for (size_t i = 0; at < 0 && i < s.outs.size(); i++)
    if (s.outs[i].name == name) at = n.rules().args + static_cast<int>(i);
  return at < 0 ? nullptr : any_to_python(n.saved(n.rules().gradients + at)).release().ptr();
}
PyObject* node_getattr(PyObject* o, PyObject* key) {
  PyObject* found = PyObject_GenericGetAttr(o, key);
  if (found || !PyErr_ExceptionMatches(PyExc_AttributeError)) return found;
  GradNode* n = unwrap_node(o);
  if (PyObject* context = function_context(n)) {
    PyErr_Clear();
    found = PyObject_GetAttr(context, key);
    Py_DECREF(context);
    return found;
  }
  const char* name = PyUnicode_AsUTF8(key);
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  try {
    if (auto* leaf = dynamic_cast<autograd::LeafNode*>(n); leaf && !std::strcmp(name, "variable"))
      found = wrap(leaf->leaf());
    if (auto* op = dynamic_cast<autograd::OpNode*>(n); op && !std::strncmp(name, "_saved_", 7))
      found = saved_attribute(*op, name + 7);
  } catch (...) {
    set_python_error();
  }
  if (found || PyErr_Occurred()) {
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
  } else {
    PyErr_Restore(type, value, trace);
  }
  return found;
}

PyMethodDef node_methods[] = {
    {"name", node_name, METH_NOARGS, "What made the tensor: an operator or a custom function."},
    {"register_hook", node_register_hook, METH_O,
     "Calls hook(grad_inputs, grad_outputs) after the node ran; a tuple replaces grad_inputs. Returns a "
     "handle."},
    {"register_prehook", node_register_prehook, METH_O,
     "Calls hook(grad_outputs) before the node runs; a tuple replaces them. Returns a handle."},
    {"_sequence_nr", node_sequence, METH_NOARGS, "Later nodes have larger numbers."},
    {nullptr, nullptr, 0, nullptr}};
PyGetSetDef node_getset[] = {
    {"next_functions", node_next, nullptr, "Where gradients go: (node, slot) for each input.", nullptr},
    {"metadata", node_metadata, nullptr, "A dictionary for notes, as long as this object lives.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

// ---- handles
void handle_dealloc(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  delete reinterpret_cast<HandleObject*>(o)->remove;
  type->tp_free(o);
  Py_DECREF(type);
}
PyObject* handle_remove(PyObject* o, PyObject*) {
  auto* h = reinterpret_cast<HandleObject*>(o);
  if (auto* remove = std::exchange(h->remove, nullptr)) {
    (*remove)();
    delete remove;
  }
  Py_RETURN_NONE;
}
PyObject* handle_enter(PyObject* o, PyObject*) { return Py_NewRef(o); }
PyObject* handle_exit(PyObject* o, PyObject*) { return handle_remove(o, nullptr); }
PyMethodDef handle_methods[] = {
    {"remove", handle_remove, METH_NOARGS, "Takes the hook away; doing it twice is harmless."},
    {"__enter__", handle_enter, METH_NOARGS, nullptr},
    {"__exit__", handle_exit, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr}};
}  // namespace

bool is_node(PyObject* o) { return PyObject_TypeCheck(o, node_type); }
GradNode* unwrap_node(PyObject* o) { return object_of(o)->node; }

PyObject* wrap_node(GradNode* n) {
  if (!n) Py_RETURN_NONE;
  void*& known = n->make_extras().python;
  if (known) return Py_NewRef(static_cast<PyObject*>(known));
  PyTypeObject* type = type_of_node(n);
  PyObject* o = type->tp_alloc(type, 0);
  if (!o) return nullptr;
  autograd::add_ref(n);
  object_of(o)->node = n;
  known = o;
  return o;
}
PyObject* edge_object(const autograd::Edge& e) {
  return Py_BuildValue("(NI)", wrap_node(e.node.get()), e.slot);
}

PyObject* make_handle(std::function<void()> remove) {
  PyObject* o = handle_type->tp_alloc(handle_type, 0);
  if (o) reinterpret_cast<HandleObject*>(o)->remove = new std::function<void()>(std::move(remove));
  return o;
}

PyObject* tensor_tuple(std::span<const Tensor> tensors) {
  PyObject* tuple = PyTuple_New(static_cast<Py_ssize_t>(tensors.size()));
  for (size_t i = 0; tuple && i < tensors.size(); i++)
    PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i), wrap(tensors[i]));
  return tuple;
}

Tensor call_tensor_hook(PyObject* hook, const Tensor& gradient) {
  GilHeld gil;
  PyRef wrapped = PyRef::steal(wrap(gradient));
  PyRef result = PyRef::steal(PyObject_CallOneArg(hook, wrapped.get()));
  if (!result) throw PythonErrorSet{};
  if (result.get() == Py_None) return {};
  MOKA_CHECK_KIND(Type, is_tensor(result.get()), "hook: expected a Tensor or None, got ",
                  Py_TYPE(result.get())->tp_name);
  Tensor out = unwrap(result.get());
  std::span<const int64_t> sizes = gradient.sizes();
  MOKA_CHECK(std::equal(sizes.begin(), sizes.end(), out.sizes().begin(), out.sizes().end()) &&
                 out.dtype() == gradient.dtype(),
             "hook: the gradient is ", gradient, ", a hook returned ", out, " for it");
  return out;
}

int init_grad_node(PyObject* module) {
  static PyType_Slot node_slots[] = {
      {Py_tp_dealloc, reinterpret_cast<void*>(node_dealloc)},
      {Py_tp_repr, reinterpret_cast<void*>(node_repr)},
      {Py_tp_getattro, reinterpret_cast<void*>(node_getattr)},
      {Py_tp_methods, node_methods},
      {Py_tp_getset, node_getset},
      {Py_tp_doc, const_cast<char*>("A recorded operation: computes gradients of its "
                                    "inputs from those of its outputs.")},
      {0, nullptr}};
  static PyType_Spec node_spec{"moka.autograd.graph.Node", sizeof(NodeObject), 0,
                               Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                               node_slots};
  static PyType_Slot handle_slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(handle_dealloc)},
                                       {Py_tp_methods, handle_methods},
                                       {Py_tp_doc, const_cast<char*>("Takes a hook away.")},
                                       {0, nullptr}};
  static PyType_Spec handle_spec{"moka.utils.hooks.RemovableHandle", sizeof(HandleObject), 0,
                                 Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, handle_slots};
  node_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&node_spec));
  handle_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&handle_spec));
  if (!node_type || !handle_type) return -1;
  return PyModule_AddObjectRef(module, "Node", reinterpret_cast<PyObject*>(node_type)) < 0 ||
                 PyModule_AddObjectRef(module, "_RemovableHandle", reinterpret_cast<PyObject*>(handle_type)) <
                     0
             ? -1
             : 0;
}

}  // namespace moka::python
