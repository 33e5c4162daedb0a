// Custom functions: nodes whose backward is Python's, what they save, and hooks of saved tensors.
// SPDX-License-Identifier: Apache-2.0
#include "python/bindings/function_node.h"

#include <algorithm>
#include <memory>

#include "moka/autograd/accumulate.h"
#include "moka/autograd/forward.h"
#include "moka/autograd/saved.h"
#include "moka/ops/shaping/shaping.h"
#include "python/bindings/arguments.h"
#include "python/bindings/grad_node.h"

namespace moka::python {

namespace {
using autograd::GradNode;
using autograd::SavedAs;

// What forward returned, in the words of PyTorch.
enum class OutputKind : int {
  Other,      // no tensor, or not differentiable
  Made,       // computed by forward
  Dirty,      // an input that forward wrote in place
  Forwarded,  // an input, handed on as it is
};

class FunctionNode final : public GradNode {
 public:
  FunctionNode(PyObject* context, std::string name)
      : context(PyRef::share(context)), name_(std::move(name)) {}
  std::string name() const override { return name_; }

  void backward(std::span<Tensor> dys, std::span<Tensor> dxs, bool create_graph) override {
    GilHeld gil;
    autograd::GradModeScope mode(create_graph);
    PyRef needs = PyRef::steal(PyTuple_New(inputs));
    for (Py_ssize_t i = 0; i < inputs; i++) PyTuple_SET_ITEM(needs.get(), i, Py_NewRef(Py_False));
    for (size_t i = 0; i < dxs.size(); i++)
      if (wants(i)) PyTuple_SetItem(needs.get(), positions[i], Py_NewRef(Py_True));
    PyRef node = PyRef::steal(wrap_node(this)), grads = PyRef::steal(tensor_tuple(dys));
    PyRef result = PyRef::steal(
        PyObject_CallMethod(context.get(), "_run_backward", "OOO", node.get(), needs.get(), grads.get()));
    if (!result) throw PythonErrorSet{};
    for (size_t i = 0; i < dxs.size(); i++) {
      PyObject* g = PyTuple_GET_ITEM(result.get(), positions[i]);
      if (g == Py_None || !wants(i)) continue;
      MOKA_CHECK_KIND(Type, is_tensor(g), name_, ": backward must return Tensors or None, got ",
                      Py_TYPE(g)->tp_name, " for input ", static_cast<int64_t>(positions[i]));
      dxs[i] = fit(unwrap(g), i);
    }
  }
  void release_saved() override {
    GilHeld gil;
    PyRef done = PyRef::steal(PyObject_CallMethod(context.get(), "_release", nullptr));
    if (!done) throw PythonErrorSet{};
  }

  PyRef context;
  Py_ssize_t inputs = 0;
  std::vector<Py_ssize_t> positions;  // of each edge among the inputs
  std::vector<Tensor> likes;          // shape and type of each edge's input

 private:
  Tensor fit(const Tensor& g, size_t edge) const {
    const Tensor& like = likes[edge];
    std::span<const int64_t> have = g.sizes(), want = like.sizes();
    Tensor out = g;
    if (!std::equal(have.begin(), have.end(), want.begin(), want.end())) {
      bool fits = have.size() >= want.size();
      for (size_t i = 0; fits && i < want.size(); i++) {
        int64_t mine = have[have.size() - want.size() + i];
        fits = mine == want[i] || want[i] == 1;
      }
      MOKA_CHECK(fits, name_, ": backward returned an invalid gradient at index ",
                 static_cast<int64_t>(positions[edge]), " - got ", have,
                 " but expected shape compatible with ", want);
      out = autograd::sum_to_shape(out, want);
    }
    if (out.dtype() == like.dtype()) return out;
    static const Op& to = get_op("to");
    return EagerReading::call(to, out, like.dtype());
  }
  std::string name_;
};

// _begin_function(context, name, inputs): the node before forward runs; None where nothing wants a gradient.
PyObject* begin_function(PyObject*, PyObject* args) {
  PyObject *context, *inputs;
  const char* name;
  if (!PyArg_ParseTuple(args, "OsO!", &context, &name, &PyTuple_Type, &inputs)) return nullptr;
  try {
    Py_ssize_t n = PyTuple_GET_SIZE(inputs);
    std::vector<Py_ssize_t> positions;
    for (Py_ssize_t i = 0; i < n; i++)
      if (PyObject* v = PyTuple_GET_ITEM(inputs, i); is_tensor(v) && autograd::requires_grad(unwrap(v)))
        positions.push_back(i);
    if (positions.empty() || !autograd::grad_enabled()) Py_RETURN_NONE;
    auto* node = new FunctionNode(context, name);
    Ref<GradNode> keep = Ref<GradNode>::share(node);
    node->inputs = n;
    node->edges.resize(positions.size());
    for (size_t i = 0; i < positions.size(); i++) {
      const Tensor& t = unwrap(PyTuple_GET_ITEM(inputs, positions[i]));
      node->edges[i] = autograd::gradient_edge(t);
      node->likes.push_back(shape_only(t.sizes(), t.dtype()));
    }
    node->positions = std::move(positions);
    return wrap_node(node);
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

Tensor with_function_history(const Tensor& made, FunctionNode& node, uint32_t slot, OutputKind kind,
                             int source, uint32_t outputs) {
  Ref<GradNode> history = Ref<GradNode>::share(&node);
  if (kind == OutputKind::Dirty) {
    autograd::check_rebase(made, node.name(), true);
    MOKA_CHECK(!made.impl()->base || outputs == 1, node.name(),
               ": a function that writes a view in place must return nothing else, it returned ", outputs,
               " values; return a clone()");
    int self = -1;
    for (size_t i = 0; i < node.positions.size(); i++)
      if (node.positions[i] == source) self = static_cast<int>(i);
    if (made.impl()->base) autograd::rebase_history(made, std::move(history), self);
    else autograd::set_history(made, std::move(history), slot);
    return made;
  }
  Tensor y = made;
  if (kind == OutputKind::Forwarded) {
    autograd::GradModeScope off(false);
    y = alias(made);
  } else if (autograd::requires_grad(made)) {
    y = autograd::detach(made);
  }
  autograd::set_history(y, std::move(history), slot);
  if (y.impl()->base) y.impl()->origin = ViewOrigin::Function;
  return y;
}

// _finish_function(node, outputs, kinds, sources): gives the outputs their history. sources: which input an output is.
PyObject* finish_function(PyObject*, PyObject* args) {
  PyObject *node_object, *outputs, *kinds, *sources;
  if (!PyArg_ParseTuple(args, "OO!O!O!", &node_object, &PyTuple_Type, &outputs, &PyTuple_Type, &kinds,
                        &PyTuple_Type, &sources))
    return nullptr;
  try {
    auto* node = is_node(node_object) ? dynamic_cast<FunctionNode*>(unwrap_node(node_object)) : nullptr;
    MOKA_CHECK_KIND(Type, node != nullptr, "_finish_function: expected the node of a function");
    Py_ssize_t n = PyTuple_GET_SIZE(outputs);
    node->outputs = static_cast<uint32_t>(n);
    PyRef result = PyRef::steal(PyTuple_New(n));
    if (!result) return nullptr;
    for (Py_ssize_t i = 0; i < n; i++) {
      PyObject* v = PyTuple_GET_ITEM(outputs, i);
      auto kind = static_cast<OutputKind>(PyLong_AsLong(PyTuple_GET_ITEM(kinds, i)));
      int source = static_cast<int>(PyLong_AsLong(PyTuple_GET_ITEM(sources, i)));
      if (kind == OutputKind::Other) {
        bool cut = is_tensor(v) && autograd::requires_grad(unwrap(v));
        PyTuple_SET_ITEM(result.get(), i, cut ? wrap(autograd::detach(unwrap(v))) : Py_NewRef(v));
        continue;
      }
      Tensor y =
          with_function_history(unwrap(v), *node, static_cast<uint32_t>(i), kind, source, node->outputs);
      PyTuple_SET_ITEM(result.get(), i, wrap(y));
    }
    return result.release();
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

// ---- what functions save
struct SavedObject {
  PyObject_HEAD Any* value;
  uint32_t version;
  int output;  // which output of the function it is; -1: none
};
PyTypeObject* saved_type;

// _save_tensor(tensor, function's name, output)
PyObject* save_for_function(PyObject*, PyObject* args) {
  PyObject* tensor;
  const char* name;
  int output;
  if (!PyArg_ParseTuple(args, "O!si", tensor_type, &tensor, &name, &output)) return nullptr;
  try {
    const Tensor& t = unwrap(tensor);
    Any value = autograd::save_tensor(t, output >= 0 ? SavedAs::Result : SavedAs::Argument, name);
    PyObject* o = saved_type->tp_alloc(saved_type, 0);
    if (!o) return nullptr;
    auto* saved = reinterpret_cast<SavedObject*>(o);
    saved->value = new Any(std::move(value));
    saved->version = t.version();
    saved->output = output;
    return o;
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}
// unpack(place, node or None)
PyObject* saved_unpack(PyObject* self, PyObject* args) {
  int place;
  PyObject* node;
  if (!PyArg_ParseTuple(args, "iO", &place, &node)) return nullptr;
  try {
    auto* saved = reinterpret_cast<SavedObject*>(self);
    const Any& value = *saved->value;
    if (value.is_tensor() && value.tensor().version() != saved->version)
      fail("backward: saved tensor ", place, " (", value.tensor(),
           ") was changed in place after forward: it is at version ", value.tensor().version(), ", expected ",
           saved->version, ". Save a clone(), or write out of place");
    bool with_history = autograd::grad_enabled();
    Tensor t = autograd::unpack_tensor(value, with_history);
    if (saved->output >= 0 && with_history && is_node(node)) {
      t = autograd::detach_from_tape(t);
      autograd::set_history(t, Ref<GradNode>::share(unwrap_node(node)), static_cast<uint32_t>(saved->output));
    }
    return wrap(t);
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}
// keep_tangent(output, level, tangent): output's tangent, if that is what was saved.
PyObject* saved_keep_tangent(PyObject* self, PyObject* args) {
  int output, level;
  PyObject* tangent;
  if (!PyArg_ParseTuple(args, "iiO!", &output, &level, tensor_type, &tangent)) return nullptr;
  auto* saved = reinterpret_cast<SavedObject*>(self);
  if (saved->output == output && saved->value->is_tensor())
    autograd::set_tangent(saved->value->tensor(), level, unwrap(tangent));
  Py_RETURN_NONE;
}
void saved_dealloc(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  delete reinterpret_cast<SavedObject*>(o)->value;
  type->tp_free(o);
  Py_DECREF(type);
}
PyMethodDef saved_methods[] = {{"unpack", saved_unpack, METH_VARARGS, "The tensor as it was saved."},
                               {"keep_tangent", saved_keep_tangent, METH_VARARGS, nullptr},
                               {nullptr, nullptr, 0, nullptr}};

// ---- hooks of saved tensors
struct PythonPacked final : autograd::PackedTensor {
  PyRef value, unpack_hook;
  Tensor unpack() override {
    GilHeld gil;
    PyRef result = PyRef::steal(PyObject_CallOneArg(unpack_hook.get(), value.get()));
    if (!result) throw PythonErrorSet{};
    MOKA_CHECK_KIND(Type, is_tensor(result.get()),
                    "saved_tensors_hooks: the unpack hook must return a Tensor, got ",
                    Py_TYPE(result.get())->tp_name);
    return unwrap(result.get());
  }
};
struct PythonHooks final : autograd::SavedTensorHooks {
  PyRef pack_hook, unpack_hook;
  SavedTensorHooks* outer = nullptr;

  Ref<autograd::PackedTensor> pack(const Tensor& t) override {
    GilHeld gil;
    // What the hook computes is none of the program's saving.
    struct Off {
      SavedTensorHooks* before = autograd::set_saved_tensor_hooks(nullptr);
      ~Off() { autograd::set_saved_tensor_hooks(before); }
    } off;
    auto packed = Ref<PythonPacked>::share(new PythonPacked);
    PyRef wrapped = PyRef::steal(wrap(t));
    packed->value = PyRef::steal(PyObject_CallOneArg(pack_hook.get(), wrapped.get()));
    if (!packed->value) throw PythonErrorSet{};
    packed->unpack_hook = unpack_hook;
    return Ref<autograd::PackedTensor>::share(packed.get());
  }
};
PyObject* push_hooks(std::unique_ptr<PythonHooks> hooks) {
  auto* raw = hooks.release();
  raw->outer = autograd::set_saved_tensor_hooks(raw);
  Py_RETURN_NONE;
}
PyObject* push_saved_hooks(PyObject*, PyObject* args) {
  PyObject *pack, *unpack;
  if (!PyArg_ParseTuple(args, "OO", &pack, &unpack)) return nullptr;
  auto hooks = std::make_unique<PythonHooks>();
  hooks->pack_hook = PyRef::share(pack);
  hooks->unpack_hook = PyRef::share(unpack);
  return push_hooks(std::move(hooks));
}
PyObject* pop_saved_hooks(PyObject*, PyObject*) {
  auto* top = static_cast<PythonHooks*>(autograd::saved_tensor_hooks());
  if (!top) return PyErr_Format(PyExc_RuntimeError, "saved_tensors_hooks: there are none to leave");
  autograd::set_saved_tensor_hooks(top->outer);
  delete top;
  Py_RETURN_NONE;
}
}  // namespace

PyObject* function_context(GradNode* n) {
  auto* function = dynamic_cast<FunctionNode*>(n);
  return function ? Py_NewRef(function->context.get()) : nullptr;
}

PyMethodDef function_functions[] = {{"_begin_function", begin_function, METH_VARARGS, nullptr},
                                    {"_finish_function", finish_function, METH_VARARGS, nullptr},
                                    {"_save_tensor", save_for_function, METH_VARARGS, nullptr},
                                    {"_push_saved_tensor_hooks", push_saved_hooks, METH_VARARGS, nullptr},
                                    {"_pop_saved_tensor_hooks", pop_saved_hooks, METH_NOARGS, nullptr},
                                    {nullptr, nullptr, 0, nullptr}};

int init_function_node(PyObject*) {
  static PyType_Slot slots[] = {
      {Py_tp_dealloc, reinterpret_cast<void*>(saved_dealloc)}, {Py_tp_methods, saved_methods}, {0, nullptr}};
  static PyType_Spec spec{"moka._C._SavedTensor", sizeof(SavedObject), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  saved_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return saved_type ? 0 : -1;
}

}  // namespace moka::python
