// Values in files of their own, as ONNX's test data have them: TensorProto, SequenceProto, OptionalProto, MapProto.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <protozero/pbf_writer.hpp>

#include "moka/formats/onnx/exporter_internal.h"
#include "moka/formats/onnx/model.h"
#include "moka/formats/onnx/onnx.h"
#include "moka/formats/spelling/table.h"
#include "moka/graph/dictionary.h"
#include "moka/tensor/strings.h"

namespace moka::onnx {

using graph::Type;
using graph::TypeKind;
using proto::Message;
using protozero::pbf_writer;

namespace {

class ValueReader {
 public:
  ValueReader(proto::Budget& budget, const Bytes& owner) : budget_(budget), owner_(owner) {}

  Any read(std::string_view bytes, const Type& type, int depth) {
    MOKA_CHECK_KIND(File, depth < budget_.limits.max_depth, budget_.file, ": is nested more than ",
                    budget_.limits.max_depth, " deep");
    switch (type.kind) {
      case TypeKind::List: return list(bytes, type.elements.at(0), depth);
      case TypeKind::Optional: return optional(bytes, type.elements.at(0), depth);
      case TypeKind::Dict: return map(bytes, type, depth);
      default: return Any(with_bits(read_tensor(budget_, bytes, owner_, none_), type));
    }
  }

 private:
  // Files of onnx before 1.13 have the bits of bfloat16 as uint16.
  static Tensor with_bits(Tensor t, const Type& type) {
    if (type.kind != TypeKind::Tensor || !type.has_dtype || type.dtype != DType::BF16 ||
        t.dtype() != DType::U16)
      return t;
    Tensor out = new_tensor(t.sizes(), DType::BF16);
    std::memcpy(out.raw_data(), as_contiguous(t).raw_data(), out.bytes());
    return out;
  }
  Any list(std::string_view bytes, const Type& element, int depth) {
    std::vector<Any> items;
    std::vector<Tensor> tensors;
    Message m(budget_, bytes, "SequenceProto", depth);
    while (m.next()) {
      if (m.field() >= 3 && m.field() <= 7) {
        budget_.take_nodes(1);
        MOKA_CHECK_KIND(File, m.field() == field_of(element), budget_.file, ": a list of ", element.text(),
                        " was expected");
        items.push_back(read(m.raw("values"), element, depth + 1));
        if (items.back().is_tensor()) tensors.push_back(items.back().tensor());
      } else {
        m.skip();
      }
    }
    if (tensors.size() == items.size()) return Any(std::span<const Tensor>(tensors));
    return Any(std::span<const Any>(items));
  }
  static int field_of(const Type& element) {
    return element.kind == TypeKind::List       ? 5
           : element.kind == TypeKind::Dict     ? 6
           : element.kind == TypeKind::Optional ? 7
                                                : 3;
  }
  Any optional(std::string_view bytes, const Type& element, int depth) {
    Message m(budget_, bytes, "OptionalProto", depth);
    Any out;
    while (m.next()) {
      if (m.field() >= 3 && m.field() <= 7) {
        MOKA_CHECK_KIND(File, m.field() == field_of(element), budget_.file, ": ", element.text(),
                        " was expected");
        out = read(m.raw("value"), element, depth + 1);
      } else {
        m.skip();
      }
    }
    return out;
  }
  Any map(std::string_view bytes, const Type& type, int depth) {
    std::vector<int64_t> keys;
    std::vector<std::string_view> texts;
    Any values;
    Message m(budget_, bytes, "MapProto", depth);
    while (m.next()) {
      if (m.field() == 3) m.integers("keys", keys);
      else if (m.field() == 4) {
        budget_.take_nodes(1);
        texts.push_back(m.raw("string_keys"));
      } else if (m.field() == 5) values = list(m.raw("values"), Type::tensor(), depth + 1);
      else m.skip();
    }
    const bool named = !texts.empty();
    const int64_t count = static_cast<int64_t>(named ? texts.size() : keys.size());
    MOKA_CHECK_KIND(File,
                    values.is_none() ? count == 0 : values.tensors().size() == static_cast<size_t>(count),
                    budget_.file, ": a map of ", count, " keys has another number of values");
    Tensor key = new_tensor(std::span(&count, 1), named ? DType::String : DType::I64);
    if (named) {
      TextWriter to(key);
      for (int64_t i = 0; i < count; i++) to.set(i, texts[static_cast<size_t>(i)]);
    } else {
      for (int64_t i = 0; i < count; i++) key.data<int64_t>()[i] = keys[static_cast<size_t>(i)];
      if (type.elements[0].has_dtype) key = to_dtype(key, type.elements[0].dtype);
    }
    DType dtype = DType::F32;
    if (count) dtype = values.tensors()[0].dtype();
    else if (type.elements[1].has_dtype) dtype = type.elements[1].dtype;
    Tensor all = new_tensor(std::span(&count, 1), dtype);
    for (int64_t i = 0; i < count; i++) {
      const Tensor& one = values.tensors()[static_cast<size_t>(i)];
      MOKA_CHECK_KIND(File, one.numel() == 1 && one.dtype() == dtype && dtype != DType::String, budget_.file,
                      ": values of a map must be numbers of one type");
      std::memcpy(static_cast<char*>(all.raw_data()) + static_cast<size_t>(i) * item_size(dtype),
                  one.raw_data(), item_size(dtype));
    }
    return Any(Ref<Object>::share(new graph::Dictionary(key, all)));
  }

  proto::Budget& budget_;
  const Bytes& owner_;
  ExternalData none_;
};

int kind_of(const Any& v) {  // SequenceProto.DataType: 1 tensor, 3 sequence, 4 map
  return v.is_tensor() || v.is_none() ? 1 : graph::dictionary_of(v.arg()) ? 4 : 3;
}

// `optional`: the value stands in an OptionalProto.
std::string written(const Any& value, std::string_view name, bool optional) {
  std::string out;
  pbf_writer w(out);
  if (optional) {
    if (!name.empty()) w.add_string(1, name.data(), name.size());
    w.add_enum(2, value.is_none() ? 0 : kind_of(value));
    if (!value.is_none())
      w.add_message(kind_of(value) == 1 ? 3 : kind_of(value) + 2, written(value, {}, false));
  } else if (value.is_tensor()) {
    write_tensor(w, value.tensor(), name);
  } else if (value.arg().is_number()) {
    const DType dtype = value.tag() == Tag::Float  ? DType::F64
                        : value.tag() == Tag::Bool ? DType::Bool
                                                   : DType::I64;
    write_tensor(w, spelling::number_tensor(value, dtype), name);
  } else if (value.tag() == Tag::Tensors || value.tag() == Tag::List) {
    std::vector<Any> items;
    if (value.tag() == Tag::List) items.assign(value.list().begin(), value.list().end());
    else
      for (const Tensor& t : value.tensors()) items.push_back(t ? Any(t) : Any());
    if (!name.empty()) w.add_string(1, name.data(), name.size());
    const int kind = items.empty() ? 1 : kind_of(items[0]);
    w.add_enum(2, kind);
    for (const Any& item : items) w.add_message(static_cast<uint32_t>(kind + 2), written(item, {}, false));
  } else if (const graph::Dictionary* d = graph::dictionary_of(value.arg())) {
    if (!name.empty()) w.add_string(1, name.data(), name.size());
    const bool named = d->keys.dtype() == DType::String;
    w.add_int32(2, spelling::dtype_code(spelling::Dialect::Onnx, d->keys.dtype()));
    std::vector<Tensor> values;
    for (int64_t i = 0; i < d->keys.numel(); i++) {
      if (named) w.add_bytes(4, texts_of(d->keys)[i].data(), texts_of(d->keys)[i].size());
      else w.add_int64(3, element_as_int(d->keys, i));
      values.push_back(as_contiguous(
          strided_view(d->values, Dims{}, Dims{}, d->values.impl()->offset + i * d->values.stride(0))));
    }
    w.add_message(5, written(Any(std::span<const Tensor>(values)), {}, false));
  } else {
    fail_kind(ErrorKind::NotImplemented, "value '", name, "': a ", tag_name(value.tag()),
              " has no form in ONNX");
  }
  return out;
}

}  // namespace

Any read_value(const Bytes& bytes, std::string_view name, const Type& type, const Limits& limits) {
  proto::Budget budget(std::string(name), bytes.text(), limits);
  return ValueReader(budget, bytes).read(bytes.text(), type, 0);
}

std::string write_value(const Any& value, std::string_view name, const Type& type) {
  return written(value, name, type.kind == TypeKind::Optional);
}

}  // namespace moka::onnx
