// The buffer protocol, both ways: tensors for NumPy and memoryview, and memory of other objects as tensors.
// SPDX-License-Identifier: Apache-2.0
#include "python/bindings/buffer.h"
#include "python/bindings/convert.h"

#include <string>

#include "moka/tensor/meta.h"

namespace moka::python {

const char* buffer_format(DType dtype) {
  switch (dtype) {
    case DType::Bool: return "?";
    case DType::U8: return "B";
    case DType::I8: return "b";
    case DType::U16: return "H";
    case DType::I16: return "h";
    case DType::U32: return "I";
    case DType::I32: return "i";
    case DType::U64: return sizeof(long) == 8 ? "L" : "Q";  // as NumPy's own int64 and uint64 say
    case DType::I64: return sizeof(long) == 8 ? "l" : "q";
    case DType::F16: return "e";
    case DType::F32: return "f";
    case DType::F64: return "d";
    case DType::C64: return "Zf";
    case DType::C128: return "Zd";
    default: return nullptr;
  }
}

namespace {
bool dtype_of_format(const char* format, Py_ssize_t item, DType& out) {
  if (!format) format = "B";
  if (*format == '@' || *format == '=' || *format == '<') format++;
  char c = *format;
  if (c == 'Z') {
    out = format[1] == 'f' ? DType::C64 : DType::C128;
    return format[1] == 'f' || format[1] == 'd';
  }
  if (format[1]) return false;
  switch (c) {
    case '?': out = DType::Bool; return true;
    case 'e': out = DType::F16; return true;
    case 'f': out = DType::F32; return true;
    case 'd': out = DType::F64; return true;
    case 'b':
    case 'h':
    case 'i':
    case 'l':
    case 'q':
      out = item == 1 ? DType::I8 : item == 2 ? DType::I16 : item == 4 ? DType::I32 : DType::I64;
      return true;
    case 'B':
    case 'H':
    case 'I':
    case 'L':
    case 'Q':
      out = item == 1 ? DType::U8 : item == 2 ? DType::U16 : item == 4 ? DType::U32 : DType::U64;
      return true;
    default: return false;
  }
}

}  // namespace

Tensor from_buffer(PyObject* o, bool may_be_read_only) {
  if (!PyObject_CheckBuffer(o)) return {};
  Py_buffer* view = new Py_buffer;
  if (PyObject_GetBuffer(o, view, PyBUF_STRIDES | PyBUF_FORMAT) < 0) {
    delete view;
    throw PythonErrorSet{};
  }
  auto drop = [](Py_buffer* v) {
    PyBuffer_Release(v);
    delete v;
  };
  DType dtype;
  if (!dtype_of_format(view->format, view->itemsize, dtype)) {
    std::string format = view->format ? view->format : "";
    drop(view);
    if (format.size() > 1 && (format[0] == '>' || format[0] == '<' || format[0] == '!'))
      throw Error(ErrorKind::Value, cat("from_numpy: the array's elements have the format '", format,
                                        "', another byte order than this machine's; convert it with "
                                        "array.astype(array.dtype.newbyteorder('='))"));
    throw Error(ErrorKind::Type, cat("from_numpy: there is no dtype for elements of the format '", format,
                                     "'; numbers and bools have one"));
  }
  if (view->readonly && !may_be_read_only) {
    drop(view);
    throw Error(ErrorKind::Value,
                "from_numpy: the array is read-only and a tensor may be written to; use moka.tensor(array), "
                "which copies");
  }
  Dims sizes, strides;
  for (int d = 0; d < view->ndim; d++) {
    sizes.push_back(view->shape[d]);
    Py_ssize_t step = view->strides ? view->strides[d] : view->itemsize;
    if (step < 0 || step % view->itemsize) {
      drop(view);
      throw Error(ErrorKind::Value,
                  "from_numpy: negative or unaligned strides are not supported; copy the array first");
    }
    strides.push_back(step / view->itemsize);
  }
  int64_t reach = 1;
  for (int d = 0; d < view->ndim; d++) {
    if (sizes[d] == 0) reach = 0;
    if (reach) reach += (sizes[d] - 1) * strides[d];
  }
  return from_memory(
      view->buf, static_cast<size_t>(reach) * static_cast<size_t>(view->itemsize), sizes, strides, dtype,
      Device{},
      [](Storage* s) {
        if (!Py_IsInitialized()) return;
        GilHeld gil;
        Py_buffer* v = static_cast<Py_buffer*>(s->context);
        PyBuffer_Release(v);
        delete v;
      },
      view, view->readonly);
}

namespace {
struct BufferShape {
  Py_ssize_t sizes[max_dims], strides[max_dims];
};
}  // namespace

int get_buffer(PyObject* o, Py_buffer* view, int flags) {
  const Tensor& t = unwrap(o);
  const char* format = buffer_format(t.dtype());
  if (!format) {
    PyErr_Format(PyExc_BufferError, "buffer: %s has no buffer format; convert with .float() first",
                 std::string(info(t.dtype()).name).c_str());
    return -1;
  }
  if (!t.has_storage()) {
    PyErr_SetString(PyExc_BufferError, "buffer: the tensor has no memory of its own (inside vmap)");
    return -1;
  }
  if (is_meta(t)) {
    PyErr_SetString(PyExc_BufferError, "buffer: a tensor of the meta device has no memory");
    return -1;
  }
  if (!(flags & PyBUF_STRIDES) && !t.is_contiguous()) {
    PyErr_SetString(PyExc_BufferError, "buffer: the tensor is not contiguous");
    return -1;
  }
  try {
    check_not_capturing(t, "buffer");
  } catch (...) {
    set_python_error();
    return -1;
  }
  bool read_only = t.impl()->storage->read_only;
  if (read_only && (flags & PyBUF_WRITABLE)) {
    PyErr_SetString(PyExc_BufferError, "buffer: the tensor's memory is read-only");
    return -1;
  }
  BufferShape* shape = new BufferShape;
  Py_ssize_t item = static_cast<Py_ssize_t>(item_size(t.dtype()));
  for (int d = 0; d < t.dim(); d++) {
    shape->sizes[d] = t.size(d);
    shape->strides[d] = t.stride(d) * item;
  }
  view->buf = t.raw_data();
  view->obj = o;
  Py_INCREF(o);
  view->len = static_cast<Py_ssize_t>(t.bytes());
  view->itemsize = item;
  view->readonly = read_only;
  view->ndim = t.dim();
  view->format = flags & PyBUF_FORMAT ? const_cast<char*>(format) : nullptr;
  view->shape = flags & PyBUF_ND ? shape->sizes : nullptr;
  view->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? shape->strides : nullptr;
  view->suboffsets = nullptr;
  view->internal = shape;
  return 0;
}
void release_buffer(PyObject*, Py_buffer* view) { delete static_cast<BufferShape*>(view->internal); }

}  // namespace moka::python
