// The names a file may use and what they make; every tensor is checked against its storage.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/base/checked.h"
#include "moka/base/error.h"
#include "moka/formats/pickle/pickle_internal.h"

namespace moka::pickle {

namespace {

struct StorageName {
  std::string_view name;
  DType dtype;
};
constexpr StorageName storage_names[] = {
    {"FloatStorage", DType::F32},        {"DoubleStorage", DType::F64},
    {"HalfStorage", DType::F16},         {"BFloat16Storage", DType::BF16},
    {"ByteStorage", DType::U8},          {"CharStorage", DType::I8},
    {"ShortStorage", DType::I16},        {"IntStorage", DType::I32},
    {"LongStorage", DType::I64},         {"BoolStorage", DType::Bool},
    {"ComplexFloatStorage", DType::C64}, {"ComplexDoubleStorage", DType::C128},
};

// Functions and classes that may be called, by the whole name.
constexpr std::string_view callables[] = {
    "collections.OrderedDict",
    "collections.Counter",
    "collections.defaultdict",
    "builtins.dict",
    "builtins.set",
    "__builtin__.set",
    "builtins.complex",
    "__builtin__.complex",
    "_codecs.encode",
    "torch.Size",
    "torch.device",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._tensor._rebuild_from_type_v2",
    "torch.Tensor",
    "torch.nn.parameter.Parameter",
    "torch.nn.parameter.Buffer",
};

}  // namespace

bool find_storage(std::string_view name, DType& dtype, bool& untyped) {
  untyped = name == "torch.storage.UntypedStorage" || name == "torch.UntypedStorage";
  if (untyped) dtype = DType::U8;
  if (untyped || !name.starts_with("torch.")) return untyped;
  name.remove_prefix(name.rfind('.') + 1);
  for (const StorageName& s : storage_names)
    if (s.name == name) {
      dtype = s.dtype;
      return true;
    }
  return false;
}

Value* Machine::named(std::string_view module, std::string_view name) {
  const std::string full = std::string(module) + "." + std::string(name);
  DType dtype;
  bool untyped;
  Value* v = nullptr;
  // Types narrower than a byte are laid out in other ways there; texts have no bytes.
  if (module == "torch" && find_dtype(name, dtype) && dtype <= DType::F8E8M0 && dtype != DType::String) {
    v = make(Kind::DType);
    v->integer = static_cast<int64_t>(dtype);
  } else if (find_storage(full, dtype, untyped) ||
             std::find(std::begin(callables), std::end(callables), full) != std::end(callables)) {
    v = make(Kind::Name);
    v->text = full;
  }
  if (!v)
    refuse(
        "it names " + full.substr(0, 200) +
        ", which is not on the list of what data and tensors need: whole modules and other objects of Python "
        "are never made from files; save the state_dict() instead");
  return v;
}

int64_t Machine::integer_of(const Value* value, const char* meaning) const {
  if (value->kind != Kind::Int && value->kind != Kind::Bool) refuse(std::string(meaning) + " is no integer");
  return value->integer;
}

Dims Machine::dims_of(const Value* value, const char* meaning) const {
  if (value->kind != Kind::Tuple && value->kind != Kind::Size) refuse(std::string(meaning) + " are no tuple");
  if (value->items.size() > max_dims)
    refuse("a tensor of " + std::to_string(value->items.size()) + " dimensions");
  Dims out;
  for (const Value* item : value->items) {
    const int64_t size = integer_of(item, meaning);
    if (size < 0) refuse(std::string(meaning) + " hold " + std::to_string(size));
    out.push_back(size);
  }
  return out;
}

// ('storage', torch.FloatStorage, key, location, numel[, None])
Value* Machine::storage_of(Value* id) {
  if (id->kind != Kind::Tuple || id->items.size() < 5 || id->items[0]->kind != Kind::Text ||
      id->items[0]->text != "storage" || id->items[1]->kind != Kind::Name || id->items[2]->kind != Kind::Text)
    refuse("a persistent id is not that of a storage");
  StorageEntry entry;
  entry.key = id->items[2]->text;
  if (!find_storage(id->items[1]->text, entry.dtype, entry.untyped))
    refuse(id->items[1]->text + " is no storage");
  entry.numel = integer_of(id->items[4], "the size of a storage");
  if (entry.numel < 0 || entry.numel > int64_t(1) << 56) refuse("a storage of impossible size");
  if (id->items.size() > 5 && id->items[5]->kind != Kind::None)
    refuse("views of storages (written by torch before 0.4) are not read");
  const auto [found, fresh] = numbers_.emplace(entry.key, storages.size());
  if (fresh) {
    storages.push_back(std::move(entry));
  } else {
    const StorageEntry& known = storages[found->second];
    if (known.dtype != entry.dtype || known.numel != entry.numel)
      refuse("storage " + entry.key + " is described in two ways");
  }
  Value* v = make(Kind::Storage);
  v->integer = static_cast<int64_t>(found->second);
  return v;
}

// (storage, offset, size, stride[, requires_grad, hooks[, dtype (v3)][, metadata]])
Value* Machine::tensor_of(const std::vector<Value*>& a, bool untyped) {
  if (a.size() < 4 || a[0]->kind != Kind::Storage) refuse("a tensor has no storage");
  Pending p{make(Kind::Tensor), size_t(a[0]->integer), storages[size_t(a[0]->integer)].dtype, 0, {}, {}};
  p.offset = integer_of(a[1], "a tensor's offset");
  p.sizes = dims_of(a[2], "a tensor's sizes");
  p.strides = dims_of(a[3], "a tensor's strides");
  if (p.offset < 0 || p.sizes.size() != p.strides.size()) refuse("a tensor's sizes and strides do not fit");
  if (a.size() > 4) p.value->requires_grad = integer_of(a[4], "requires_grad") != 0;
  size_t rest = 6;
  if (untyped) {
    if (a.size() < 7 || a[6]->kind != Kind::DType) refuse("a tensor has no dtype");
    p.dtype = static_cast<DType>(a[6]->integer);
    rest = 7;
  }
  if (a.size() > rest && (a[rest]->kind == Kind::Dict || a[rest]->kind == Kind::Ordered))
    for (size_t i = 0; i + 1 < a[rest]->items.size(); i += 2)
      if (a[rest]->items[i]->kind == Kind::Text && a[rest]->items[i + 1]->integer &&
          (a[rest]->items[i]->text == "conj" || a[rest]->items[i]->text == "neg"))
        refuse("a tensor was saved with a pending conj or neg; save tensor.resolve_conj().resolve_neg()");
  pending_.push_back(std::move(p));
  return pending_.back().value;
}

Value* Machine::call(Value* function, Value* arguments) {
  if (function->kind != Kind::Name) refuse("something is called that is no name");
  if (arguments->kind != Kind::Tuple) refuse("arguments are no tuple");
  const std::string& name = function->text;
  const std::vector<Value*>& a = arguments->items;
  const auto need = [&](bool good) {
    if (!good) refuse(name + " is called with arguments it does not take");
  };
  if (name == "collections.OrderedDict" || name == "collections.Counter" ||
      name == "collections.defaultdict" || name == "builtins.dict") {
    Value* v = make(name == "collections.OrderedDict" ? Kind::Ordered : Kind::Dict);
    if (name == "collections.Counter" && a.size() == 1) {
      need(a[0]->kind == Kind::Dict);
      v->items = a[0]->items;
    } else if (!a.empty() && name == "collections.OrderedDict") {  // a list of pairs, as old versions wrote
      need(a.size() == 1 && a[0]->kind == Kind::List);
      for (const Value* pair : a[0]->items) {
        need((pair->kind == Kind::List || pair->kind == Kind::Tuple) && pair->items.size() == 2);
        v->items.insert(v->items.end(), pair->items.begin(), pair->items.end());
      }
    }
    return v;
  }
  if (name.ends_with(".set")) {
    need(a.empty() || (a.size() == 1 && (a[0]->kind == Kind::List || a[0]->kind == Kind::Tuple)));
    Value* v = make(Kind::Set);
    if (!a.empty()) v->items = a[0]->items;
    return v;
  }
  if (name.ends_with(".complex")) {
    need(a.size() == 2 && a[0]->kind == Kind::Float && a[1]->kind == Kind::Float);
    Value* v = make(Kind::Complex);
    v->real = a[0]->real;
    v->imaginary = a[1]->real;
    return v;
  }
  if (name == "_codecs.encode") {  // how protocol 2 writes bytes: the text of their codes in latin1
    need(a.size() == 2 && a[0]->kind == Kind::Text && a[1]->kind == Kind::Text && a[1]->text == "latin1");
    Value* v = make(Kind::Bytes);
    const std::string& text = a[0]->text;
    for (size_t i = 0; i < text.size(); i++) {
      auto c = static_cast<unsigned char>(text[i]);
      if (c >= 0x80) {
        need((c == 0xc2 || c == 0xc3) && i + 1 < text.size());
        c = static_cast<unsigned char>((c & 3) << 6 | (static_cast<unsigned char>(text[++i]) & 0x3f));
      }
      v->text.push_back(static_cast<char>(c));
    }
    return v;
  }
  if (name == "torch.Size") {
    need(a.size() == 1 && (a[0]->kind == Kind::Tuple || a[0]->kind == Kind::List));
    Value* v = make(Kind::Size);
    v->items = a[0]->items;
    for (const Value* item : v->items) need(item->kind == Kind::Int);
    return v;
  }
  if (name == "torch.device") {
    need(!a.empty() && a.size() <= 2 && a[0]->kind == Kind::Text &&
         (a.size() == 1 || a[1]->kind == Kind::Int));
    Value* v = make(Kind::Device);
    v->text = a[0]->text + (a.size() == 2 ? ":" + std::to_string(a[1]->integer) : "");
    return v;
  }
  if (name.ends_with("._rebuild_tensor") || name.ends_with("._rebuild_tensor_v2")) return tensor_of(a, false);
  if (name.ends_with("._rebuild_tensor_v3")) return tensor_of(a, true);
  if (name.find("._rebuild_parameter") != name.npos) {
    need(a.size() >= 2 && a[0]->kind == Kind::Tensor);
    a[0]->kind = Kind::Parameter;
    a[0]->requires_grad = integer_of(a[1], "requires_grad") != 0;
    return a[0];
  }
  if (name.ends_with(
          "._rebuild_from_type_v2")) {  // (function, type, arguments, state): the subclass is left out
    need(a.size() == 4 && a[0]->kind == Kind::Name && a[0]->text.starts_with("torch._utils._rebuild_tensor"));
    return call(a[0], a[2]);
  }
  need(false);
  return nullptr;
}

// State that may be set: attributes of an OrderedDict (its _metadata) and of tensors are left out.
void Machine::build(Value* object, Value* state) {
  const Kind k = object->kind;
  if (k != Kind::Ordered && k != Kind::Dict && k != Kind::Tensor && k != Kind::Parameter)
    refuse("state is given to something that takes none");
  if (state->kind != Kind::Dict && state->kind != Kind::Tuple && state->kind != Kind::None)
    refuse("state is neither a dict nor a tuple");
}

void Machine::finish() {
  for (const Pending& p : pending_) {
    StorageEntry& s = storages[p.storage];
    MOKA_CHECK_KIND(File, s.has_data, what_, ": the data of storage ", s.key, " are missing");
    MOKA_CHECK_KIND(File, p.dtype == s.dtype || s.untyped, what_, ": storage ", s.key, " holds ", s.dtype,
                    ", not ", p.dtype);
    // One tensor of each type over the storage; all views of it share that memory.
    Tensor& whole = s.wholes[p.dtype];
    if (!whole) {
      const int64_t bytes = s.numel * int64_t(item_size(s.dtype)), width = int64_t(item_size(p.dtype));
      MOKA_CHECK_KIND(File, width > 0 && bytes % width == 0, what_, ": storage ", s.key, " has ", bytes,
                      " bytes, no multiple of ", width);
      whole = s.data.tensor(s.at, Dims{bytes / width}, p.dtype);
    }
    const int64_t n = checked_numel(p.sizes, "a tensor in a pickle");
    if (n > 0) {
      int64_t last = p.offset;
      for (size_t i = 0; i < p.sizes.size(); i++)
        last = checked_add(last, checked_mul(p.sizes[i] - 1, p.strides[i], "a pickled tensor's reach"),
                           "a pickled tensor's reach");
      MOKA_CHECK_KIND(File, last < whole.numel(), what_, ": a tensor of sizes ", p.sizes, " and strides ",
                      p.strides, " from offset ", p.offset, " reaches beyond its storage of ", whole.numel(),
                      " elements");
      p.value->tensor = strided_view(whole, p.sizes, p.strides, p.offset);
    } else {
      p.value->tensor = new_tensor(p.sizes, p.dtype);
    }
  }
}

}  // namespace moka::pickle
