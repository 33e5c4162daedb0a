// Values of tensors that share memory.
// SPDX-License-Identifier: Apache-2.0
#include "moka/capture/trace/memory.h"

#include <algorithm>
#include <map>

#include "moka/ops/kernels/memory_format.h"

namespace moka::capture {

using graph::Node;
using graph::NodeKind;
using graph::Value;

namespace {
// How the part that an operator shows is put back into the tensor that it showed it of.
enum class PutBack : uint8_t {
  Same,
  Reshape,
  Transpose,
  Turn,
  Permute,
  Select,
  Slice,
  Narrow,
  Part,
  Entry,
  Diagonal,
  Strided,
  Real,
  Complex
};

const PutBack* way_back(std::string_view op) {
  static const std::map<std::string_view, PutBack> ways{
      {"alias", PutBack::Same},
      {"detach", PutBack::Same},
      {"contiguous", PutBack::Same},
      {"view", PutBack::Reshape},
      {"reshape", PutBack::Reshape},
      {"flatten", PutBack::Reshape},
      {"unflatten", PutBack::Reshape},
      {"squeeze", PutBack::Reshape},
      {"unsqueeze", PutBack::Reshape},
      {"transpose", PutBack::Transpose},
      {"t", PutBack::Turn},
      {"permute", PutBack::Permute},
      {"select", PutBack::Select},
      {"slice", PutBack::Slice},
      {"narrow", PutBack::Narrow},
      {"split", PutBack::Part},
      {"chunk", PutBack::Part},
      {"unbind", PutBack::Entry},
      {"diagonal", PutBack::Diagonal},
      {"view_as_complex", PutBack::Real},
      {"view_as_real", PutBack::Complex},
      {"as_strided", PutBack::Strided},
  };
  auto it = ways.find(op.substr(0, op.find('.')));
  return op == "view.dtype" || it == ways.end() ? nullptr : &it->second;
}

int64_t dimension_of(const Node& node, int ndim) {
  Value* dim = node.argument("dim");
  const int64_t d = dim && dim->constant() ? dim->constant()->to_int() : 0;
  return d < 0 ? d + ndim : d;
}
}  // namespace

void Memory::bind(const Tensor& t, Value* value) {
  value->type = graph::type_of(Arg(t));
  wholes_.push_back(std::make_shared<Whole>());
  Whole& whole = *wholes_.back();
  whole.storage = t.impl()->storage;
  whole.value = value;
  whole.sizes = Dims(t.sizes());
  whole.strides = Dims(t.strides());
  whole.offset = t.impl()->offset;
  known_[t.impl()] = {t, value, wholes_.back(), {}, 0};
}

void Memory::bind_view(const Tensor& t, const Tensor& of, const Node& node, int output, Value* value) {
  value->type = graph::type_of(Arg(t));
  const Known& source = known_.at(of.impl());
  View view{node.op, {}, output, static_cast<int>(node.outputs().size()), false, value->type, 0, 0, false};
  for (size_t i = 1; i < node.inputs().size(); i++) view.arguments.push_back(node.inputs()[i]);
  if (const Schema& schema = info(*node.op).schema; schema.outs.size() == 1 && schema.outs[0].type.list) {
    view.list = true;
    const Node* unpack = value->producer();
    view.outputs = static_cast<int>(unpack->outputs().size());
    const int64_t d = dimension_of(node, of.dim());
    if (node.op->schema.starts_with("unbind")) view.start = output;
    else {
      const int64_t stride = of.stride(static_cast<int>(d));
      view.start = stride ? (t.impl()->offset - of.impl()->offset) / stride : 0;
      view.length = t.size(static_cast<int>(d));
    }
  }
  Known now{t, value, source.whole, source.path, source.whole->version};
  now.path.push_back(std::move(view));
  known_[t.impl()] = std::move(now);
}

std::vector<Memory::View> Memory::strided_path(const Whole& whole, Value* sizes, Value* strides,
                                               int64_t offset) {
  // The whole as it lies in memory: a row of numbers.
  const Dims order = memory_order(whole.sizes, whole.strides);
  int64_t row = 1;
  bool dense = offset >= whole.offset;
  for (size_t i = order.size(); i-- > 0;) {
    const size_t d = static_cast<size_t>(order[i]);
    dense &= whole.sizes[d] == 1 || whole.strides[d] == row;
    row *= whole.sizes[d];
  }
  if (!dense && row != 0)
    fail_kind(ErrorKind::NotImplemented, "trace: as_strided shows memory of a tensor of shape ", whole.sizes,
              " and strides ", whole.strides, " from place ", offset,
              ", of which the graph has only what the tensor shows; use contiguous() first, or index it");
  // Types of the stages, as far as writing back needs them.
  graph::Type type = whole.value->type;
  std::vector<View> path;
  const auto add = [&](std::string_view op, std::vector<Value*> arguments) {
    path.push_back({&get_op(op), std::move(arguments), 0, 1, false, type, 0, 0, false});
  };
  if (!std::is_sorted(order.begin(), order.end())) {
    for (size_t i = 0; i < order.size(); i++) type.dims[i].size = whole.sizes[static_cast<size_t>(order[i])];
    add("permute", {graph_.constant(Any(order), at())});
  }
  type.dims.assign(1, graph::Dim{row});
  add("reshape", {graph_.constant(Any(Dims{-1}), at())});
  add("contiguous", {graph_.constant(Any(), at())});
  add("as_strided", {sizes, strides, number(std::max<int64_t>(0, offset - whole.offset))});
  return path;
}

void Memory::bind_strided(const Tensor& t, const Tensor& of, Value* sizes, Value* strides,
                          const graph::Source& source) {
  const std::shared_ptr<Whole> whole = known_.at(of.impl()).whole;
  Known now{t, whole->value, whole, strided_path(*whole, sizes, strides, t.impl()->offset), whole->version};
  for (const View& view : now.path) now.value = show(view, now.value, source);
  now.path.back().type = now.value->type = graph::type_of(Arg(t));
  now.path.back().overlaps = !is_non_overlapping(t.sizes(), t.strides());
  known_[t.impl()] = std::move(now);
}

Value* Memory::strided_scatter(const Tensor& of, Value* part, Value* sizes, Value* strides, int64_t offset,
                               const graph::Source& source) {
  const Known& k = known_.at(of.impl());
  const std::vector<View> path = strided_path(*k.whole, sizes, strides, offset);
  Value* v = put_all(*k.whole, path, part, "as_strided_scatter", source);
  for (const View& view : k.path) v = show(view, v, source);
  return v;
}

bool Memory::shows(const Tensor& t, const Tensor& of) const {
  return t.impl() != of.impl() && t.impl()->storage && t.impl()->storage == of.impl()->storage && knows(of);
}

bool Memory::shares(const Tensor& t) const {
  for (const auto& whole : wholes_)
    if (whole->storage && whole->storage == t.impl()->storage) return true;
  return false;
}

void Memory::replace(Value* old, Value* now) {
  old->replace_all_uses_with(now);
  for (auto& [impl, known] : known_)
    if (known.value == old) known.value = now;
  for (const auto& whole : wholes_)
    if (whole->value == old) whole->value = now;
}

void Memory::become(const Tensor& t, const Tensor& other) {
  Known now = known_.at(other.impl());
  now.keep = t;
  known_[t.impl()] = std::move(now);
}

Value* Memory::value(const Tensor& t, std::string_view reader, const graph::Source& source) {
  Known& k = known_.at(t.impl());
  if (k.whole->lost)
    fail_kind(
        ErrorKind::NotImplemented, "trace: ", reader, " reads ", t,
        ", whose memory another tensor wrote in place that was made outside the recording; trace the program "
        "without that in-place write (x = x + y instead of x += y)");
  const auto& dims = k.value->type.dims;
  bool same = dims.size() == static_cast<size_t>(t.dim());
  for (int d = 0; same && d < t.dim(); d++) {
    const graph::Dim& recorded = dims[static_cast<size_t>(d)];
    same = !recorded.fixed() || recorded.size == t.size(d);
  }
  if (!same)
    fail_kind(ErrorKind::NotImplemented, "trace: ", reader, " reads ", t, ", which was recorded as ",
              k.value->type.text(), ": its shape was changed in place (resize_, set_); make a new tensor");
  if (k.version == k.whole->version) return k.value;
  Value* v = k.whole->value;
  for (const View& view : k.path) v = show(view, v, source);
  k.value = v;
  k.version = k.whole->version;
  return v;
}

void Memory::write(const Tensor& t, Value* value, std::string_view writer, const graph::Source& source) {
  value->type = graph::type_of(Arg(t));
  Known& k = known_.at(t.impl());
  for (const auto& other : wholes_)
    if (other != k.whole && other->storage && other->storage == k.whole->storage) other->lost = true;
  k.whole->value = put_all(*k.whole, k.path, value, writer, source);
  k.version = ++k.whole->version;
  k.value = value;
}

Value* Memory::put_all(const Whole& whole, const std::vector<View>& path, Value* part,
                       std::string_view writer, const graph::Source& source) {
  std::vector<Value*> above{whole.value};  // what each view on the way is cut out of
  for (size_t i = 0; i + 1 < path.size(); i++) above.push_back(show(path[i], above.back(), source));
  for (size_t i = path.size(); i-- > 0;) part = put(path[i], above[i], part, writer, source);
  return part;
}

Value* Memory::call(const Op& op, std::vector<Value*> inputs, const graph::Type& type,
                    const graph::Source& source) {
  Node* node = graph_.create_op(op, at(), inputs);
  node->source = source;
  node->output()->type = type;
  return node->output();
}

Value* Memory::show(const View& view, Value* of, const graph::Source& source) {
  std::vector<Value*> inputs{of};
  inputs.insert(inputs.end(), view.arguments.begin(), view.arguments.end());
  if (!view.list) {
    Node* node = graph_.create_op(*view.op, at(), inputs);
    node->source = source;
    node->output(view.output)->type = view.type;
    return node->output(view.output);
  }
  Value* list[] = {call(*view.op, std::move(inputs), graph::Type::list(graph::Type::tensor()), source)};
  Node* unpack = graph_.create(NodeKind::Unpack, at(), list, view.outputs);
  unpack->source = source;
  for (Value* v : unpack->outputs()) v->type = graph::Type::tensor();
  unpack->output(view.output)->type = view.type;
  return unpack->output(view.output);
}

Value* Memory::put(const View& view, Value* whole, Value* part, std::string_view writer,
                   const graph::Source& source) {
  const std::string_view name = info(*view.op).schema.name;
  const PutBack* way = way_back(name);
  if (!way || view.overlaps)
    fail_kind(ErrorKind::NotImplemented, "trace: ", writer, " writes in place into a view made by ", name,
              "; a graph has no memory to share. Build the result with cat, stack, where or scatter");
  auto sizes = [&] {
    Dims d;
    for (const graph::Dim& dim : whole->type.dims) d.push_back(dim.size);
    return graph_.constant(Any(d), at());
  };
  auto with = [&](std::string_view op, std::vector<Value*> inputs) {
    return call(get_op(op), std::move(inputs), whole->type, source);
  };
  auto slice = [&](Value* dim, Value* start, Value* end, Value* step) {
    return with("slice_scatter", {whole, part, dim, start, end, step});
  };
  const std::vector<Value*>& a = view.arguments;
  switch (*way) {
    case PutBack::Same: return part;
    case PutBack::Reshape: return with("reshape", {part, sizes()});
    case PutBack::Transpose: return with("transpose", {part, a[0], a[1]});
    case PutBack::Turn: return with("t", {part});
    case PutBack::Permute: return with("permute_inverse", {part, a[0]});
    case PutBack::Select: return with("select_scatter", {whole, part, a[0], a[1]});
    case PutBack::Slice: return slice(a[0], a[1], a[2], a[3]);
    case PutBack::Narrow: {
      const int64_t start = a[1]->constant()->to_int(), length = a[2]->constant()->to_int();
      const bool at_end = start < 0 && start + length == 0;
      Value* end = at_end ? graph_.constant(Any(), at()) : number(start + length);
      return slice(a[0], a[1], end, number(1));
    }
    case PutBack::Part: return slice(a[1], number(view.start), number(view.start + view.length), number(1));
    case PutBack::Entry: return with("select_scatter", {whole, part, a[0], number(view.start)});
    case PutBack::Diagonal: return with("diagonal_scatter", {whole, part, a[0], a[1], a[2]});
    case PutBack::Strided: return with("as_strided_scatter", {whole, part, a[0], a[1], a[2]});
    case PutBack::Real: return with("view_as_real", {part});
    case PutBack::Complex: return with("view_as_complex", {part});
  }
  return nullptr;
}

}  // namespace moka::capture
