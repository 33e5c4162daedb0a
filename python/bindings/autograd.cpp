// backward, grad, hooks, modes and custom functions for Python.
// SPDX-License-Identifier: Apache-2.0
#include "python/bindings/autograd.h"

#include "moka/autograd/node.h"
#include "moka/ops/pointwise/pointwise.h"
#include "python/bindings/arguments.h"

namespace moka::python {

namespace {
using autograd::GradNode;

// ---- grad_fn
struct NodeObject {
  PyObject_HEAD GradNode* node;
};
PyTypeObject* node_type;

PyObject* wrap_node(GradNode* n) {
  NodeObject* o = reinterpret_cast<NodeObject*>(node_type->tp_alloc(node_type, 0));
  if (!o) return nullptr;
  autograd::add_ref(n);
  o->node = n;
  return reinterpret_cast<PyObject*>(o);
}
GradNode* node_of(PyObject* o) { return reinterpret_cast<NodeObject*>(o)->node; }
void node_dealloc(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  autograd::release(node_of(o));
  type->tp_free(o);
  Py_DECREF(type);
}
PyObject* node_repr(PyObject* o) { return PyUnicode_FromFormat("<%s>", node_of(o)->name().c_str()); }
PyObject* node_name(PyObject* o, PyObject*) { return PyUnicode_FromString(node_of(o)->name().c_str()); }
PyObject* node_next(PyObject* o, void*) {
  GradNode* n = node_of(o);
  PyObject* tuple = PyTuple_New(static_cast<Py_ssize_t>(n->edges.size()));
  for (size_t i = 0; i < n->edges.size(); i++) {
    const autograd::Edge& e = n->edges[i];
    PyObject* target = e.node ? wrap_node(e.node.get()) : e.leaf ? wrap(e.leaf) : Py_NewRef(Py_None);
    PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i), Py_BuildValue("(NI)", target, e.slot));
  }
  return tuple;
}
PyMethodDef node_methods[] = {{"name", node_name, METH_NOARGS, "The operator's name."},
                              {nullptr, nullptr, 0, nullptr}};
PyGetSetDef node_getset[] = {{"next_functions", node_next, nullptr,
                              "Where gradients go: (node or leaf, slot) for each input.", nullptr},
                             {nullptr, nullptr, nullptr, nullptr, nullptr}};

// ---- hooks
Tensor call_hook(PyObject* hook, const Tensor& g) {
  GilHeld gil;
  PyRef wrapped = PyRef::steal(wrap(g));
  PyRef result = PyRef::steal(PyObject_CallOneArg(hook, wrapped.get()));
  if (!result) throw PythonErrorSet{};
  if (result.get() == Py_None) return {};
  if (!is_tensor(result.get()))
    throw Error(ErrorKind::Type,
                cat("hook: expected a Tensor or None, got ", Py_TYPE(result.get())->tp_name));
  return unwrap(result.get());
}

std::vector<Tensor> tensor_list(PyObject* o, const char* what, bool may_be_none) {
  std::vector<Tensor> out;
  auto take = [&](PyObject* v) {
    if (v == Py_None && may_be_none) out.emplace_back();
    else if (is_tensor(v)) out.push_back(unwrap(v));
    else throw Error(ErrorKind::Type, cat(what, ": expected a Tensor, got ", Py_TYPE(v)->tp_name));
  };
  if (is_tensor(o) || o == Py_None) {
    if (o != Py_None) take(o);
    return out;
  }
  PyRef list = PyRef::steal(PySequence_Fast(o, "expected a Tensor or a sequence of them"));
  if (!list) throw PythonErrorSet{};
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(list.get()); i++)
    take(PySequence_Fast_GET_ITEM(list.get(), i));
  return out;
}

bool flag(PyObject* o, bool otherwise) { return o == Py_None ? otherwise : PyObject_IsTrue(o); }

PyObject* run_backward(std::span<const Tensor> roots, std::span<const Tensor> grads, bool retain,
                       bool create) {
  {
    GilReleased unlocked(true);
    autograd::backward(roots, grads, {retain, create});
  }
  Py_RETURN_NONE;
}

PyObject* py_backward(PyObject*, PyObject* args) {
  PyObject *roots, *grads, *retain, *create;
  if (!PyArg_ParseTuple(args, "OOOO", &roots, &grads, &retain, &create)) return nullptr;
  try {
    std::vector<Tensor> r = tensor_list(roots, "backward", false), g = tensor_list(grads, "backward", true);
    bool create_graph = flag(create, false);
    return run_backward(r, g, flag(retain, create_graph), create_graph);
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}
PyObject* py_grad(PyObject*, PyObject* args) {
  PyObject *roots, *inputs, *grads, *retain, *create, *unused;
  if (!PyArg_ParseTuple(args, "OOOOOO", &roots, &inputs, &grads, &retain, &create, &unused)) return nullptr;
  try {
    std::vector<Tensor> r = tensor_list(roots, "grad", false), x = tensor_list(inputs, "grad", false),
                        g = tensor_list(grads, "grad", true);
    bool create_graph = flag(create, false);
    std::vector<Tensor> out;
    {
      GilReleased unlocked(true);
      out = autograd::grad(r, g, x, {flag(retain, create_graph), create_graph}, flag(unused, false));
    }
    PyObject* tuple = PyTuple_New(static_cast<Py_ssize_t>(out.size()));
    for (size_t i = 0; i < out.size(); i++) PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i), wrap(out[i]));
    return tuple;
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

// ---- modes
PyObject* py_is_grad_enabled(PyObject*, PyObject*) { return PyBool_FromLong(autograd::grad_enabled()); }
PyObject* py_set_grad_enabled(PyObject*, PyObject* on) {
  bool before = autograd::grad_enabled();
  autograd::set_grad_enabled(PyObject_IsTrue(on));
  return PyBool_FromLong(before);
}
PyObject* py_set_inference(PyObject*, PyObject* on) {
  bool before = thread_layers.inference;
  thread_layers.inference = PyObject_IsTrue(on);
  return PyBool_FromLong(before);
}
PyObject* py_is_inference(PyObject*, PyObject*) { return PyBool_FromLong(thread_layers.inference); }
PyObject* py_set_anomaly(PyObject*, PyObject* on) {
  bool before = autograd::anomaly_enabled();
  autograd::set_anomaly_enabled(PyObject_IsTrue(on));
  return PyBool_FromLong(before);
}

// ---- custom functions: a node whose backward is a Python callable taking and returning tuples
class PythonNode final : public GradNode {
 public:
  PythonNode(PyObject* backward, std::string name)
      : backward_(PyRef::share(backward)), name_(std::move(name)) {}
  std::string name() const override { return name_; }
  void backward(std::vector<Tensor>& dys, std::vector<Tensor>& dxs, bool create_graph) override {
    GilHeld gil;
    bool before = autograd::grad_enabled();
    autograd::set_grad_enabled(create_graph);
    PyRef args = PyRef::steal(PyTuple_New(static_cast<Py_ssize_t>(dys.size())));
    for (size_t i = 0; i < dys.size(); i++)
      PyTuple_SET_ITEM(args.get(), static_cast<Py_ssize_t>(i), wrap(dys[i]));
    PyRef result = PyRef::steal(PyObject_Call(backward_.get(), args.get(), nullptr));
    autograd::set_grad_enabled(before);
    if (!result) throw PythonErrorSet{};
    if (!PyTuple_Check(result.get())) {
      PyObject* one = PyTuple_Pack(1, result.get());
      result = PyRef::steal(one);
    }
    Py_ssize_t n = PyTuple_GET_SIZE(result.get());
    MOKA_CHECK(n >= static_cast<Py_ssize_t>(slots.size()) || n == static_cast<Py_ssize_t>(dxs.size()), name_,
               ": backward returned ", static_cast<int64_t>(n), " gradients, expected ", slots.size());
    for (size_t i = 0; i < dxs.size(); i++) {
      PyObject* g = PyTuple_GET_ITEM(result.get(), positions[i]);
      if (g == Py_None) continue;
      if (!is_tensor(g))
        throw Error(ErrorKind::Type,
                    cat(name_, ": backward must return Tensors or None, got ", Py_TYPE(g)->tp_name));
      dxs[i] = unwrap(g);
    }
  }
  std::vector<bool> slots;             // for every argument of forward: whether it is an edge
  std::vector<Py_ssize_t> positions;   // of each edge among the arguments

 private:
  PyRef backward_;
  std::string name_;
};

// _record_function(name, inputs tuple, outputs tuple, backward): attaches history to the outputs.
PyObject* py_record_function(PyObject*, PyObject* args) {
  const char* name;
  PyObject *inputs, *outputs, *backward;
  if (!PyArg_ParseTuple(args, "sO!O!O", &name, &PyTuple_Type, &inputs, &PyTuple_Type, &outputs, &backward))
    return nullptr;
  try {
    PythonNode* node = new PythonNode(backward, name);
    Ref<GradNode> keep = Ref<GradNode>::share(node);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(inputs); i++) {
      PyObject* v = PyTuple_GET_ITEM(inputs, i);
      bool edge = is_tensor(v) && autograd::requires_grad(unwrap(v));
      node->slots.push_back(edge);
      if (!edge) continue;
      node->positions.push_back(i);
      node->edges.push_back(autograd::gradient_edge(unwrap(v)));
    }
    node->outputs = static_cast<uint32_t>(PyTuple_GET_SIZE(outputs));
    PyObject* result = PyTuple_New(PyTuple_GET_SIZE(outputs));
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(outputs); i++) {
      PyObject* v = PyTuple_GET_ITEM(outputs, i);
      if (!is_tensor(v) || !is_differentiable(unwrap(v).dtype())) {
        PyTuple_SET_ITEM(result, i, Py_NewRef(v));
        continue;
      }
      Tensor y = autograd::requires_grad(unwrap(v)) ? autograd::detach(unwrap(v)) : unwrap(v);
      if (!node->edges.empty()) autograd::set_history(y, keep, static_cast<uint32_t>(i));
      PyTuple_SET_ITEM(result, i, wrap(y));
    }
    return result;
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

PyObject* py_remove_hook(PyObject*, PyObject* args) {
  PyObject* t;
  unsigned long long id;
  if (!PyArg_ParseTuple(args, "OK", &t, &id)) return nullptr;
  if (is_tensor(t)) autograd::remove_hook(unwrap(t), id);
  Py_RETURN_NONE;
}
}  // namespace

PyObject* get_grad_fn(PyObject* self, void*) {
  autograd::GradMeta* m = autograd::meta(unwrap(self));
  if (!m || !m->grad_fn) Py_RETURN_NONE;
  return wrap_node(m->grad_fn.get());
}

PyObject* tensor_backward(PyObject* self, PyObject* args, PyObject* keywords) {
  PyObject *gradient = Py_None, *retain = Py_None, *create = Py_False, *inputs = Py_None;
  static const char* const names[] = {"gradient", "retain_graph", "create_graph", "inputs", nullptr};
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "|OOOO:backward", const_cast<char**>(names), &gradient,
                                   &retain, &create, &inputs))
    return nullptr;
  try {
    bool create_graph = PyObject_IsTrue(create);
    const Tensor& root = unwrap(self);
    std::vector<Tensor> grads = tensor_list(gradient, "backward", false);
    if (inputs != Py_None) {
      std::vector<Tensor> x = tensor_list(inputs, "backward", false);
      std::vector<Tensor> g =
          autograd::grad({&root, 1}, grads, x, {flag(retain, create_graph), create_graph}, true);
      for (size_t i = 0; i < x.size(); i++) {
        if (!g[i]) continue;
        Tensor& grad = autograd::make_meta(x[i]).grad;
        grad = grad ? add(grad, g[i]) : g[i];
      }
      Py_RETURN_NONE;
    }
    return run_backward({&root, 1}, grads, flag(retain, create_graph), create_graph);
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}
PyObject* tensor_requires_grad_(PyObject* self, PyObject* args, PyObject* keywords) {
  int on = 1;
  static const char* const names[] = {"requires_grad", nullptr};
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "|p:requires_grad_", const_cast<char**>(names), &on))
    return nullptr;
  try {
    autograd::set_requires_grad(unwrap(self), on);
    return Py_NewRef(self);
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}
PyObject* tensor_retain_grad(PyObject* self, PyObject*) {
  try {
    autograd::retain_grad(unwrap(self));
    Py_RETURN_NONE;
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}
PyObject* tensor_register_hook(PyObject* self, PyObject* hook) {
  try {
    PyRef keep = PyRef::share(hook);
    uint64_t id =
        autograd::add_hook(unwrap(self), [keep](const Tensor& g) { return call_hook(keep.get(), g); });
    PyRef module = PyRef::steal(PyImport_ImportModule("moka.autograd"));
    if (!module) throw PythonErrorSet{};
    return PyObject_CallMethod(module.get(), "_HookHandle", "OK", self, static_cast<unsigned long long>(id));
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

PyMethodDef autograd_functions[] = {
    {"is_grad_enabled", py_is_grad_enabled, METH_NOARGS, "Whether operations are recorded in this thread."},
    {"_set_grad_enabled", py_set_grad_enabled, METH_O, "Switches recording; returns what it was."},
    {"_set_inference_mode", py_set_inference, METH_O, "Switches inference mode; returns what it was."},
    {"is_inference_mode_enabled", py_is_inference, METH_NOARGS,
     "Whether inference mode is on in this thread."},
    {"_set_anomaly", py_set_anomaly, METH_O, "Switches anomaly detection; returns what it was."},
    {"_backward", py_backward, METH_VARARGS, nullptr},
    {"_grad", py_grad, METH_VARARGS, nullptr},
    {"_record_function", py_record_function, METH_VARARGS, nullptr},
    {"_remove_hook", py_remove_hook, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr}};

int init_autograd(PyObject* module) {
  static PyType_Slot slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(node_dealloc)},
                                {Py_tp_repr, reinterpret_cast<void*>(node_repr)},
                                {Py_tp_methods, node_methods},
                                {Py_tp_getset, node_getset},
                                {0, nullptr}};
  static PyType_Spec spec{"moka.Node", sizeof(NodeObject), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  node_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return node_type ? PyModule_AddObjectRef(module, "Node", reinterpret_cast<PyObject*>(node_type)) : -1;
}

}  // namespace moka::python
