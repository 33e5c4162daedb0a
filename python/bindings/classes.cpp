// dtype, device and Generator as Python classes.
// SPDX-License-Identifier: Apache-2.0
#include "python/bindings/classes.h"

#include <charconv>
#include <cstring>
#include <functional>
#include <new>
#include <random>
#include <vector>

#include "moka/base/thread_local.h"
#include "moka/ops/random/generator.h"
#include "moka/tensor/meta.h"
#include "python/bindings/arguments.h"
#include "python/bindings/tensor_object.h"

namespace moka::python {

MOKA_THREAD_LOCAL Device default_device{};

// The module that types and sizes show in front of their names: "torch" where programs written for torch run.
std::string shown_module = "moka";

namespace {
struct DTypeObject {
  PyObject_HEAD DType dtype;
};
// A device of this build, or one that only PyTorch has: such a one can be named and compared, not used.
struct NamedDevice {
  Device device{};
  const char* absent = nullptr;
  int index = -1;  // of an absent one; -1: none was given
  bool operator==(const NamedDevice&) const = default;
};
struct DeviceObject {
  PyObject_HEAD NamedDevice named;
};
struct GeneratorObject {
  PyObject_HEAD Generator* generator;
};
PyTypeObject *dtype_type, *device_type, *generator_type;
PyObject* dtype_objects[256];

PyObject* text_object(const std::string& s) {
  return PyUnicode_FromStringAndSize(s.data(), static_cast<Py_ssize_t>(s.size()));
}
DType dtype_of(PyObject* o) { return reinterpret_cast<DTypeObject*>(o)->dtype; }

PyObject* dtype_repr(PyObject* o) { return text_object(cat(shown_module, ".", info(dtype_of(o)).name)); }
PyObject* dtype_reduce(PyObject* o, PyObject*) {
  // Pickled by name: getattr(moka, "float32").
  return text_object(std::string(info(dtype_of(o)).name));
}
PyGetSetDef dtype_getset[] = {
    {"itemsize", [](PyObject* o, void*) { return PyLong_FromSize_t(item_size(dtype_of(o))); }, nullptr,
     "Bytes of one element.", nullptr},
    {"is_floating_point", [](PyObject* o, void*) { return PyBool_FromLong(is_real_type(dtype_of(o))); },
     nullptr, "Whether it is a real floating type.", nullptr},
    {"is_complex", [](PyObject* o, void*) { return PyBool_FromLong(is_complex(dtype_of(o))); }, nullptr,
     "Whether it is a complex type.", nullptr},
    {"is_signed",
     [](PyObject* o, void*) {
       const DType d = dtype_of(o);
       const bool signed_integer = family(d) == DTypeClass::Signed || d == DType::I4 || d == DType::I2;
       return PyBool_FromLong((is_real_type(d) && d != DType::F8E8M0) || is_complex(d) || signed_integer);
     },
     nullptr, "Whether it has negative values.", nullptr},
    {"name", [](PyObject* o, void*) { return text_object(std::string(info(dtype_of(o)).name)); }, nullptr,
     "The name, such as 'float32'.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyMethodDef dtype_methods[] = {{"__reduce__", dtype_reduce, METH_NOARGS, nullptr},
                               {nullptr, nullptr, 0, nullptr}};

const NamedDevice& device_of(PyObject* o) { return reinterpret_cast<DeviceObject*>(o)->named; }
std::string type_of(const NamedDevice& d) {
  return d.absent ? d.absent : std::string(device_type_name(d.device.type));
}
int index_of(const NamedDevice& d) {
  return d.absent ? d.index : d.device.type > meta_device_type ? d.device.index : -1;
}

constexpr const char* torch_devices[] = {"cuda",  "ipu",    "xpu", "mkldnn", "opengl", "opencl",
                                         "ideep", "hip",    "ve",  "fpga",   "maia",   "xla",
                                         "lazy",  "vulkan", "mps", "hpu",    "mtia",   "privateuseone"};
std::string digits(PyObject* number) { return utf8(PyRef::steal(PyObject_Str(number)).get()); }
NamedDevice parse_named(std::string_view text) {
  NamedDevice d;
  try {
    d.device = parse_device(text);
  } catch (const Error&) {
    const size_t colon = text.find(':');
    for (const char* name : torch_devices)
      if (text.substr(0, colon) == name) d.absent = name;
    if (!d.absent) throw;
    if (colon == text.npos) return d;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, d.index);
    MOKA_CHECK(error == std::errc() && stop == end && d.index >= 0 && d.index < 256,
               "device: expected 'type' or 'type:index', got '", text, "'");
  }
  return d;
}

PyObject* device_str(PyObject* o) {
  const NamedDevice& d = device_of(o);
  return text_object(index_of(d) < 0 ? type_of(d) : cat(type_of(d), ":", index_of(d)));
}
PyObject* device_repr(PyObject* o) {
  const NamedDevice& d = device_of(o);
  return text_object(
      cat("device(type='", type_of(d), "'", index_of(d) < 0 ? "" : cat(", index=", index_of(d)), ")"));
}
PyObject* device_object(const NamedDevice& named) {
  PyObject* o = device_type->tp_alloc(device_type, 0);
  if (o) new (&reinterpret_cast<DeviceObject*>(o)->named) NamedDevice(named);
  return o;
}
// device("cpu"), device("cuda:1"), device("cuda", 1), device(1): the accelerator of that index.
PyObject* device_new(PyTypeObject*, PyObject* args, PyObject* keywords) {
  PyObject *what, *index = Py_None;
  static const char* const names[] = {"type", "index", nullptr};
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|O:device", const_cast<char**>(names), &what, &index))
    return nullptr;
  try {
    if (Py_TYPE(what) == device_type && index == Py_None) return device_object(device_of(what));
    std::string text;
    if (PyUnicode_Check(what)) text = utf8(what);
    else if (PyLong_Check(what) && !PyBool_Check(what) && index == Py_None) text = cat("cuda:", digits(what));
    else throw Error(ErrorKind::Type, cat("device: expected a name such as 'cpu', got ", described(what)));
    if (index != Py_None) {
      if (!PyLong_Check(index))
        throw Error(ErrorKind::Type, cat("device: index must be an int, got ", described(index)));
      MOKA_CHECK(text.find(':') == text.npos, "device: the name '", text,
                 "' has an index of its own; got index ", digits(index), " too");
      text += ":" + digits(index);
    }
    return device_object(parse_named(text));
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}
PyObject* device_compare(PyObject* a, PyObject* b, int op) {
  if (op != Py_EQ && op != Py_NE) Py_RETURN_NOTIMPLEMENTED;
  bool same = false;
  try {
    if (Py_TYPE(b) == device_type) same = device_of(a) == device_of(b);
    else if (PyUnicode_Check(b)) same = device_of(a) == parse_named(utf8(b));
  } catch (const Error&) {
  }
  return PyBool_FromLong((op == Py_EQ) == same);
}
Py_hash_t device_hash(PyObject* o) {
  const NamedDevice& d = device_of(o);
  return static_cast<Py_hash_t>(std::hash<std::string>()(type_of(d)) >> 8) * 256 + index_of(d) + 1;
}
PyObject* device_reduce(PyObject* o, PyObject*) {
  return Py_BuildValue("O(N)", reinterpret_cast<PyObject*>(device_type), device_str(o));
}
// with device(...): new tensors are made on it; it must be one that this build has.
thread_local std::vector<Device> outer_devices;
PyObject* device_enter(PyObject* o, PyObject*) {
  try {
    Device d;
    to_device_value(o, d);
    outer_devices.push_back(default_device);
    default_device = d;
  } catch (...) {
    set_python_error();
    return nullptr;
  }
  Py_INCREF(o);
  return o;
}
PyObject* device_exit(PyObject*, PyObject*) {
  if (!outer_devices.empty()) {
    default_device = outer_devices.back();
    outer_devices.pop_back();
  }
  Py_RETURN_NONE;
}
// _default_device() tells it, _default_device(device) sets it.
PyObject* py_default_device(PyObject*, PyObject* args) {
  PyObject* given = nullptr;
  if (!PyArg_ParseTuple(args, "|O:_default_device", &given)) return nullptr;
  try {
    Device d = default_device;
    if (given && !to_device_value(given, d))
      throw Error(ErrorKind::Type, cat("set_default_device: expected a device, got ", described(given)));
    default_device = d;
    return device_object(NamedDevice{d});
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}
PyMethodDef device_functions[] = {
    {"_default_device", py_default_device, METH_VARARGS, "Where tensors that name no device are made."},
    {nullptr, nullptr, 0, nullptr}};
PyMethodDef device_methods[] = {{"__reduce__", device_reduce, METH_NOARGS, nullptr},
                                {"__enter__", device_enter, METH_NOARGS, nullptr},
                                {"__exit__", device_exit, METH_VARARGS, nullptr},
                                {nullptr, nullptr, 0, nullptr}};
PyGetSetDef device_getset[] = {{"type", [](PyObject* o, void*) { return text_object(type_of(device_of(o))); },
                                nullptr, "The device type, such as 'cpu'.", nullptr},
                               {"index",
                                [](PyObject* o, void*) -> PyObject* {
                                  if (index_of(device_of(o)) < 0) Py_RETURN_NONE;
                                  return PyLong_FromLong(index_of(device_of(o)));
                                },
                                nullptr, "Which device of its type; None for the CPU.", nullptr},
                               {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyObject* standard_generator;  // stands for the calling thread's default stream
Generator& generator_of(PyObject* o) {
  return o == standard_generator ? default_generator() : *reinterpret_cast<GeneratorObject*>(o)->generator;
}
PyObject* generator_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  static const char* const names[] = {"device", nullptr};
  PyObject* where = Py_None;
  if (args && !PyArg_ParseTupleAndKeywords(args, keywords, "|O:Generator", const_cast<char**>(names), &where))
    return nullptr;
  try {
    Device device{};
    if (where != Py_None && !to_device_value(where, device))
      throw Error(ErrorKind::Type, cat("Generator: expected a device, got ", described(where)));
    MOKA_CHECK(device == Device{}, "Generator: random numbers are drawn on the CPU, not on ", device);
  } catch (...) {
    set_python_error();
    return nullptr;
  }
  PyObject* o = type->tp_alloc(type, 0);
  if (!o) return nullptr;
  Generator* g = new Generator(5489);
  add_ref(static_cast<Object*>(g));
  reinterpret_cast<GeneratorObject*>(o)->generator = g;
  return o;
}
void generator_dealloc(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  release(static_cast<Object*>(reinterpret_cast<GeneratorObject*>(o)->generator));
  type->tp_free(o);
  Py_DECREF(type);
}
PyObject* generator_seed(PyObject* o, PyObject* seed) {
  unsigned long long s = PyLong_AsUnsignedLongLongMask(seed);
  if (PyErr_Occurred()) return nullptr;
  generator_of(o).set_seed(s);
  Py_INCREF(o);
  return o;
}
// PyTorch's layout of a twister's state, as bytes: seed, words left, seeded, next, the words, two normal numbers.
constexpr size_t twister_bytes = 5056, words_at = 24, normal_at = words_at + 8 * Mersenne::words_of_state;
PyObject* generator_get(PyObject* o, PyObject*) {
  Generator::State d = generator_of(o).state();
  if (!d.twister)
    return Py_BuildValue("(KK)", static_cast<unsigned long long>(d.seed),
                         static_cast<unsigned long long>(d.offset));
  Tensor out = new_tensor({{static_cast<int64_t>(twister_bytes)}}, DType::U8);
  uint8_t* bytes = out.data<uint8_t>();
  std::memset(bytes, 0, twister_bytes);
  auto put = [&](size_t at, auto value) { std::memcpy(bytes + at, &value, sizeof value); };
  put(0, d.twister->seed);
  put(8, int32_t(d.twister->left));
  put(12, int32_t(1));
  put(16, uint64_t(d.twister->next));
  for (size_t i = 0; i < Mersenne::words_of_state; i++) put(words_at + 8 * i, uint64_t(d.twister->state[i]));
  put(normal_at + 8, d.twister->kept.value_or(0));
  put(normal_at + 24, int32_t(d.twister->kept.has_value()));
  return wrap(out);
}
PyObject* generator_set(PyObject* o, PyObject* state) {
  if (is_tensor(state)) {
    const Tensor& given = unwrap(state);
    if (given.dtype() != DType::U8 || given.numel() != static_cast<int64_t>(twister_bytes) ||
        !given.is_contiguous()) {
      PyErr_Format(PyExc_RuntimeError,
                   "set_state: the state of a Mersenne Twister is a tensor of %zu bytes (uint8)",
                   twister_bytes);
      return nullptr;
    }
    const uint8_t* bytes = given.data<uint8_t>();
    auto take = [&]<class T>(size_t at, T value) {
      std::memcpy(&value, bytes + at, sizeof value);
      return value;
    };
    auto twister = std::make_shared<Mersenne>(take(0, uint64_t()));
    twister->left = take(8, int32_t());
    uint64_t next = take(16, uint64_t());
    if (twister->left < 1 || twister->left > Mersenne::words_of_state ||
        (twister->left > 1 && next > static_cast<uint64_t>(Mersenne::words_of_state - twister->left + 1)) ||
        next > Mersenne::words_of_state) {
      PyErr_SetString(PyExc_RuntimeError, "set_state: this is no state of a Mersenne Twister");
      return nullptr;
    }
    twister->next = static_cast<uint32_t>(next);
    for (size_t i = 0; i < Mersenne::words_of_state; i++)
      twister->state[i] = static_cast<uint32_t>(take(words_at + 8 * i, uint64_t()));
    if (take(normal_at + 24, int32_t())) twister->kept = take(normal_at + 8, double());
    generator_of(o).set_state({twister->seed, 0, twister});
    Py_INCREF(o);
    return o;
  }
  unsigned long long seed, offset;
  if (!PyArg_ParseTuple(state, "KK:set_state", &seed, &offset)) return nullptr;
  generator_of(o).set_state({seed, offset, nullptr});
  Py_INCREF(o);
  return o;
}
PyObject* generator_initial(PyObject* o, PyObject*) {
  return PyLong_FromUnsignedLongLong(generator_of(o).state().seed);
}
PyObject* generator_fresh(PyObject* o, PyObject*) {
  std::random_device device;
  uint64_t seed = (uint64_t(device()) << 32 | device()) >> 1;
  generator_of(o).set_seed(seed);
  return PyLong_FromUnsignedLongLong(seed);
}
PyObject* generator_clone(PyObject* o, PyObject*) {
  PyObject* copy = generator_new(Py_TYPE(o), nullptr, nullptr);
  if (copy) generator_of(copy).set_state(generator_of(o).state());
  return copy;
}
PyObject* generator_device(PyObject*, void*) { return device_object(NamedDevice{}); }
PyGetSetDef generator_getset[] = {
    {"device", generator_device, nullptr, "Where its numbers are made: the CPU.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyMethodDef generator_methods[] = {
    {"manual_seed", generator_seed, METH_O, "Starts the stream again from a seed; returns the generator."},
    {"get_state", generator_get, METH_NOARGS,
     "All of the state: (seed, offset), or a twister's as a tensor of bytes."},
    {"set_state", generator_set, METH_O, "Continues from a state of get_state()."},
    {"initial_seed", generator_initial, METH_NOARGS, "The seed of the stream."},
    {"seed", generator_fresh, METH_NOARGS,
     "Starts the stream again from a seed of the system's; returns it."},
    {"clone_state", generator_clone, METH_NOARGS, "A generator that goes on with the same numbers."},
    {nullptr, nullptr, 0, nullptr}};

PyTypeObject* make_type(const char* name, int size, std::initializer_list<PyType_Slot> slots) {
  std::vector<PyType_Slot> list(slots);
  list.push_back({0, nullptr});
  PyType_Spec spec{name, size, 0, Py_TPFLAGS_DEFAULT, list.data()};
  return reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
}
}  // namespace

PyObject* dtype_object(DType dtype) {
  PyObject*& o = dtype_objects[static_cast<int>(dtype)];
  if (!o) {
    o = dtype_type->tp_alloc(dtype_type, 0);
    if (o) reinterpret_cast<DTypeObject*>(o)->dtype = dtype;
  }
  Py_XINCREF(o);
  return o;
}
PyObject* device_object(Device device) { return device_object(NamedDevice{device}); }

bool to_dtype_value(PyObject* v, DType& out) {
  if (Py_TYPE(v) == dtype_type) {
    out = dtype_of(v);
    return true;
  }
  if (v == reinterpret_cast<PyObject*>(&PyFloat_Type)) out = DType::F64;
  else if (v == reinterpret_cast<PyObject*>(&PyComplex_Type)) out = DType::C128;
  else if (v == reinterpret_cast<PyObject*>(&PyLong_Type)) out = DType::I64;
  else if (v == reinterpret_cast<PyObject*>(&PyBool_Type)) out = DType::Bool;
  else return false;
  return true;
}
bool to_device_value(PyObject* v, Device& out) {
  if (Py_TYPE(v) == device_type) {
    const NamedDevice& named = device_of(v);
    out = named.absent ? parse_device(named.absent) : named.device;  // an absent one: the error says so
    return true;
  }
  if (!PyUnicode_Check(v)) return false;
  out = parse_device(utf8(v));
  return true;
}
Generator* generator_value(PyObject* o) { return Py_TYPE(o) == generator_type ? &generator_of(o) : nullptr; }

int init_classes(PyObject* module) {
  dtype_type = make_type("moka.dtype", sizeof(DTypeObject),
                         {{Py_tp_repr, slot(dtype_repr)},
                          {Py_tp_getset, dtype_getset},
                          {Py_tp_methods, dtype_methods},
                          {Py_tp_doc, slot("The type of a tensor's elements.")}});
  device_type = make_type("moka.device", sizeof(DeviceObject),
                          {{Py_tp_new, slot(device_new)},
                           {Py_tp_repr, slot(device_repr)},
                           {Py_tp_str, slot(device_str)},
                           {Py_tp_richcompare, slot(device_compare)},
                           {Py_tp_hash, slot(device_hash)},
                           {Py_tp_getset, device_getset},
                           {Py_tp_methods, device_methods},
                           {Py_tp_doc, slot("Where a tensor lives.")}});
  generator_type =
      make_type("moka.Generator", sizeof(GeneratorObject),
                {{Py_tp_new, slot(generator_new)},
                 {Py_tp_dealloc, slot(generator_dealloc)},
                 {Py_tp_methods, generator_methods},
                 {Py_tp_getset, generator_getset},
                 {Py_tp_doc, slot("A stream of random numbers: the same for any number of threads.")}});
  if (!dtype_type || !device_type || !generator_type) return -1;
  if (PyModule_AddFunctions(module, device_functions) < 0) return -1;
  if (PyModule_AddObjectRef(module, "dtype", reinterpret_cast<PyObject*>(dtype_type)) < 0) return -1;
  if (PyModule_AddObjectRef(module, "device", reinterpret_cast<PyObject*>(device_type)) < 0) return -1;
  if (PyModule_AddObjectRef(module, "Generator", reinterpret_cast<PyObject*>(generator_type)) < 0) return -1;
  for (int i = 0; i < dtype_count(); i++) {
    DType d = static_cast<DType>(i);
    const DTypeInfo& entry = info(d);
    if (entry.family == DTypeClass::String) continue;
    PyObject* o = dtype_object(d);
    if (!o || PyModule_AddObjectRef(module, std::string(entry.name).c_str(), o) < 0) return -1;
    if (!entry.alias.empty() && PyModule_AddObjectRef(module, std::string(entry.alias).c_str(), o) < 0)
      return -1;
    Py_DECREF(o);
  }
  GeneratorObject* standard = reinterpret_cast<GeneratorObject*>(generator_type->tp_alloc(generator_type, 0));
  if (!standard) return -1;
  standard->generator = &default_generator();
  add_ref(static_cast<Object*>(standard->generator));
  standard_generator = reinterpret_cast<PyObject*>(standard);
  return PyModule_AddObject(module, "default_generator", reinterpret_cast<PyObject*>(standard));
}

}  // namespace moka::python
