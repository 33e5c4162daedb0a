// Reads the messages of onnx.proto.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/onnx/model.h"

#include "moka/formats/spelling/table.h"

namespace moka::onnx {

using graph::Dim;
using graph::Type;
using graph::TypeKind;
using proto::Message;

std::string_view plain_domain(std::string_view domain) {
  return domain == "ai.onnx" ? std::string_view() : domain;
}

const AttributeProto* NodeProto::attribute(std::string_view wanted) const {
  for (const AttributeProto& a : attributes)
    if (a.name == wanted) return &a;
  return nullptr;
}

namespace {

AttributeProto read_attribute(Message m) {
  AttributeProto out;
  float f = 0;
  int64_t i = 0;
  std::string_view s, tensor, graph;
  std::vector<int64_t> ints;
  std::vector<double> floats;
  std::vector<Any> strings;
  int seen = 0;  // the kind that the filled field says; files of IR 1 have no `type`
  while (m.next()) {
    switch (m.field()) {
      case 1: out.name = m.text("name"); break;
      case 21: out.reference = m.text("ref_attr_name"); break;
      case 20: {
        const int64_t kind = m.integer("type");
        if (kind < 0 || kind > 14) m.fail("type", kind, " is no attribute type");
        out.kind = static_cast<AttributeKind>(kind);
        break;
      }
      case 2:
        f = m.number("f");
        seen = 1;
        break;
      case 3:
        i = m.integer("i");
        seen = 2;
        break;
      case 4:
        s = m.raw("s");
        seen = 3;
        break;
      case 5:
        tensor = m.raw("t");
        seen = 4;
        break;
      case 6:
        graph = m.raw("g");
        seen = 5;
        break;
      case 7:
        m.floats("floats", floats);
        seen = 6;
        break;
      case 8:
        m.integers("ints", ints);
        seen = 7;
        break;
      case 9:
        m.budget().take_nodes(1);
        strings.push_back(Any(m.raw("strings")));
        seen = 8;
        break;
      case 10:
        m.skip();
        seen = 9;
        break;
      case 11:
        m.skip();
        seen = 10;
        break;
      case 22:
        tensor = m.raw("sparse_tensor");
        seen = 11;
        break;
      case 23:
        m.skip();
        seen = 12;
        break;
      case 14:
        m.skip();
        seen = 13;
        break;
      case 15:
        m.skip();
        seen = 14;
        break;
      default: m.skip();
    }
  }
  if (out.kind == AttributeKind::Undefined) out.kind = static_cast<AttributeKind>(seen);
  switch (out.kind) {
    case AttributeKind::Float: out.value = Any(static_cast<double>(f)); break;
    case AttributeKind::Int: out.value = Any(i); break;
    case AttributeKind::String: out.value = Any(s); break;
    case AttributeKind::Floats: out.value = Any(std::span<const double>(floats)); break;
    case AttributeKind::Ints: out.value = Any(std::span<const int64_t>(ints)); break;
    case AttributeKind::Strings: out.value = Any(std::span<const Any>(strings)); break;
    case AttributeKind::Tensor:
    case AttributeKind::SparseTensor: out.message = tensor; break;
    case AttributeKind::Graph: out.message = graph; break;
    default: break;
  }
  return out;
}

NodeProto read_node(Message m) {
  NodeProto out;
  m.budget().take_nodes(1);
  while (m.next()) {
    switch (m.field()) {
      case 1:
        m.budget().take_nodes(1);
        out.inputs.push_back(m.text("input"));
        break;
      case 2:
        m.budget().take_nodes(1);
        out.outputs.push_back(m.text("output"));
        break;
      case 3: out.name = m.text("name"); break;
      case 4: out.op = m.text("op_type"); break;
      case 7: out.domain = plain_domain(m.text("domain")); break;
      case 8: out.overload = m.text("overload"); break;
      case 5:
        m.budget().take_nodes(1);
        out.attributes.push_back(read_attribute(m.message("attribute", "AttributeProto")));
        break;
      default: m.skip();
    }
  }
  return out;
}

Dim read_dim(Message m) {
  Dim out;
  while (m.next()) {
    if (m.field() == 1) {
      const int64_t size = m.integer("dim_value");
      // Some exporters write -1 or 0 for unknown; 0 is a size, negative ones are not.
      out.size = size < 0 ? -1 : size;
    } else if (m.field() == 2) {
      out.symbol = std::string(m.text("dim_param"));
    } else {
      m.skip();
    }
  }
  if (out.size >= 0) out.symbol.clear();
  return out;
}

Type read_tensor_type(Message m) {
  Type out = Type::tensor();
  while (m.next()) {
    if (m.field() == 1) {
      const int64_t code = m.integer("elem_type");
      out.has_dtype = spelling::find_dtype_code(spelling::Dialect::Onnx, code, out.dtype);
      if (!out.has_dtype && code != 0) m.fail("elem_type", "element type ", code, " does not exist");
    } else if (m.field() == 2) {
      Message shape = m.message("shape", "TensorShapeProto");
      out.has_dims = true;
      while (shape.next()) {
        if (shape.field() == 1) {
          shape.budget().take_nodes(1);
          out.dims.push_back(read_dim(shape.message("dim", "TensorShapeProto.Dimension")));
        } else {
          shape.skip();
        }
      }
      if (out.dims.size() > static_cast<size_t>(max_dims))
        m.fail("shape", out.dims.size(), " dimensions, at most ", max_dims, " are possible");
    } else {
      m.skip();
    }
  }
  return out;
}

Type read_type(Message m) {
  Type out;
  while (m.next()) {
    if (m.field() == 1) {
      out = read_tensor_type(m.message("tensor_type", "TypeProto.Tensor"));
    } else if (m.field() == 4 || m.field() == 9) {
      const bool sequence = m.field() == 4;
      Message inner = m.message(sequence ? "sequence_type" : "optional_type", "TypeProto.Sequence");
      Type element;
      while (inner.next())
        if (inner.field() == 1) element = read_type(inner.message("elem_type", "TypeProto"));
        else inner.skip();
      out = Type(sequence ? TypeKind::List : TypeKind::Optional);
      out.elements = {element};
    } else if (m.field() == 5) {
      Message inner = m.message("map_type", "TypeProto.Map");
      Type key = Type::tensor(), value;
      while (inner.next()) {
        if (inner.field() == 1) {
          key.has_dtype =
              spelling::find_dtype_code(spelling::Dialect::Onnx, inner.integer("key_type"), key.dtype);
        } else if (inner.field() == 2) {
          value = read_type(inner.message("value_type", "TypeProto"));
        } else {
          inner.skip();
        }
      }
      value.has_dims = false;  // one tensor holds the values of all keys
      value.dims.clear();
      out = Type(TypeKind::Dict);
      out.elements = {key, value};
    } else {
      m.skip();  // sparse tensors and opaque values: any type
    }
  }
  return out;
}

ValueInfo read_value_info(Message m) {
  ValueInfo out;
  m.budget().take_nodes(1);
  while (m.next()) {
    if (m.field() == 1) out.name = m.text("name");
    else if (m.field() == 2) out.type = read_type(m.message("type", "TypeProto"));
    else m.skip();
  }
  return out;
}

Initializer read_initializer(Message m) {
  Initializer out{{}, m.bytes()};
  m.budget().take_nodes(1);
  while (m.next())
    if (m.field() == 8) out.name = m.text("name");
    else m.skip();
  return out;
}

Initializer read_sparse_initializer(Message m) {
  Initializer out{{}, m.bytes(), true};
  m.budget().take_nodes(1);
  while (m.next())
    if (m.field() == 1) out.name = read_initializer(m.message("values", "TensorProto")).name;
    else m.skip();
  return out;
}

void read_opset(Message m, Opsets& out) {
  std::string_view domain;
  int64_t version = 0;
  while (m.next()) {
    if (m.field() == 1) domain = plain_domain(m.text("domain"));
    else if (m.field() == 2) version = m.integer("version");
    else m.skip();
  }
  m.budget().take_nodes(1);
  if (version < 0 || version > 1'000'000) m.fail("version", version, " is no opset version");
  out[std::string(domain)] = version;
}

FunctionProto read_function(Message m) {
  FunctionProto out;
  m.budget().take_nodes(1);
  while (m.next()) {
    switch (m.field()) {
      case 1: out.name = m.text("name"); break;
      case 4: out.inputs.push_back(m.text("input")); break;
      case 5: out.outputs.push_back(m.text("output")); break;
      case 6: out.attributes.push_back(m.text("attribute")); break;
      case 7: out.nodes.push_back(read_node(m.message("node", "NodeProto"))); break;
      case 9: read_opset(m.message("opset_import", "OperatorSetIdProto"), out.opsets); break;
      case 10: out.domain = plain_domain(m.text("domain")); break;
      case 11: out.defaults.push_back(read_attribute(m.message("attribute_proto", "AttributeProto"))); break;
      case 13: out.overload = m.text("overload"); break;
      default: m.skip();
    }
    m.budget().take_nodes(1);
  }
  return out;
}

std::pair<std::string_view, std::string_view> read_pair(Message m) {
  std::pair<std::string_view, std::string_view> out;
  m.budget().take_nodes(1);
  while (m.next()) {
    if (m.field() == 1) out.first = m.text("key");
    else if (m.field() == 2) out.second = m.text("value");
    else m.skip();
  }
  return out;
}

TrainingInfo read_training(Message m) {
  TrainingInfo out;
  m.budget().take_nodes(1);
  while (m.next()) {
    switch (m.field()) {
      case 1: out.initialization = m.raw("initialization"); break;
      case 2: out.algorithm = m.raw("algorithm"); break;
      case 3:
        out.initial.push_back(read_pair(m.message("initialization_binding", "StringStringEntryProto")));
        break;
      case 4: out.update.push_back(read_pair(m.message("update_binding", "StringStringEntryProto"))); break;
      default: m.skip();
    }
  }
  return out;
}

}  // namespace

GraphProto read_graph(proto::Budget& budget, std::string_view bytes, int depth) {
  Message m(budget, bytes, "GraphProto", depth);
  GraphProto out;
  while (m.next()) {
    switch (m.field()) {
      case 1: out.nodes.push_back(read_node(m.message("node", "NodeProto"))); break;
      case 2: out.name = m.text("name"); break;
      case 5: out.initializers.push_back(read_initializer(m.message("initializer", "TensorProto"))); break;
      case 10: out.doc = m.text("doc_string"); break;
      case 11: out.inputs.push_back(read_value_info(m.message("input", "ValueInfoProto"))); break;
      case 12: out.outputs.push_back(read_value_info(m.message("output", "ValueInfoProto"))); break;
      case 13: out.values.push_back(read_value_info(m.message("value_info", "ValueInfoProto"))); break;
      case 15:
        out.initializers.push_back(
            read_sparse_initializer(m.message("sparse_initializer", "SparseTensorProto")));
        break;
      default: m.skip();
    }
  }
  return out;
}

ModelProto read_model(proto::Budget& budget, std::string_view bytes) {
  MOKA_CHECK_KIND(File, !bytes.empty(), budget.file, ": is empty, an ONNX model was expected");
  MOKA_CHECK_KIND(File, !bytes.starts_with("PK\x03\x04"), budget.file,
                  ": is a zip archive (a .moka package?), an ONNX model was expected");
  Message m(budget, bytes, "ModelProto");
  ModelProto out;
  bool has_graph = false;
  while (m.next()) {
    switch (m.field()) {
      case 1: out.ir_version = m.integer("ir_version"); break;
      case 2: out.producer = m.text("producer_name"); break;
      case 3: out.producer_version = m.text("producer_version"); break;
      case 4: out.domain = m.text("domain"); break;
      case 5: out.model_version = m.integer("model_version"); break;
      case 6: out.doc = m.text("doc_string"); break;
      case 7:
        out.graph = m.raw("graph");
        has_graph = true;
        break;
      case 8: read_opset(m.message("opset_import", "OperatorSetIdProto"), out.opsets); break;
      case 14: {
        const auto [key, value] = read_pair(m.message("metadata_props", "StringStringEntryProto"));
        out.metadata[std::string(key)] = std::string(value);
        break;
      }
      case 20: out.training.push_back(read_training(m.message("training_info", "TrainingInfoProto"))); break;
      case 25: out.functions.push_back(read_function(m.message("functions", "FunctionProto"))); break;
      default: m.skip();
    }
  }
  MOKA_CHECK_KIND(File, has_graph, budget.file, ": has no graph; is it an ONNX model, and complete?");
  MOKA_CHECK_KIND(File, out.ir_version > 0, budget.file, ": has no IR version; is it an ONNX model?");
  if (out.opsets.find("") == out.opsets.end()) out.opsets[""] = 1;  // IR 1 and 2 had no opsets
  return out;
}

}  // namespace moka::onnx
