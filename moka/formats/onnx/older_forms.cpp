// Older forms of operators: what is an input since some opset was an attribute before. Nodes are written as of opset 13
// and rewritten here; one row of the table an operator.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "moka/formats/onnx/exporter_internal.h"
#include "moka/formats/onnx/opset_changes.h"
#include "moka/formats/spelling/conversions.h"

namespace moka::onnx {

using graph::Type;
using spelling::Attribute;
using spelling::FileGraph;
using spelling::FileModel;
using spelling::FileNode;

namespace {

class Older {
 public:
  Older(FileModel& model, int opset) : model_(model), opset_(opset) {
    for (const spelling::FileTensor& t : model.tensors) tensors_.emplace(t.name, &t.tensor);
    for (const auto* values : {&model.inputs, &model.outputs, &model.values})
      for (const spelling::FileValue& v : *values) types_.emplace(v.name, v.type);
  }

  void graph(FileGraph& g) {
    std::vector<FileNode> nodes = std::exchange(g.nodes, {});
    out_.push_back(&g.nodes);
    for (FileNode& n : nodes) {
      for (auto& [name, inner] : n.graphs) graph(inner);
      node(n);
    }
    out_.pop_back();
  }
  std::vector<spelling::FileTensor> fresh;

 private:
  [[noreturn]] void refuse(const FileNode& n, std::string_view what) {
    fail_kind(ErrorKind::NotImplemented, "ONNX export: ", n.op, " '", n.name, "' ", what,
              "; choose a later opset than ", opset_);
  }
  void emit(FileNode n) { out_.back()->push_back(std::move(n)); }
  std::string between(const FileNode& n, std::string_view what) {
    return cat(n.outputs[0], "_", what, "_", counter_++);
  }
  std::string constant(const FileNode& n, Tensor t) {
    fresh.push_back({cat(n.outputs[0], "_constant_", counter_++), std::move(t)});
    return fresh.back().name;
  }
  FileNode make(const FileNode& n, std::string_view op, std::vector<std::string> inputs, std::string output,
                std::vector<Attribute> attributes = {}) {
    return {cat(n.name, "_", op, "_", counter_++),
            std::string(op),
            "",
            std::move(inputs),
            {std::move(output)},
            std::move(attributes),
            {},
            n.scope};
  }
  static const Any* attribute(const FileNode& n, std::string_view name) {
    for (const Attribute& a : n.attributes)
      if (a.name == name) return &a.value;
    return nullptr;
  }

  void node(FileNode& n) {
    for (const Added& a : added_attributes()) {
      if (a.op != n.op || opset_ >= a.since || a.attribute == "largest") continue;  // topk() turns it
      std::erase_if(n.attributes, [&](const Attribute& given) {
        if (given.name != a.attribute) return false;
        if (!says_nothing(a, given.value)) refuse(n, cat("has ", a.attribute, " = ", given.value));
        return true;
      });
    }
    if (n.op == "Slice" && opset_ < 10 && n.inputs.size() > 4) {
      const auto steps = tensors_.find(n.inputs[4]);
      Dims all;
      if (steps == tensors_.end() || !spelling::to_ints(Any(*steps->second), all))
        refuse(n, "has steps known only when running");
      for (int64_t s : all)
        if (s != 1) refuse(n, "has steps");
      n.inputs.resize(4);
    }
    for (const Moved& m : moved_attributes()) {
      if (m.op != n.op || opset_ >= m.since || n.inputs.size() <= m.input || n.inputs[m.input].empty())
        continue;
      const auto found = tensors_.find(n.inputs[m.input]);
      if (found == tensors_.end()) refuse(n, cat("has ", m.attribute, " known only when running"));
      Any value;
      if (!attribute_of(m, *found->second, value)) refuse(n, cat("has no ", m.attribute));
      n.attributes.push_back({std::string(m.attribute), value});
      n.inputs[m.input].clear();
    }
    while (!n.inputs.empty() && n.inputs.back().empty()) n.inputs.pop_back();
    if (opset_ < 11) count_axes(n);
    if (opset_ < 11 && n.op == "TopK") return topk(n);
    if (opset_ < 13 && (n.op == "Softmax" || n.op == "LogSoftmax")) return softmax(n);
    if (opset_ < 11 && n.op == "ScatterElements") n.op = "Scatter";
    if (opset_ < 11 && n.op == "Resize") return resize(n);
    if (opset_ < 13 && n.op == "Resize") {  // no input may be left out
      const int64_t none = 0;
      for (size_t i = 1; i < 3 && i < n.inputs.size(); i++)
        if (n.inputs[i].empty()) n.inputs[i] = constant(n, new_tensor(std::span(&none, 1), DType::F32));
    }
    if (opset_ < 11 && n.op == "Equal") return equal(n);
    if (opset_ < 11 && n.op == "Gemm" && n.inputs.size() == 2)
      n.inputs.push_back(constant(n, spelling::number_tensor(Any(0.0), DType::F32)));
    if (opset_ < 12 && n.op == "Clip" && whole(n)) return clip(n);
    if (opset_ < 12 && (n.op == "Max" || n.op == "Min") && n.inputs.size() == 2 && whole(n))
      return extremum(n);
    emit(std::move(n));
  }
  // Dimensions did not count from the end.
  void count_axes(FileNode& n) {
    for (Attribute& a : n.attributes) {
      Dims all;
      if ((a.name != "axis" && a.name != "axes") || !spelling::to_ints(a.value, all)) continue;
      if (std::none_of(all.begin(), all.end(), [](int64_t d) { return d < 0; })) continue;
      const auto type = types_.find(n.op == "Unsqueeze" ? n.outputs[0] : n.inputs[0]);
      const auto known = tensors_.find(n.inputs[0]);
      const bool typed = type != types_.end() && type->second.has_dims;
      if (!typed && known == tensors_.end())
        refuse(n, cat("has ", a.name, " = ", a.value, " of a tensor of unknown rank"));
      const int64_t rank = typed ? static_cast<int64_t>(type->second.dims.size()) : known->second->dim();
      for (int64_t& d : all) d = d < 0 ? d + rank : d;
      a.value = a.name == "axis" ? Any(all[0]) : Any(all);
    }
  }
  // The smallest are the largest of what has the other sign.
  void topk(FileNode& n) {
    const Any* largest = attribute(n, "largest");
    const bool most = !largest || largest->to_bool();
    std::erase_if(n.attributes, [](const Attribute& a) { return a.name == "largest"; });
    if (most) return emit(std::move(n));
    const std::string turned = between(n, "turned"),
                      values = n.outputs[0].empty() ? std::string() : between(n, "values");
    emit(make(n, "Neg", {n.inputs[0]}, turned));
    const FileNode last = values.empty() ? FileNode() : make(n, "Neg", {values}, n.outputs[0]);
    n.inputs[0] = turned;
    n.outputs[0] = values.empty() ? between(n, "unread") : values;
    emit(std::move(n));
    if (!values.empty()) emit(last);
  }
  bool whole(const FileNode& n) const {
    const auto i = types_.find(n.outputs[0]);
    return i != types_.end() && i->second.has_dtype && !is_floating(i->second.dtype);
  }
  // Older ones flatten: the dimension has to be the last.
  void softmax(FileNode& n) {
    const Any* axis = attribute(n, "axis");
    const auto type = types_.find(n.outputs[0]);
    if (type == types_.end() || !type->second.has_dims) refuse(n, "has a result of unknown rank");
    const int64_t rank = static_cast<int64_t>(type->second.dims.size());
    int64_t at = axis ? axis->to_int() : -1;
    at = at < 0 ? at + rank : at;
    n.attributes = {{"axis", Any(rank - 1)}};
    if (at == rank - 1) return emit(std::move(n));
    Dims order;
    for (int64_t d = 0; d < rank; d++) order.push_back(d == at ? rank - 1 : d == rank - 1 ? at : d);
    const std::string turned = between(n, "turned"), done = between(n, "done"), out = n.outputs[0];
    emit(make(n, "Transpose", {n.inputs[0]}, turned, {{"perm", Any(order)}}));
    FileNode last = make(n, "Transpose", {done}, out, {{"perm", Any(order)}});
    n.inputs = {turned}, n.outputs = {done};
    emit(std::move(n));
    emit(std::move(last));
  }
  void resize(FileNode& n) {
    const Any *mode = attribute(n, "mode"), *how = attribute(n, "coordinate_transformation_mode");
    if (!mode || mode->string() != "nearest" || !how || how->string() != "asymmetric")
      refuse(n, "can only repeat the nearest element");
    const auto sizes = n.inputs.size() > 3 ? tensors_.find(n.inputs[3]) : tensors_.end();
    const auto in = types_.find(n.inputs[0]);
    Dims all;
    if (sizes == tensors_.end() || in == types_.end() || !spelling::to_ints(Any(*sizes->second), all))
      refuse(n, "has sizes known only when running");
    const int64_t count = static_cast<int64_t>(all.size());
    Tensor scales = new_tensor(std::span(&count, 1), DType::F32);
    for (size_t d = 0; d < all.size(); d++) {
      if (!in->second.has_dims || !in->second.dims[d].fixed()) refuse(n, "has sizes known only when running");
      if (all[d] < in->second.dims[d].size) refuse(n, "makes something smaller");
      static_cast<float*>(scales.raw_data())[d] =
          static_cast<float>(static_cast<double>(all[d]) / static_cast<double>(in->second.dims[d].size));
    }
    emit(make(n, opset_ < 10 ? "Upsample" : "Resize", {n.inputs[0], constant(n, scales)}, n.outputs[0],
              {{"mode", Any("nearest")}}));
  }
  // Numbers that are neither less nor greater are equal, NaN aside.
  void equal(FileNode& n) {
    const auto type = types_.find(n.inputs[0]);
    const auto known = tensors_.find(n.inputs[0]);
    const bool real = type != types_.end() ? type->second.has_dtype && is_floating(type->second.dtype)
                                           : known == tensors_.end() || is_floating(known->second->dtype());
    if (!real) return emit(std::move(n));
    const std::string a = n.inputs[0], b = n.inputs[1], not_less = between(n, "not_less"),
                      less = between(n, "less"), greater = between(n, "greater"),
                      either = between(n, "either"), same = between(n, "same"), number = between(n, "number");
    emit(make(n, "Less", {a, b}, less));
    emit(make(n, "Greater", {a, b}, greater));
    emit(make(n, "Or", {less, greater}, either));
    emit(make(n, "Not", {either}, same));
    emit(make(n, "IsNaN", {a}, not_less));
    const std::string other = between(n, "other"), nan = between(n, "nan");
    emit(make(n, "IsNaN", {b}, other));
    emit(make(n, "Or", {not_less, other}, nan));
    emit(make(n, "Not", {nan}, number));
    emit(make(n, "And", {same, number}, n.outputs[0]));
  }
  void extremum(FileNode& n) {
    const std::string chosen = between(n, "chosen");
    emit(make(n, n.op == "Max" ? "Greater" : "Less", {n.inputs[0], n.inputs[1]}, chosen));
    emit(make(n, "Where", {chosen, n.inputs[0], n.inputs[1]}, n.outputs[0]));
  }
  void clip(FileNode& n) {
    const DType type = types_.at(n.outputs[0]).dtype;
    auto bound = [&](const char* name, size_t input) {
      if (const Any* a = attribute(n, name))
        return constant(n, spelling::number_tensor(Any(a->to_double()), type));
      return n.inputs.size() > input ? n.inputs[input] : std::string();
    };
    const std::string low = bound("min", 1), high = bound("max", 2), out = n.outputs[0];
    std::string x = n.inputs[0];
    for (bool upper : {false, true}) {
      const std::string& limit = upper ? high : low;
      if (limit.empty()) continue;
      const std::string chosen = between(n, "chosen"),
                        next = upper || high.empty() ? out : between(n, "clipped");
      emit(make(n, upper ? "Less" : "Greater", {x, limit}, chosen));
      emit(make(n, "Where", {chosen, x, limit}, next));
      x = next;
    }
  }

  FileModel& model_;
  const int opset_;
  std::map<std::string, const Tensor*> tensors_;
  std::map<std::string, Type> types_;
  std::vector<std::vector<FileNode>*> out_;
  int counter_ = 0;
};

}  // namespace

void to_older_forms(FileModel& model, int opset) {
  if (opset >= 13) return;
  Older older(model, opset);
  older.graph(model);
  for (spelling::FileTensor& t : older.fresh) model.tensors.push_back(std::move(t));
}

bool has_older_form(std::string_view op, int since, int opset) {
  if (opset >= since || since > 13) return false;
  for (std::string_view name : {"Softmax", "LogSoftmax", "TopK", "ScatterElements", "Clip"})
    if (op == name) return op != "ScatterElements" || opset >= 9;
  return false;
}

}  // namespace moka::onnx
