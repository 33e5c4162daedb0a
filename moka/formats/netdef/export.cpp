// A graph as init_net and predict_net.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <protozero/pbf_writer.hpp>

#include "moka/formats/netdef/adapters.h"
#include "moka/formats/netdef/netdef.h"

namespace moka::netdef {

using protozero::pbf_writer;
using spelling::Attribute;
using spelling::Dialect;
using spelling::FileModel;

namespace {

constexpr uint64_t largest_net = (uint64_t(1) << 31) - 1;

// Repeated numbers are not packed in caffe2.proto.
void write_argument(pbf_writer& op, const Attribute& a) {
  pbf_writer w(op, 5);
  w.add_string(1, a.name);
  const Any& v = a.value;
  switch (v.tag()) {
    case Tag::Float: w.add_float(2, static_cast<float>(v.arg().f)); break;
    case Tag::Int:
    case Tag::Bool: w.add_int64(3, v.arg().as_int()); break;
    case Tag::String: w.add_bytes(4, v.string().data(), v.string().size()); break;
    case Tag::Floats:
      for (double f : v.arg().as_floats()) w.add_float(5, static_cast<float>(f));
      break;
    case Tag::Ints:
      for (int64_t i : v.ints()) w.add_int64(6, i);
      break;
    default: fail_kind(ErrorKind::Internal, "Caffe2 export: argument '", a.name, "' holds ", v);
  }
}

void write_fill(pbf_writer& net, const std::string& name, const Tensor& tensor) {
  const Tensor t = as_contiguous(tensor);
  pbf_writer op(net, 2);
  op.add_string(2, name);
  const char* type = nullptr;
  switch (t.dtype()) {
    case DType::F32: type = "GivenTensorFill"; break;
    case DType::F64: type = "GivenTensorDoubleFill"; break;
    case DType::I32: type = "GivenTensorIntFill"; break;
    case DType::I64: type = "GivenTensorInt64Fill"; break;
    case DType::I16: type = "GivenTensorInt16Fill"; break;
    case DType::Bool: type = "GivenTensorBoolFill"; break;
    case DType::U8: type = "GivenTensorByteStringToUInt8Fill"; break;
    default:
      fail_kind(ErrorKind::NotImplemented, "Caffe2 export: parameter '", name, "' is ", info(t.dtype()).name,
                "; Caffe2 fills float32, float64, int16, int32, int64, uint8 and bool tensors");
  }
  op.add_string(4, type);
  write_argument(op, {"shape", Any(t.sizes())});
  pbf_writer values(op, 5);
  values.add_string(1, "values");
  const int64_t count = t.numel();
  if (t.dtype() == DType::U8) {
    values.add_bytes(7, count ? static_cast<const char*>(t.raw_data()) : "", static_cast<size_t>(count));
  } else if (t.dtype() == DType::F32) {
    for (int64_t i = 0; i < count; i++) values.add_float(5, t.data<float>()[i]);
  } else if (t.dtype() == DType::F64) {
    for (int64_t i = 0; i < count; i++)
      values.add_float(5, static_cast<float>(t.data<double>()[i]));  // the field has no wider type
  } else {
    for (int64_t i = 0; i < count; i++) values.add_int64(6, element_as_int(t, i));
  }
}

}  // namespace

Pair save(const graph::Graph& graph, std::string_view name) {
  const std::span<const spelling::WritingAdapter> adapters[] = {writing_adapters()};
  const spelling::WritingRules rules{
      .dialect = Dialect::NetDef, .version = 1, .adapters = adapters, .copies = "Copy"};
  spelling::ModelWriter writer(rules);
  FileModel model = writer.write(graph);
  if (!name.empty()) model.name = std::string(name);
  Pair out;
  {
    pbf_writer net(out.predict_net);
    net.add_string(1, model.name);
    for (const spelling::FileNode& n : model.nodes) {
      pbf_writer op(net, 2);
      for (const std::string& i : n.inputs) {
        MOKA_CHECK_KIND(NotImplemented, !i.empty(), "Caffe2 export: operator ", n.op, " '", n.name,
                        "' would leave out an input, which Caffe2 cannot say");
        op.add_string(1, i);
      }
      for (const std::string& o : n.outputs) op.add_string(2, o);
      op.add_string(3, n.name);
      op.add_string(4, n.op);
      for (const Attribute& a : n.attributes) write_argument(op, a);
    }
    for (const spelling::FileValue& v : model.inputs) net.add_string(7, v.name);
    for (const spelling::FileTensor& t : model.tensors) net.add_string(7, t.name);
    for (const spelling::FileValue& v : model.outputs) net.add_string(8, v.name);
  }
  pbf_writer net(out.init_net);
  net.add_string(1, model.name + "_init");
  for (const spelling::FileTensor& t : model.tensors) write_fill(net, t.name, t.tensor);
  for (const spelling::FileTensor& t : model.tensors) net.add_string(8, t.name);
  MOKA_CHECK_KIND(Value, out.init_net.size() <= largest_net, "Caffe2 export: the init net has ",
                  out.init_net.size(), " bytes, a NetDef holds less than 2 GiB");
  return out;
}

void save(const graph::Graph& graph, const std::string& init_path, const std::string& predict_path,
          std::string_view name) {
  const Pair pair = save(graph, name);
  write_file(init_path, pair.init_net);
  write_file(predict_path, pair.predict_net);
}

}  // namespace moka::netdef
