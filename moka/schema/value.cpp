// Ownership of boxed values: strings and lists lie behind a small counted header.
// SPDX-License-Identifier: Apache-2.0
#include "moka/schema/value.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

namespace moka {

namespace {
struct alignas(16) Header {
  std::atomic<uint32_t> references{1};
};

void* make_box(size_t bytes) {
  // Of an empty list too the payload has an address inside: leak detection finds it.
  void* p = std::malloc(sizeof(Header) + (bytes ? bytes : 1));
  if (!p) fail_kind(ErrorKind::OutOfMemory, "out of memory: cannot allocate a list of ", bytes, " bytes");
  new (p) Header;
  return static_cast<char*>(p) + sizeof(Header);
}
Header* header(const void* payload) {
  return reinterpret_cast<Header*>(static_cast<char*>(const_cast<void*>(payload)) - sizeof(Header));
}
template <class T>
T* copy_box(const T* from, size_t n) {
  if (n > UINT32_MAX) fail("list: at most ", uint64_t(UINT32_MAX), " elements, got ", n);
  T* p = static_cast<T*>(make_box(n * sizeof(T)));
  if (n) std::memcpy(static_cast<void*>(p), from, n * sizeof(T));
  return p;
}
[[noreturn]] void wrong(const char* wanted, const Arg& got) {
  fail_kind(ErrorKind::Type, "expected ", wanted, ", got ", tag_name(got.tag), " ", got);
}
}  // namespace

const char* tag_name(Tag tag) {
  static const char* const names[] = {"None",           "Tensor", "int",   "float",       "bool",
                                      "dtype",          "device", "str",   "list of int", "list of float",
                                      "list of Tensor", "list",   "object"};
  return names[static_cast<int>(tag)];
}

int64_t Arg::as_int() const {
  if (tag == Tag::Int) return i;
  if (tag == Tag::Bool) return b;
  if (tag == Tag::Float && std::nearbyint(f) == f && std::abs(f) < 0x1p62) return static_cast<int64_t>(f);
  wrong("an integer", *this);
}
std::span<const Any> Arg::as_list() const { return {list, count}; }

Any::Any(std::string_view v) {
  const char* p = copy_box(v.data(), v.size());
  arg_ = Arg(std::string_view(p, v.size()));
}
Any::Any(std::span<const int64_t> v) {
  arg_ = Arg(std::span<const int64_t>(copy_box(v.data(), v.size()), v.size()));
}
Any::Any(std::span<const double> v) {
  arg_ = Arg(std::span<const double>(copy_box(v.data(), v.size()), v.size()));
}
Any::Any(std::span<const Tensor> v) {
  TensorImpl** p = copy_box(reinterpret_cast<TensorImpl* const*>(v.data()), v.size());
  for (size_t i = 0; i < v.size(); i++)
    if (p[i]) add_ref(p[i]);
  arg_.tag = Tag::Tensors;
  arg_.count = static_cast<uint32_t>(v.size());
  arg_.tensors = p;
}
Any::Any(std::span<const Any> v) {
  Any* p = static_cast<Any*>(make_box(v.size() * sizeof(Any)));
  for (size_t i = 0; i < v.size(); i++) new (p + i) Any(v[i]);
  arg_.tag = Tag::List;
  arg_.count = static_cast<uint32_t>(v.size());
  arg_.list = p;
}
Any::Any(Ref<Object> o) {
  if (!o) return;
  arg_.tag = Tag::Object;
  arg_.object = o.detach();
}

Any Any::copy(const Arg& a) {
  switch (a.tag) {
    case Tag::Tensor: return Any(a.as_tensor());
    case Tag::String: return Any(a.as_string());
    case Tag::Ints: return Any(a.as_ints());
    case Tag::Floats: return Any(a.as_floats());
    case Tag::Tensors: return Any(a.as_tensors());
    case Tag::List: return Any(a.as_list());
    case Tag::Object: return Any(Ref<Object>::share(a.object));
    default: {
      Any out;
      out.arg_ = a;
      return out;
    }
  }
}

void Any::retain() {
  switch (arg_.tag) {
    case Tag::Tensor: add_ref(arg_.tensor); break;
    case Tag::Object: add_ref(arg_.object); break;
    case Tag::String:
    case Tag::Ints:
    case Tag::Floats:
    case Tag::Tensors:
    case Tag::List: header(arg_.pointer)->references.fetch_add(1, std::memory_order_relaxed); break;
    default: break;
  }
}

void Any::drop() {
  if (arg_.tag == Tag::Tensor) return release(arg_.tensor);
  if (arg_.tag == Tag::Object) return release(arg_.object);
  Header* h = header(arg_.pointer);
  if (h->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (arg_.tag == Tag::Tensors) {
    for (uint32_t i = 0; i < arg_.count; i++)
      if (arg_.tensors[i]) release(arg_.tensors[i]);
  } else if (arg_.tag == Tag::List) {
    for (uint32_t i = 0; i < arg_.count; i++) const_cast<Any&>(arg_.list[i]).~Any();
  }
  std::free(h);
}

const Tensor& Any::tensor() const {
  if (arg_.tag != Tag::Tensor) wrong("a Tensor", arg_);
  return arg_.as_tensor();
}
double Any::to_double() const {
  if (!arg_.is_number()) wrong("a number", arg_);
  return arg_.as_double();
}
bool Any::to_bool() const {
  if (!arg_.is_number()) wrong("a bool", arg_);
  return arg_.as_double() != 0;
}
DType Any::dtype() const {
  if (arg_.tag != Tag::DType) wrong("a dtype", arg_);
  return arg_.dtype;
}
std::string_view Any::string() const {
  if (arg_.tag != Tag::String) wrong("a str", arg_);
  return arg_.as_string();
}
std::span<const int64_t> Any::ints() const {
  if (arg_.tag != Tag::Ints) wrong("a list of int", arg_);
  return arg_.as_ints();
}
std::span<const Tensor> Any::tensors() const {
  if (arg_.tag != Tag::Tensors) wrong("a list of Tensor", arg_);
  return arg_.as_tensors();
}
std::span<const Any> Any::list() const {
  if (arg_.tag != Tag::List) wrong("a list", arg_);
  return arg_.as_list();
}

bool operator==(const Any& x, const Any& y) {
  const Arg &a = x.arg_, &b = y.arg_;
  if (a.tag != b.tag || a.count != b.count) return false;
  switch (a.tag) {
    case Tag::None: return true;
    case Tag::Int: return a.i == b.i;
    case Tag::Float: return a.f == b.f;
    case Tag::Bool: return a.b == b.b;
    case Tag::DType: return a.dtype == b.dtype;
    case Tag::Device: return a.device == b.device;
    case Tag::String: return a.as_string() == b.as_string();
    case Tag::Ints: return !std::memcmp(a.ints, b.ints, a.count * sizeof(int64_t));
    case Tag::Floats: return !std::memcmp(a.floats, b.floats, a.count * sizeof(double));
    case Tag::Tensors: return !std::memcmp(a.tensors, b.tensors, a.count * sizeof(void*));
    case Tag::List:
      for (uint32_t i = 0; i < a.count; i++)
        if (!(a.list[i] == b.list[i])) return false;
      return true;
    default: return a.pointer == b.pointer;
  }
}

void append_text(std::string& out, const Tensor& t) {
  if (!t) {
    out += "None";
    return;
  }
  append_text(out, t.dtype());
  append_text(out, t.sizes());
}

void append_text(std::string& out, const Arg& a) {
  auto list = [&](auto&& items) {
    out.push_back('[');
    bool first = true;
    for (const auto& item : items) {
      if (!first) out += ", ";
      first = false;
      append_part(out, item);
    }
    out.push_back(']');
  };
  switch (a.tag) {
    case Tag::None: out += "None"; break;
    case Tag::Tensor: append_text(out, a.as_tensor()); break;
    case Tag::Int: append_text(out, a.i); break;
    case Tag::Float: append_text(out, a.f); break;
    case Tag::Bool: out += a.b ? "True" : "False"; break;
    case Tag::DType: append_text(out, a.dtype); break;
    case Tag::Device: append_text(out, a.device); break;
    case Tag::String: (out += '\'').append(a.as_string()) += '\''; break;
    case Tag::Ints: append_text(out, a.as_ints()); break;
    case Tag::Floats: list(a.as_floats()); break;
    case Tag::Tensors: list(a.as_tensors()); break;
    case Tag::List: list(a.as_list()); break;
    case Tag::Object: out += a.object->type_name(); break;
  }
}
void append_text(std::string& out, const Any& a) { append_text(out, a.arg()); }

}  // namespace moka
