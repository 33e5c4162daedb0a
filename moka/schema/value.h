// Arg: a borrowed value of any schema type, 16 bytes. Any: the same, owned. Every call, constant and list is made of
// these, so that eager calls, the tape, graphs, plug-ins and bindings share one calling convention.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "moka/tensor/tensor.h"

namespace moka {

enum class Tag : uint8_t {
  None,
  Tensor,
  Int,
  Float,
  Bool,
  DType,
  Device,
  String,  // count characters
  Ints,  // count int64
  Floats,  // count double
  Tensors,  // count TensorImpl*, null where an optional element is missing
  List,  // count Any: lists of anything else, tuples
  Object,  // a counted Object: generators, dictionaries, module instances
};
const char* tag_name(Tag tag);

// Base of counted things that are not tensors.
struct Object {
  std::atomic<uint32_t> references{0};
  virtual ~Object() = default;
  virtual const char* type_name() const = 0;
};
inline void add_ref(Object* o) { o->references.fetch_add(1, std::memory_order_relaxed); }
inline void release(Object* o) {
  if (o->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete o;
}

class Any;

struct Arg {
  Tag tag = Tag::None;
  uint32_t count = 0;
  union {
    int64_t i;
    double f;
    bool b;
    DType dtype;
    Device device;
    TensorImpl* tensor;
    const char* text;
    const int64_t* ints;
    const double* floats;
    TensorImpl* const* tensors;
    const Any* list;
    Object* object;
    void* pointer = nullptr;
  };

  Arg() = default;
  Arg(std::nullptr_t) {}
  Arg(const Tensor& t) : tag(t ? Tag::Tensor : Tag::None) { tensor = t.impl(); }
  Arg(TensorImpl* t) : tag(t ? Tag::Tensor : Tag::None) { tensor = t; }
  Arg(bool v) : tag(Tag::Bool) {
    i = 0;
    b = v;
  }
  Arg(int v) : tag(Tag::Int) { i = v; }
  Arg(int64_t v) : tag(Tag::Int) { i = v; }
  Arg(double v) : tag(Tag::Float) { f = v; }
  Arg(DType v) : tag(Tag::DType) { dtype = v; }
  Arg(Device v) : tag(Tag::Device) { device = v; }
  Arg(std::string_view v) : tag(Tag::String), count(static_cast<uint32_t>(v.size())) { text = v.data(); }
  Arg(const char* v) : Arg(std::string_view(v)) {}
  Arg(std::span<const int64_t> v) : tag(Tag::Ints), count(static_cast<uint32_t>(v.size())) {
    ints = v.data();
  }
  Arg(const Dims& v) : Arg(std::span<const int64_t>(v)) {}
  Arg(std::span<const double> v) : tag(Tag::Floats), count(static_cast<uint32_t>(v.size())) {
    floats = v.data();
  }
  // A Tensor is one pointer: a span of them is a span of TensorImpl*.
  Arg(std::span<const Tensor> v) : tag(Tag::Tensors), count(static_cast<uint32_t>(v.size())) {
    tensors = reinterpret_cast<TensorImpl* const*>(v.data());
  }
  Arg(const Any& v);  // borrows

  bool is_none() const { return tag == Tag::None; }
  bool is_number() const { return tag == Tag::Int || tag == Tag::Float || tag == Tag::Bool; }
  // Unchecked views for callers that a schema protects.
  const Tensor& as_tensor() const { return *reinterpret_cast<const Tensor*>(&tensor); }
  std::span<const Tensor> as_tensors() const { return {reinterpret_cast<const Tensor*>(tensors), count}; }
  std::span<const int64_t> as_ints() const { return {ints, count}; }
  std::span<const double> as_floats() const { return {floats, count}; }
  std::string_view as_string() const { return {text, count}; }
  std::span<const Any> as_list() const;
  double as_double() const { return tag == Tag::Float ? f : tag == Tag::Bool ? double(b) : double(i); }
  int64_t as_int() const;  // a Float must be integral
};
static_assert(sizeof(Tensor) == sizeof(TensorImpl*) && sizeof(Arg) == 16);

class Any {
 public:
  Any() = default;
  Any(std::nullptr_t) {}
  Any(const Any& o) : arg_(o.arg_) { retain(); }
  Any(Any&& o) noexcept { take(o); }
  Any& operator=(Any o) noexcept {
    if (owns()) drop();
    take(o);
    return *this;
  }
  ~Any() {
    if (owns()) drop();
  }
  Any(Tensor t) : Any(adopt_tensor(t.detach())) {}
  template <class T>
    requires(std::is_same_v<T, bool> || std::is_same_v<T, int> || std::is_same_v<T, int64_t> ||
             std::is_same_v<T, double> || std::is_same_v<T, DType> || std::is_same_v<T, Device>)
  Any(T v) : arg_(v) {}
  Any(std::string_view v);
  Any(const char* v) : Any(std::string_view(v)) {}
  Any(const std::string& v) : Any(std::string_view(v)) {}
  Any(std::span<const int64_t> v);
  Any(const Dims& v) : Any(std::span<const int64_t>(v)) {}
  Any(std::span<const double> v);
  Any(std::span<const Tensor> v);
  Any(std::span<const Any> v);
  Any(Ref<Object> o);
  static Any copy(const Arg& a);  // takes ownership of what `a` borrows

  const Arg& arg() const { return arg_; }
  Tag tag() const { return arg_.tag; }
  bool is_none() const { return arg_.tag == Tag::None; }
  bool is_tensor() const { return arg_.tag == Tag::Tensor; }
  const Tensor& tensor() const;  // checked
  int64_t to_int() const { return arg_.as_int(); }
  double to_double() const;
  bool to_bool() const;
  DType dtype() const;
  std::string_view string() const;
  std::span<const int64_t> ints() const;
  std::span<const Tensor> tensors() const;
  std::span<const Any> list() const;
  friend bool operator==(const Any& a, const Any& b);  // tensors by identity

 private:
  static Any adopt_tensor(TensorImpl* t) {
    Any a;
    if (t) {
      a.arg_.tag = Tag::Tensor;
      a.arg_.tensor = t;
    }
    return a;
  }
  // Part by part, as they were written: one load of all would wait for them.
  void take(Any& o) {
    arg_.tag = o.arg_.tag;
    arg_.count = o.arg_.count;
    arg_.pointer = o.arg_.pointer;
    o.arg_.tag = Tag::None;
    o.arg_.count = 0;
  }
  bool owns() const { return arg_.tag >= Tag::String || arg_.tag == Tag::Tensor; }
  void retain();
  void drop();
  Arg arg_;
};

inline Arg::Arg(const Any& v) : Arg(v.arg()) {}
void append_text(std::string& out,
                 const Arg& a);  // short text: numbers as they are, tensors as float32[2, 3]
void append_text(std::string& out, const Any& a);
void append_text(std::string& out, const Tensor& t);

}  // namespace moka
