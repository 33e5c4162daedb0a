// A graph as the bytes of a ModelProto.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <protozero/pbf_writer.hpp>
#include <set>

#include "moka/formats/onnx/exporter_internal.h"
#include "moka/formats/onnx/onnx.h"

namespace moka::onnx {

using graph::Dim;
using graph::Graph;
using graph::Type;
using graph::TypeKind;
using graph::Value;
using protozero::pbf_writer;
using spelling::Dialect;
using spelling::FileModel;
using spelling::FileNode;

namespace {

// protobuf counts a message in 31 bits
constexpr uint64_t largest_model = (uint64_t(1) << 31) - 1;

int code_of(DType dtype) {
  const int code = spelling::dtype_code(Dialect::Onnx, dtype);
  MOKA_CHECK_KIND(NotImplemented, code && dtype != DType::String, "ONNX export: tensors of ",
                  info(dtype).name, " cannot be written");
  return code;
}

std::string packed(const Tensor& t, int bits) {
  const int each = 8 / bits;
  const auto* from = static_cast<const uint8_t*>(t.raw_data());
  std::string out(static_cast<size_t>((t.numel() + each - 1) / each), '\0');
  for (int64_t i = 0; i < t.numel(); i++) {
    char& to = out[static_cast<size_t>(i / each)];
    to = static_cast<char>(to | (from[i] & ((1 << bits) - 1)) << (i % each * bits));
  }
  return out;
}

void write_tensor(pbf_writer& w, const Tensor& tensor, std::string_view name) {
  const Tensor t = as_contiguous(tensor);
  w.add_packed_int64(1, t.sizes().begin(), t.sizes().end());
  w.add_int32(2, code_of(t.dtype()));
  if (!name.empty()) w.add_string(8, name.data(), name.size());
  switch (t.dtype()) {
    case DType::U4:
    case DType::I4:
    case DType::F4E2M1: w.add_bytes(9, packed(t, 4)); break;
    case DType::U2:
    case DType::I2: w.add_bytes(9, packed(t, 2)); break;
    default: w.add_bytes(9, t.numel() ? static_cast<const char*>(t.raw_data()) : "", t.bytes());
  }
}

void write_type(pbf_writer& out, const Type& type, std::string_view what) {
  MOKA_CHECK_KIND(NotImplemented, type.kind == TypeKind::Tensor && type.has_dtype, "ONNX export: '", what,
                  "' has type ", type.text(), "; inputs and outputs must be tensors of a known element type");
  pbf_writer tensor(out, 1);
  tensor.add_int32(1, code_of(type.dtype));
  if (!type.has_dims) return;
  if (type.dims.empty()) {
    tensor.add_message(2, "", 0);
    return;
  }
  pbf_writer shape(tensor, 2);
  for (const Dim& d : type.dims) {
    if (!d.fixed() && d.symbol.empty()) {
      shape.add_message(1, "", 0);  // a pbf_writer that nothing is written to leaves nothing behind
      continue;
    }
    pbf_writer dim(shape, 1);
    if (d.fixed()) dim.add_int64(1, d.size);
    else dim.add_string(2, d.symbol);
  }
}

void write_value(pbf_writer& graph, int field, const spelling::FileValue& v) {
  pbf_writer w(graph, static_cast<uint32_t>(field));
  w.add_string(1, v.name);
  pbf_writer type(w, 2);
  write_type(type, v.type, v.name);
}

void write_attribute(pbf_writer& node, const spelling::Attribute& a) {
  pbf_writer w(node, 5);
  w.add_string(1, a.name);
  const Any& v = a.value;
  switch (v.tag()) {
    case Tag::Float:
      w.add_float(2, static_cast<float>(v.arg().f));
      w.add_enum(20, 1);
      break;
    case Tag::Int:
    case Tag::Bool:
      w.add_int64(3, v.arg().as_int());
      w.add_enum(20, 2);
      break;
    case Tag::String:
      w.add_bytes(4, v.string().data(), v.string().size());
      w.add_enum(20, 3);
      break;
    case Tag::Tensor: {
      {
        pbf_writer t(w, 5);
        write_tensor(t, v.tensor(), {});
      }
      w.add_enum(20, 4);
      break;
    }
    case Tag::Floats:
      for (double f : v.arg().as_floats()) w.add_float(7, static_cast<float>(f));
      w.add_enum(20, 6);
      break;
    case Tag::Ints:
      for (int64_t i : v.ints()) w.add_int64(8, i);
      w.add_enum(20, 7);
      break;
    case Tag::List:
      for (const Any& s : v.list()) w.add_bytes(9, s.string().data(), s.string().size());
      w.add_enum(20, 8);
      break;
    default: fail_kind(ErrorKind::Internal, "ONNX export: attribute '", a.name, "' holds ", v);
  }
}

// A copy in which some sizes of inputs have names; all types that follow are inferred again.
std::unique_ptr<Graph> with_dynamic_sizes(const Graph& graph, const ExportOptions& options) {
  std::unique_ptr<Graph> out = graph.clone();
  for (const auto& [name, sizes] : options.dynamic_sizes) {
    Value* input = nullptr;
    std::string known;
    for (Value* v : out->inputs()) {
      if (v->name == name) input = v;
      known += cat(known.empty() ? "" : ", ", v->name);
    }
    MOKA_CHECK_KIND(Value, input, "ONNX export: there is no input '", name,
                    "' to make dynamic; inputs are: ", known);
    for (const auto& [dim, symbol] : sizes) {
      const int rank = spelling::rank(input);
      MOKA_CHECK_KIND(Value, dim >= -rank && dim < rank, "ONNX export: input '", name, "' has ", rank,
                      " dimensions, dimension ", dim, " was to be dynamic");
      input->type.dims[static_cast<size_t>(dim < 0 ? dim + rank : dim)] = Dim{-1, symbol};
    }
  }
  for (graph::Node* n : *out->main()) {
    try {
      graph::infer_types(*n);
    } catch (Error& e) {
      e.add_context(cat("while its sizes were made dynamic in ", n->op_name(),
                        n->source.scope.empty() ? "" : " of ", n->source.scope));
      throw;
    }
  }
  return out;
}

}  // namespace

int ir_version_of(int opset) {
  constexpr int last_of[][2] = {{14, 7}, {18, 8}, {20, 9}, {22, 10}, {23, 11}, {24, 12}, {27, 13}, {28, 14}};
  for (const auto& [last, ir] : last_of)
    if (opset <= last) return ir;
  return 14;
}

std::string save(const Graph& source, const ExportOptions& options) {
  MOKA_CHECK_KIND(Value, options.opset >= oldest_written_opset && options.opset <= latest_opset,
                  "ONNX export: opset ", options.opset, " is not written; choose one from ",
                  oldest_written_opset, " to ", latest_opset);
  std::unique_ptr<Graph> dynamic;
  if (!options.dynamic_sizes.empty()) dynamic = with_dynamic_sizes(source, options);
  const Graph& graph = dynamic ? *dynamic : source;
  spelling::ModelWriter writer(Dialect::Onnx, options.opset, writing_adapters(), "Identity");
  const FileModel model = writer.write(graph);
  uint64_t size = 0;
  for (const spelling::FileTensor& t : model.tensors) size += t.tensor.bytes();
  MOKA_CHECK_KIND(Value, size < largest_model - (1 << 20), "ONNX export: the parameters have ", size,
                  " bytes, one ONNX file holds less than 2 GiB");

  std::string out;
  pbf_writer w(out);
  w.add_int64(1, ir_version_of(options.opset));
  w.add_string(2, options.producer);
  {
    pbf_writer g(w, 7);
    for (const FileNode& n : model.nodes) {
      pbf_writer node(g, 1);
      for (const std::string& i : n.inputs) node.add_string(1, i);
      for (const std::string& o : n.outputs) node.add_string(2, o);
      node.add_string(3, n.name);
      node.add_string(4, n.op);
      for (const spelling::Attribute& a : n.attributes) write_attribute(node, a);
      if (!n.domain.empty()) node.add_string(7, n.domain);
    }
    g.add_string(2, model.name);
    for (const spelling::FileTensor& t : model.tensors) {
      pbf_writer tensor(g, 5);
      write_tensor(tensor, t.tensor, t.name);
    }
    for (const spelling::FileValue& v : model.inputs) write_value(g, 11, v);
    for (const spelling::FileValue& v : model.outputs) write_value(g, 12, v);
    for (const spelling::FileValue& v : model.values)
      if (v.type.kind == TypeKind::Tensor && v.type.has_dtype) write_value(g, 13, v);
  }
  std::set<std::string> domains{""};
  for (const FileNode& n : model.nodes) domains.insert(n.domain);
  for (const std::string& d : domains) {
    pbf_writer opset(w, 8);
    opset.add_string(1, d);
    opset.add_int64(2, d.empty() ? options.opset : 1);
  }
  for (const auto& [key, value] : graph.metadata) {
    if (key == "producer" || key == "doc") continue;
    pbf_writer pair(w, 14);
    pair.add_string(1, key);
    pair.add_string(2, value);
  }
  MOKA_CHECK_KIND(Value, out.size() <= largest_model, "ONNX export: the model has ", out.size(),
                  " bytes, one ONNX file holds less than 2 GiB");
  return out;
}

void save(const Graph& graph, const std::string& path, const ExportOptions& options) {
  write_file(path, save(graph, options));
}

}  // namespace moka::onnx
