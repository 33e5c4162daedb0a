// A graph as the bytes of a ModelProto.
// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <protozero/pbf_writer.hpp>
#include <set>

#include "moka/formats/onnx/exporter_internal.h"
#include "moka/formats/onnx/onnx.h"
#include "moka/tensor/strings.h"

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

constexpr std::string_view module_domain = "moka.modules";

int code_of(DType dtype) {
  const int code = spelling::dtype_code(Dialect::Onnx, dtype);
  MOKA_CHECK_KIND(NotImplemented, code, "ONNX export: tensors of ", info(dtype).name, " cannot be written");
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

}  // namespace

namespace {
// Nothing that lies at the place already may lead outside of the folder.
const std::string& checked_place(const std::string& path) {
  struct stat status;
  if (::lstat(path.c_str(), &status) != 0) return path;
  MOKA_CHECK_KIND(File, S_ISREG(status.st_mode), "external data '", path,
                  "': ", S_ISLNK(status.st_mode) ? "a symbolic link" : "something that is no file",
                  " lies there, which is not written through; remove it first");
  MOKA_CHECK_KIND(File, status.st_nlink == 1, "external data '", path, "': a file with ", status.st_nlink,
                  " names (hard links) lies there; remove it first");
  return path;
}
}  // namespace

DataFile::DataFile(const std::string& path, uint64_t least)
    : file(checked_place(path)), location(path.substr(path.rfind('/') + 1)), least(least) {}

void write_tensor(pbf_writer& w, const Tensor& tensor, std::string_view name, DataFile* data) {
  const Tensor t = as_contiguous(tensor);
  w.add_packed_int64(1, t.sizes().begin(), t.sizes().end());
  w.add_int32(2, code_of(t.dtype()));
  if (!name.empty()) w.add_string(8, name.data(), name.size());
  if (t.dtype() == DType::String) {  // never beside the model
    for (int64_t i = 0; i < t.numel(); i++) {
      const std::string_view text = texts_of(t)[i];
      w.add_bytes(6, text.data(), text.size());
    }
    return;
  }
  std::string small;
  std::string_view bytes(t.numel() ? static_cast<const char*>(t.raw_data()) : "", t.bytes());
  switch (t.dtype()) {
    case DType::U4:
    case DType::I4:
    case DType::F4E2M1: bytes = small = packed(t, 4); break;
    case DType::U2:
    case DType::I2: bytes = small = packed(t, 2); break;
    default: break;
  }
  if (!data || bytes.size() < data->least) return w.add_bytes(9, bytes.data(), bytes.size());
  constexpr uint64_t page = 4096;  // so that readers can map what they need
  data->file.write_zeros((page - data->file.written() % page) % page);
  const uint64_t offset = data->file.written();
  data->file.write(bytes);
  for (const auto& [key, value] : {std::pair<const char*, std::string>{"location", data->location},
                                   {"offset", std::to_string(offset)},
                                   {"length", std::to_string(bytes.size())}}) {
    pbf_writer entry(w, 13);
    entry.add_string(1, key);
    entry.add_string(2, value);
  }
  w.add_enum(14, 1);
}

namespace {

// Numbers are tensors without dimensions.
void write_type(pbf_writer& out, const Type& given, std::string_view what) {
  Type type = given;
  if (type.kind == TypeKind::Int) type = Type::tensor(DType::I64, {});
  else if (type.kind == TypeKind::Bool) type = Type::tensor(DType::Bool, {});
  else if (type.kind == TypeKind::Float) type = Type::tensor(DType::F32, {});
  if ((type.kind == TypeKind::List || type.kind == TypeKind::Optional) && type.elements.size() == 1) {
    pbf_writer outer(out, type.kind == TypeKind::List ? 4 : 9);
    pbf_writer element(outer, 1);
    return write_type(element, type.elements[0], what);
  }
  if (type.kind == TypeKind::Dict && type.elements.size() == 2 && type.elements[0].has_dtype) {
    pbf_writer map(out, 5);
    map.add_int32(1, spelling::dtype_code(Dialect::Onnx, type.elements[0].dtype));
    pbf_writer value(map, 2);
    Type element = type.elements[1];  // one tensor holds the values of all keys
    element.has_dims = true;
    element.dims.clear();
    return write_type(value, element, what);
  }
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

}  // namespace

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

namespace {
void write_graph(pbf_writer& g, const spelling::FileGraph& graph);
}  // namespace

void write_node(pbf_writer& node, const FileNode& n) {
  for (const std::string& i : n.inputs) node.add_string(1, i);
  for (const std::string& o : n.outputs) node.add_string(2, o);
  node.add_string(3, n.name);
  node.add_string(4, n.op);
  for (const spelling::Attribute& a : n.attributes) write_attribute(node, a);
  for (const auto& [name, graph] : n.graphs) {
    pbf_writer attribute(node, 5);
    attribute.add_string(1, name);
    {
      pbf_writer g(attribute, 6);
      write_graph(g, graph);
    }
    attribute.add_enum(20, 5);
  }
  if (!n.domain.empty()) node.add_string(7, n.domain);
}

namespace {

void write_graph(pbf_writer& g, const spelling::FileGraph& graph) {
  for (const FileNode& n : graph.nodes) {
    pbf_writer node(g, 1);
    write_node(node, n);
  }
  g.add_string(2, graph.name);
  for (const spelling::FileValue& v : graph.inputs) write_value(g, 11, v);
  for (const spelling::FileValue& v : graph.outputs) write_value(g, 12, v);
}

// ---- modules as functions

struct Function {
  std::string name;
  std::vector<std::string> inputs, outputs;
  std::vector<FileNode> nodes;
};

bool inside(std::string_view scope, std::string_view module) {
  return scope.starts_with(module) && (scope.size() == module.size() || scope[module.size()] == '.');
}
void names_read(const FileNode& n, std::vector<std::string>& out) {
  for (const std::string& i : n.inputs)
    if (!i.empty()) out.push_back(i);
  for (const auto& [name, graph] : n.graphs) {
    for (const FileNode& inner : graph.nodes) names_read(inner, out);
    for (const spelling::FileValue& v : graph.outputs) out.push_back(v.name);
  }
}

// Every run of neighbouring nodes of one module becomes a call of a function; weights are among its inputs.
std::vector<Function> take_functions(FileModel& model, const std::vector<std::string>& modules) {
  std::vector<Function> out;
  std::vector<FileNode> nodes;
  std::map<std::string, int> calls;
  auto module_of = [&](const FileNode& n) -> const std::string* {
    for (const std::string& m : modules)
      if (!m.empty() && inside(n.scope, m)) return &m;
    return nullptr;
  };
  for (size_t i = 0; i < model.nodes.size();) {
    const std::string* module = module_of(model.nodes[i]);
    if (!module) {
      nodes.push_back(std::move(model.nodes[i++]));
      continue;
    }
    Function f;
    const int call = calls[*module]++;
    f.name = call ? cat(*module, "_", call) : *module;
    std::set<std::string> made, read_later;
    for (; i < model.nodes.size() && module_of(model.nodes[i]) == module; i++)
      f.nodes.push_back(std::move(model.nodes[i]));
    std::vector<std::string> read;
    for (const FileNode& n : f.nodes) {
      names_read(n, read);
      made.insert(n.outputs.begin(), n.outputs.end());
      for (const auto& [name, graph] : n.graphs)
        for (const FileNode& inner : graph.nodes) made.insert(inner.outputs.begin(), inner.outputs.end());
      for (const auto& [name, graph] : n.graphs)
        for (const spelling::FileValue& v : graph.inputs) made.insert(v.name);
    }
    for (const std::string& name : read)
      if (!made.count(name) && std::find(f.inputs.begin(), f.inputs.end(), name) == f.inputs.end())
        f.inputs.push_back(name);
    std::vector<std::string> after;
    for (size_t j = i; j < model.nodes.size(); j++) names_read(model.nodes[j], after);
    read_later.insert(after.begin(), after.end());
    for (const spelling::FileValue& v : model.outputs) read_later.insert(v.name);
    for (const FileNode& n : f.nodes)
      for (const std::string& o : n.outputs)
        if (read_later.count(o)) f.outputs.push_back(o);
    std::erase_if(model.values, [&](const spelling::FileValue& v) {
      return made.count(v.name) && !read_later.count(v.name);
    });
    FileNode node{cat("/", f.name), f.name, std::string(module_domain), f.inputs, f.outputs, {}, {}, *module};
    nodes.push_back(std::move(node));
    out.push_back(std::move(f));
  }
  model.nodes = std::move(nodes);
  return out;
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

FileModel described(const Graph& graph, int opset) {
  const spelling::WritingRules rules{.dialect = Dialect::Onnx,
                                     .version = opset,
                                     .adapters = writing_adapters(),
                                     .copies = "Identity",
                                     .builtin = write_builtin,
                                     .control = write_control,
                                     .older = has_older_form,
                                     .written_as = 13,
                                     .transforms = opset >= 17};
  spelling::ModelWriter writer(rules);
  FileModel model = writer.write(graph);
  to_older_forms(model, opset);
  spelling::drop_unread(model);
  return model;
}

namespace {

std::string written(const Graph& source, const ExportOptions& options, const std::string* path) {
  MOKA_CHECK_KIND(Value, options.opset >= oldest_written_opset && options.opset <= latest_opset,
                  "ONNX export: opset ", options.opset, " is not written; choose one from ",
                  oldest_written_opset, " to ", latest_opset);
  std::unique_ptr<Graph> dynamic;
  if (!options.dynamic_sizes.empty()) dynamic = with_dynamic_sizes(source, options);
  const Graph& graph = dynamic ? *dynamic : source;
  FileModel model = described(graph, options.opset);
  std::vector<Function> functions;
  if (!options.functions.empty()) {
    MOKA_CHECK_KIND(Value, options.opset >= 15,
                    "ONNX export: functions of modules need opset 15 or later, not ", options.opset);
    functions = take_functions(model, options.functions);
  }
  uint64_t size = 0;
  for (const spelling::FileTensor& t : model.tensors) size += t.tensor.bytes();
  const bool large = size >= largest_model - (1 << 20);
  std::optional<DataFile> data;
  if (path && (options.external_data || large)) data.emplace(*path + ".data", options.external_threshold);
  MOKA_CHECK_KIND(
      Value, data || !large, "ONNX export: the parameters have ", size,
      " bytes, one ONNX file holds less than 2 GiB; write it to a path, then they go into a file beside it");

  std::string out;
  pbf_writer w(out);
  w.add_int64(1, std::max(ir_version_of(options.opset), functions.empty() ? 0 : 8));
  w.add_string(2, options.producer);
  w.add_string(3, MOKA_VERSION);
  {
    pbf_writer g(w, 7);
    for (const FileNode& n : model.nodes) {
      pbf_writer node(g, 1);
      write_node(node, n);
    }
    g.add_string(2, model.name);
    for (const spelling::FileTensor& t : model.tensors) {
      pbf_writer tensor(g, 5);
      write_tensor(tensor, t.tensor, t.name, data ? &*data : nullptr);
    }
    if (auto doc = graph.metadata.find("doc"); doc != graph.metadata.end()) g.add_string(10, doc->second);
    std::set<std::string> inputs;
    for (const spelling::FileValue& v : model.inputs) {
      write_value(g, 11, v);
      inputs.insert(v.name);
    }
    if (options.parameters_as_inputs)
      for (const spelling::FileTensor& t : model.tensors)
        if (inputs.insert(t.name).second)
          write_value(g, 11, {t.name, Type::tensor(t.tensor.dtype(), t.tensor.sizes())});
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
  std::map<std::string, std::string> metadata = graph.metadata;
  for (const auto& [key, value] : options.metadata) metadata.insert_or_assign(key, value);
  for (const auto& [key, value] : metadata) {
    if (key == "producer" || key == "doc") continue;
    pbf_writer pair(w, 14);
    pair.add_string(1, key);
    pair.add_string(2, value);
  }
  for (const Function& f : functions) {
    pbf_writer function(w, 25);
    function.add_string(1, f.name);
    for (const std::string& i : f.inputs) function.add_string(4, i);
    for (const std::string& o : f.outputs) function.add_string(5, o);
    for (const FileNode& n : f.nodes) {
      pbf_writer node(function, 7);
      write_node(node, n);
    }
    {
      pbf_writer opset(function, 9);
      opset.add_string(1, "");
      opset.add_int64(2, options.opset);
    }
    function.add_string(10, module_domain.data(), module_domain.size());
  }
  MOKA_CHECK_KIND(Value, out.size() <= largest_model, "ONNX export: the model has ", out.size(),
                  " bytes, one ONNX file holds less than 2 GiB");
  if (data) data->file.commit();
  return out;
}

}  // namespace

std::string save(const Graph& graph, const ExportOptions& options) {
  return written(graph, options, nullptr);
}

void save(const Graph& graph, const std::string& path, const ExportOptions& options) {
  write_file(path, written(graph, options, &path));
}

}  // namespace moka::onnx
