// Files of torch.save for Python: the values of a Document as Python objects.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/pickle/pickle.h"

#include <nanobind/stl/string.h>

#include <cstring>
#include <unordered_map>

#include "python/bindings/arguments.h"
#include "python/bindings/modules.h"
#include "python/bindings/tensor_caster.h"

namespace nb = nanobind;

namespace moka::python {

namespace {

// Values that stand in several places become one object; tensors of one storage share fresh memory.
class Converter {
 public:
  Converter(const nb::object& make, std::string name) : make_(make), name_(std::move(name)) {}

  nb::object object(const pickle::Value* v, int depth) {
    const auto found = made_.find(v);
    if (found != made_.end()) {
      MOKA_CHECK_KIND(File, found->second.is_valid(), name_, ": a tuple contains itself");
      return found->second;
    }
    MOKA_CHECK_KIND(File, depth < Limits{}.max_depth, name_, ": its values are nested more than ",
                    Limits{}.max_depth, " deep");
    made_[v];  // marks it as being made
    nb::object out = fresh(v, depth);
    made_[v] = out;
    return out;
  }

 private:
  nb::object fresh(const pickle::Value* v, int depth) {
    using pickle::Kind;
    switch (v->kind) {
      case Kind::None: return nb::none();
      case Kind::Bool: return nb::bool_(v->integer != 0);
      case Kind::Int: return nb::int_(v->integer);
      case Kind::BigInt: {
        const nb::object type = nb::borrow(reinterpret_cast<PyObject*>(&PyLong_Type));
        return type.attr("from_bytes")(bytes(v->text), "little", nb::arg("signed") = true);
      }
      case Kind::Float: return nb::float_(v->real);
      case Kind::Complex: return nb::steal(PyComplex_FromDoubles(v->real, v->imaginary));
      case Kind::Text: {
        // torch writes unpaired surrogates as pickle does.
        PyObject* text = PyUnicode_DecodeUTF8(v->text.data(), Py_ssize_t(v->text.size()), "surrogatepass");
        if (!text) {
          PyErr_Clear();
          fail_kind(ErrorKind::File, name_, ": a text is not UTF-8");
        }
        return nb::steal(text);
      }
      case Kind::Bytes: return bytes(v->text);
      case Kind::DType: return nb::steal(dtype_object(static_cast<DType>(v->integer)));
      case Kind::Device: return make_("device", v->text);
      case Kind::Name: return make_("name", v->text);
      case Kind::Storage: fail_kind(ErrorKind::File, name_, ": a storage stands by itself, outside a tensor");
      case Kind::Tensor:
      case Kind::Parameter: return tensor(v);
      case Kind::List: return filled(nb::list(), v, "append", depth);
      case Kind::Set: return filled(nb::steal(PySet_New(nullptr)), v, "add", depth);
      case Kind::Tuple:
      case Kind::Size: {
        nb::list items;
        for (const pickle::Value* item : v->items) items.append(object(item, depth + 1));
        const nb::tuple out(items);
        return v->kind == Kind::Size ? make_("size", out) : nb::object(out);
      }
      case Kind::Dict:
      case Kind::Ordered: {
        nb::object out = v->kind == Kind::Dict ? nb::object(nb::dict()) : make_("ordered", nb::none());
        made_[v] = out;
        for (size_t i = 0; i + 1 < v->items.size(); i += 2) {
          const nb::object key = object(v->items[i], depth + 1), item = object(v->items[i + 1], depth + 1);
          if (PyObject_SetItem(out.ptr(), key.ptr(), item.ptr())) unhashable();
        }
        return out;
      }
    }
    fail_kind(ErrorKind::Internal, "pickle: a value of unknown kind");
  }
  nb::object filled(nb::object out, const pickle::Value* v, const char* add, int depth) {
    made_[v] = out;
    for (const pickle::Value* item : v->items) {
      const nb::object made = object(item, depth + 1);
      const int failed = *add == 'a' && add[1] == 'p' ? PyList_Append(out.ptr(), made.ptr())
                                                      : PySet_Add(out.ptr(), made.ptr());
      if (failed) unhashable();
    }
    return out;
  }
  [[noreturn]] void unhashable() {
    PyErr_Clear();
    fail_kind(ErrorKind::File, name_, ": a key of a dict or an entry of a set can be none");
  }
  static nb::object bytes(const std::string& s) { return nb::bytes(s.data(), s.size()); }

  // The file's memory is read-only: each storage is copied once, and its views are made over the copy.
  nb::object tensor(const pickle::Value* v) {
    const Tensor& t = v->tensor;
    Tensor out;
    if (t.numel() == 0) {
      out = new_tensor(t.sizes(), t.dtype());
    } else {
      const Storage* storage = t.impl()->storage;
      Tensor& copy = copies_[{storage, t.dtype()}];
      const char* begin = static_cast<const char*>(storage->data);
      if (!copy) {
        copy = new_tensor(Dims{int64_t(storage->bytes / item_size(t.dtype()))}, t.dtype());
        std::memcpy(copy.raw_data(), begin, copy.bytes());
      }
      const int64_t offset = (static_cast<const char*>(t.raw_data()) - begin) / int64_t(item_size(t.dtype()));
      out = strided_view(copy, t.sizes(), t.strides(), offset);
    }
    const char* kind = v->kind == pickle::Kind::Parameter ? "parameter" : "tensor";
    return make_(kind, nb::make_tuple(nb::cast(out), v->requires_grad));
  }

  struct Hash {
    size_t operator()(const std::pair<const Storage*, DType>& k) const {
      return std::hash<const void*>()(k.first) ^ static_cast<size_t>(k.second);
    }
  };
  const nb::object& make_;
  std::string name_;
  std::unordered_map<const pickle::Value*, nb::object> made_;
  std::unordered_map<std::pair<const Storage*, DType>, Tensor, Hash> copies_;
};

}  // namespace

void bind_pickle(nb::module_& m) {
  m.def(
      "_pickle_load",
      [](const std::string& path, const nb::object& make) {
        const pickle::Document document = pickle::read(Bytes::of_file(path), path);
        return Converter(make, path).object(document.root, 0);
      },
      nb::arg("path"), nb::arg("make"));
  m.def(
      "_pickle_load_bytes",
      [](const nb::bytes& data, const std::string& name, const nb::object& make) {
        const pickle::Document document = pickle::read(Bytes::copy({data.c_str(), data.size()}), name);
        return Converter(make, name).object(document.root, 0);
      },
      nb::arg("data"), nb::arg("name"), nb::arg("make"));
}

}  // namespace moka::python
