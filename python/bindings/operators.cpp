// The function and method objects of operators, made from the registry.
// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <string>
#include <vector>

#include "moka/schema/given.h"
#include "python/bindings/calls.h"
#include "python/bindings/classes.h"
#include "python/bindings/overrides.h"

namespace moka::python {

namespace {
struct OpFunction {
  PyObject_HEAD vectorcallfunc vectorcall;
  OpGroup* group;
  bool in_place;
};

PyObject* op_vectorcall(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* keywords) {
  OpFunction* f = reinterpret_cast<OpFunction*>(self);
  const Py_ssize_t count = PyVectorcall_NARGS(nargsf);
  if (is_overridden(args, count + (keywords ? PyTuple_GET_SIZE(keywords) : 0)))
    return hand_over(self, args, count, keywords);
  return call_group(*f->group, f->in_place, args, count, keywords, self);
}
// A class may keep a function (conv = moka.conv2d); its instances are no arguments of it. Methods of tensors bind.
PyObject* function_get(PyObject* self, PyObject*, PyObject*) {
  Py_INCREF(self);
  return self;
}
PyObject* method_get(PyObject* self, PyObject* instance, PyObject* type) {
  if (!instance || instance == Py_None) return function_get(self, instance, type);
  return PyMethod_New(self, instance);
}
std::string python_name(const OpFunction* f) { return f->group->name + (f->in_place ? "_" : ""); }
PyObject* op_repr(PyObject* self) {
  return PyUnicode_FromFormat("<operator moka.%s>", python_name(reinterpret_cast<OpFunction*>(self)).c_str());
}
PyObject* op_name(PyObject* self, void*) {
  return PyUnicode_FromString(python_name(reinterpret_cast<OpFunction*>(self)).c_str());
}
PyObject* op_module(PyObject*, void*) { return PyUnicode_FromString("moka"); }
PyObject* op_doc(PyObject* self, void*) {
  OpFunction* f = reinterpret_cast<OpFunction*>(self);
  std::string text;
  for (const Op* op : f->group->ops) text += cat(info(*op).schema.text(), "\n\n", op->doc, "\n\n");
  return PyUnicode_FromString(text.c_str());
}
PyGetSetDef op_getset[] = {{"__name__", op_name, nullptr, nullptr, nullptr},
                           {"__qualname__", op_name, nullptr, nullptr, nullptr},
                           {"__module__", op_module, nullptr, nullptr, nullptr},
                           {"__doc__", op_doc, nullptr, nullptr, nullptr},
                           {nullptr, nullptr, nullptr, nullptr, nullptr}};
// Copies and pickles by name, as functions do: a layer may keep one as its activation.
PyObject* op_reduce(PyObject* self, PyObject*) { return op_name(self, nullptr); }
PyMethodDef op_methods[] = {{"__reduce__", op_reduce, METH_NOARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};
PyObject* method_reduce(PyObject* self, PyObject*) {
  PyRef builtins = PyRef::steal(PyImport_ImportModule("builtins"));
  PyRef get = PyRef::steal(builtins ? PyObject_GetAttrString(builtins.get(), "getattr") : nullptr);
  PyRef name = PyRef::steal(op_name(self, nullptr));
  if (!get || !name) return nullptr;
  return Py_BuildValue("O(OO)", get.get(), tensor_type, name.get());
}
PyMethodDef method_methods[] = {{"__reduce__", method_reduce, METH_NOARGS, nullptr},
                                {nullptr, nullptr, 0, nullptr}};
PyTypeObject op_function_type = {PyVarObject_HEAD_INIT(nullptr, 0)};
PyTypeObject op_method_type = {PyVarObject_HEAD_INIT(nullptr, 0)};

OpFunction* make_function(OpGroup* group, bool in_place, PyTypeObject* type = &op_function_type) {
  OpFunction* f = PyObject_New(OpFunction, type);
  if (!f) return nullptr;
  f->vectorcall = op_vectorcall;
  f->group = group;
  f->in_place = in_place;
  return f;
}
}  // namespace

int init_operators(PyObject* module) {
  op_function_type.tp_name = "moka.operator";
  op_function_type.tp_basicsize = sizeof(OpFunction);
  op_function_type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL;
  op_function_type.tp_vectorcall_offset = offsetof(OpFunction, vectorcall);
  op_function_type.tp_call = PyVectorcall_Call;
  op_function_type.tp_descr_get = function_get;
  op_function_type.tp_repr = op_repr;
  op_function_type.tp_getset = op_getset;
  op_function_type.tp_methods = op_methods;
  op_function_type.tp_dealloc = [](PyObject* o) { PyObject_Free(o); };
  op_method_type = op_function_type;
  op_method_type.tp_name = "moka.operator_method";
  op_method_type.tp_base = &op_function_type;
  op_method_type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR;
  op_method_type.tp_descr_get = method_get;
  op_method_type.tp_methods = method_methods;
  if (PyType_Ready(&op_function_type) < 0 || PyType_Ready(&op_method_type) < 0) return -1;

  static std::map<std::string, OpGroup> groups;  // lives as long as the module
  std::vector<std::string> order;
  for (const Op* op : all_ops()) {
    const Schema& s = info(*op).schema;
    OpGroup& g = groups[s.base];
    if (g.ops.empty()) {
      g.name = s.base;
      order.push_back(s.base);
    }
    g.ops.push_back(op);
  }
  PyObject* operators = PyDict_New();  // every name, hidden ones included: for tools and tests
  if (!operators) return -1;
  auto add_method = [](OpGroup* group, bool in_place, const char* name) {
    PyRef m = PyRef::steal(reinterpret_cast<PyObject*>(make_function(group, in_place, &op_method_type)));
    return m && PyDict_SetItemString(tensor_type->tp_dict, name, m.get()) == 0;
  };
  for (const std::string& name : order) {
    OpGroup& g = groups[name];
    std::string_view where = g.ops[0]->method;
    PyObject* f = reinterpret_cast<PyObject*>(make_function(&g, false));
    if (!f || PyDict_SetItemString(operators, name.c_str(), f) < 0) return -1;
    const Schema& s = info(*g.ops[0]).schema;
    bool tensor_first = !s.args.empty() && s.args[0].type.is_tensor_like() && !s.args[0].type.list;
    if (where != "none" && where != "method" && PyObject_SetAttrString(module, name.c_str(), f) < 0)
      return -1;
    if (where != "none" && where != "function" && tensor_first &&
        !PyDict_GetItemString(tensor_type->tp_dict, name.c_str()) && !add_method(&g, false, name.c_str()))
      return -1;
    Py_DECREF(f);
    if (where == "none" || !has_in_place_form(*g.ops[0])) continue;
    std::string with_underscore = name + "_";
    if (groups.count(with_underscore)) continue;
    PyObject* in_place = reinterpret_cast<PyObject*>(make_function(&g, true));
    if (!in_place) return -1;
    if (where != "function" && tensor_first && !add_method(&g, true, with_underscore.c_str())) return -1;
    if (where != "method" && PyObject_SetAttrString(module, with_underscore.c_str(), in_place) < 0) return -1;
    Py_DECREF(in_place);
  }
  PyType_Modified(tensor_type);
  return PyModule_AddObject(module, "_operators", operators);
}

}  // namespace moka::python
