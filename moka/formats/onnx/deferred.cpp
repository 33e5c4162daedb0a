// Models that are read for the inputs of a run.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "moka/formats/onnx/importer_internal.h"
#include "moka/formats/onnx/onnx.h"
#include "moka/formats/spelling/table.h"

namespace moka::onnx {

using graph::Dim;
using graph::Graph;
using graph::Type;
using graph::TypeKind;

namespace {

const Type& plain(const Type& t) {  // what an optional value has when it is there
  return t.kind == TypeKind::Optional && t.elements.size() == 1 ? t.elements[0] : t;
}

bool is_open(const Type& type) {
  const Type& t = plain(type);
  if (t.kind != TypeKind::Tensor) return t.kind == TypeKind::Any;
  if (!t.has_dtype || !t.has_dims) return true;
  for (const Dim& d : t.dims)
    if (!d.fixed()) return true;
  return false;
}

// What a name stands for in the inputs of a run; -1 where it stands for different sizes.
using Sizes = std::map<std::string, int64_t>;

bool same_form(const Type& said, const Type& given) {
  return said.kind == TypeKind::Tensor && given.kind == TypeKind::Tensor &&
         (!said.has_dims || said.dims.size() == given.dims.size());
}

Sizes named_sizes(std::span<const Deferred::Port> inputs, std::span<const Type> given) {
  Sizes out;
  for (size_t i = 0; i < inputs.size(); i++) {
    const Type& said = plain(inputs[i].type);
    if (!same_form(said, given[i])) continue;
    for (size_t d = 0; d < said.dims.size(); d++) {
      if (said.dims[d].symbol.empty()) continue;
      auto [at, fresh] = out.emplace(said.dims[d].symbol, given[i].dims[d].size);
      if (!fresh && at->second != given[i].dims[d].size) at->second = -1;
    }
  }
  return out;
}

Type for_input(const Type& said, const Type& given, const Sizes& named, bool exact) {
  if (said.kind == TypeKind::Any && given.kind == TypeKind::Tensor)
    return for_input(Type::tensor(), given, named, exact);
  if (!same_form(said, given)) return said;
  Type out = said;
  if (!out.has_dtype) {
    out.has_dtype = true;
    out.dtype = given.dtype;
  }
  if (!out.has_dims) out.dims.assign(given.dims.size(), Dim());
  out.has_dims = true;
  for (size_t d = 0; d < out.dims.size(); d++) {
    Dim& dim = out.dims[d];
    if (dim.fixed()) continue;
    if (exact) dim = given.dims[d];
    else if (!dim.symbol.empty() && named.at(dim.symbol) < 0) dim = Dim();
  }
  return out;
}

}  // namespace

Deferred::Deferred(const std::string& path, const Limits& limits) : name_(path), limits_(limits) {
  look(Bytes::of_file(path, limits));
}

Deferred::Deferred(Bytes bytes, std::string_view name, const Limits& limits)
    : bytes_(std::move(bytes)), name_(name), limits_(limits), in_memory_(true) {
  look(bytes_);
}

void Deferred::look(const Bytes& bytes) {
  proto::Budget budget(name_, bytes.text(), limits_);
  const GraphProto main = read_graph(budget, read_model(budget, bytes.text()).graph, 1);
  for (const ValueInfo* input : run_inputs(main)) {
    inputs.push_back({std::string(input->name), input->type});
    open_ = open_ || is_open(input->type);
  }
  for (const ValueInfo& output : main.outputs) outputs.push_back({std::string(output.name), output.type});
  Graph unused;
  known_ = Importer(budget, bytes, ExternalData(), unused).knows_operators();
}

std::unique_ptr<Graph> Deferred::read_for(std::span<const Any> values) const {
  MOKA_CHECK_KIND(Value, values.size() == inputs.size(), "the model has ", inputs.size(), " inputs, got ",
                  values.size());
  std::vector<Type> given;
  for (const Any& v : values) given.push_back(graph::type_of(v));
  const Sizes named = named_sizes(inputs, given);
  const Bytes bytes = in_memory_ ? bytes_ : Bytes::of_file(name_, limits_);
  auto read = [&](bool exact) {
    std::vector<Type> types;
    for (size_t i = 0; i < inputs.size(); i++) {
      const Type& said = inputs[i].type;
      Type own = for_input(plain(said), given[i], named, exact);
      if (said.kind == TypeKind::Optional) {
        types.push_back(said);
        types.back().elements = {std::move(own)};
      } else {
        types.push_back(std::move(own));
      }
    }
    proto::Budget budget(name_, bytes.text(), limits_);
    auto out = std::make_unique<Graph>();
    Importer(budget, bytes, in_memory_ ? ExternalData() : ExternalData(name_, limits_), *out)
        .run_with(std::move(types));
    return out;
  };
  try {
    return read(false);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::NotImplemented) throw;
  }
  return read(true);
}

void Importer::run_with(std::vector<Type> inputs) {
  given_ = std::move(inputs);
  run();
}

bool Importer::knows_operators() {
  start();
  if (!knows(read_graph(budget_, model_.graph, 1).nodes, 1)) return false;
  for (const FunctionProto& f : model_.functions)
    if (!knows(f.nodes, 1)) return false;
  return true;
}

bool Importer::knows(std::span<const NodeProto> nodes, int depth) {
  const spelling::Table& table = spelling::Table::of(spelling::Dialect::Onnx);
  MOKA_CHECK_KIND(File, depth < budget_.limits.max_depth, "graphs are nested more than ",
                  budget_.limits.max_depth, " deep");
  for (const NodeProto& node : nodes) {
    const bool own = std::any_of(functions_.begin(), functions_.end(), [&](const auto& f) {
      return f.second->name == node.op && f.second->domain == node.domain;
    });
    if (!own && !has_own_reader(node) && !table.knows(node.op, node.domain) &&
        !has_adapter(node.op, node.domain))
      return false;
    for (const AttributeProto& a : node.attributes)
      if (a.kind == AttributeKind::Graph &&
          !knows(read_graph(budget_, a.message, depth + 1).nodes, depth + 1))
        return false;
  }
  return true;
}

}  // namespace moka::onnx
