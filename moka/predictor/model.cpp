// Telling model files apart, and loading each with its reader.
// SPDX-License-Identifier: Apache-2.0
#include "moka/predictor/model.h"

#include "moka/backends/load.h"
#include "moka/base/error.h"
#if MOKA_READ_NETDEF
#include "moka/formats/netdef/netdef.h"
#endif
#if MOKA_READ_ONNX
#include "moka/formats/onnx/onnx.h"
#endif
#include "moka/formats/package/package.h"
#include "moka/ops/all.h"

namespace moka {

namespace {

void prepare_operators() {
  register_all_ops();
  register_backends();
}

[[maybe_unused]] Model of_graph(std::unique_ptr<graph::Graph> graph, ModelFormat format) {
  Model out;
  out.main = graph->name;
  out.format = format;
  out.metadata = graph->metadata;
  out.program.graphs.emplace(out.main, std::move(graph));
  return out;
}

Model of_package(package::Package package) {
  Model out;
  out.program = std::move(package.program);
  out.main = std::move(package.main);
  out.metadata = std::move(package.metadata);
  out.files = std::move(package.files);
  return out;
}

[[noreturn]] void fail_lone_netdef(std::string_view what) {
  fail_kind(ErrorKind::Value, what,
            ": is a NetDef of Caffe2, which comes as a pair; load init_net and predict_net together");
}

// A build made small by MOKA_PREDICTOR_FORMATS leaves readers out.
[[noreturn, maybe_unused]] void fail_left_out(std::string_view what, ModelFormat format) {
  fail_kind(ErrorKind::NotImplemented, what, ": this build of Moka leaves out the reader for this format (",
            model_format_name(format), "); make a .moka package of it with `moka convert`");
}

// `from` is a path, so that data beside the model are found, or the name that stands for bytes in messages.
Model load_onnx([[maybe_unused]] const Bytes* bytes, std::string_view from,
                [[maybe_unused]] const Limits& limits) {
#if MOKA_READ_ONNX
  auto deferred = [bytes = bytes ? *bytes : Bytes(), in_memory = bytes != nullptr, from = std::string(from),
                   limits] {
    return in_memory ? onnx::Deferred(bytes, from, limits) : onnx::Deferred(from, limits);
  };
  Model out;
  try {
    const auto source = bytes ? std::make_shared<const onnx::Source>(*bytes, from, limits)
                              : std::make_shared<const onnx::Source>(std::string(from), limits);
    out = of_graph(source->read(), ModelFormat::Onnx);
    out.leave = [source] { source->leave(); };
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::NotImplemented) throw;
    const onnx::Deferred later = deferred();
    if (!later.helps()) throw;
    out.format = ModelFormat::Onnx;
    out.waits = e.message();
    for (const auto& p : later.inputs) out.inputs.push_back({p.name, p.type});
    for (const auto& p : later.outputs) out.outputs.push_back({p.name, p.type});
  }
  if (out.waits.empty()) {
    for (const graph::Value* v : out.graph().inputs()) {
      const graph::Type& type = v->type.kind == graph::TypeKind::Optional ? v->type.elements[0] : v->type;
      out.lacks_ranks = out.lacks_ranks || type.kind == graph::TypeKind::Any ||
                        (type.kind == graph::TypeKind::Tensor && !type.has_dims);
    }
  }
  out.read_for = [deferred](std::span<const Any> inputs) { return deferred().read_for(inputs); };
  return out;
#else
  fail_left_out(from, ModelFormat::Onnx);
#endif
}

}  // namespace

const graph::Graph& Model::graph() const {
  MOKA_CHECK_KIND(NotImplemented, waits.empty(), waits, "\n  The graph is there once the model has run");
  return *program.graphs.at(main);
}

const char* model_format_name(ModelFormat format) {
  switch (format) {
    case ModelFormat::Package: return "Moka package";
    case ModelFormat::Onnx: return "ONNX model";
    case ModelFormat::NetDef: return "Caffe2 NetDef pair";
  }
  return "";
}

ModelFormat model_format(std::string_view bytes, std::string_view what) {
  MOKA_CHECK_KIND(File, !bytes.empty(), what, ": is empty");
  if (package::is_package(bytes)) return ModelFormat::Package;
  switch (bytes[0]) {  // tag of the first field: number << 3 | wire type
    case 0x08: return ModelFormat::Onnx;    // ModelProto.ir_version
    case 0x0A:                              // NetDef.name
    case 0x12: return ModelFormat::NetDef;  // NetDef.op
    default: break;
  }
  const bool weights = bytes.size() > 8 && bytes[8] == '{';  // eight bytes of length, then JSON
  fail_kind(ErrorKind::File, what, ": is neither a .moka package, nor an ONNX model, nor a NetDef",
            weights ? "; it looks like safetensors: weights without a program" : "");
}

Model load_model(const std::string& path, const Limits& limits) {
  prepare_operators();
  const Bytes bytes = Bytes::of_file(path, limits);
  switch (model_format(bytes.text(), path)) {
    case ModelFormat::Package: return of_package(package::read(bytes, path, limits));
    case ModelFormat::Onnx: return load_onnx(nullptr, path, limits);
    case ModelFormat::NetDef: break;
  }
  fail_lone_netdef(path);
}

Model load_model(const Bytes& bytes, std::string_view what, const Limits& limits) {
  prepare_operators();
  switch (model_format(bytes.text(), what)) {
    case ModelFormat::Package: return of_package(package::read(bytes, what, limits));
    case ModelFormat::Onnx: return load_onnx(&bytes, what, limits);
    case ModelFormat::NetDef: break;
  }
  fail_lone_netdef(what);
}

Model load_netdef([[maybe_unused]] const std::string& init_path, const std::string& predict_path,
                  [[maybe_unused]] const Limits& limits) {
#if MOKA_READ_NETDEF
  prepare_operators();
  return of_graph(netdef::load(init_path, predict_path, netdef::LoadOptions{limits, {}}),
                  ModelFormat::NetDef);
#else
  fail_left_out(predict_path, ModelFormat::NetDef);
#endif
}

}  // namespace moka
