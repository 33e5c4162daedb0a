// Runs the fills of an init net and builds the graph of a predict net.
// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "moka/formats/netdef/adapters.h"
#include "moka/formats/netdef/messages.h"
#include "moka/formats/netdef/netdef.h"
#include "moka/schema/frame.h"

namespace moka::netdef {

using graph::Graph;
using graph::Node;
using graph::NodeKind;
using graph::Type;
using graph::Value;
using spelling::Dialect;
using spelling::ForeignNode;
using spelling::NodeReader;
using spelling::Table;

namespace {

class Importer {
 public:
  Importer(Graph& graph, std::string file, const LoadOptions& options)
      : graph_(graph), build_(graph, {graph.main()}), options_(options), file_(std::move(file)) {}

  void run_init(const NetDef& net, proto::Budget& budget) {
    for (const OperatorDef& op : net.ops) {
      try {
        ForeignNode node = foreign(op);
        Tensor tensor;
        MOKA_CHECK_KIND(NotImplemented, run_fill(node, tensor) && op.outputs.size() == 1, "operator ",
                        op.type, " in an init net is not run; only GivenTensor...Fill and ConstantFill are");
        budget.take_tensor_bytes(tensor.bytes(), op.outputs[0]);
        filled_[std::string(op.outputs[0])] = tensor;
        if (op.type == "ConstantFill" && tensor.numel() <= 1) dummies_.insert(std::string(op.outputs[0]));
      } catch (Error& e) {
        e.add_context(label(op, "init net"));
        throw;
      }
    }
  }

  void run_predict(const NetDef& net) {
    graph_.name = net.name.empty() ? "predict" : std::string(net.name);
    declare_inputs(net);
    for (const OperatorDef& op : net.ops) {
      for (std::string_view in : op.inputs) used_.insert(in);
    }
    for (std::string_view out : net.external_outputs) used_.insert(out);
    const bool no_outputs = net.external_outputs.empty();
    if (no_outputs && !net.ops.empty())
      for (std::string_view out : net.ops.back().outputs) used_.insert(out);
    for (const OperatorDef& op : net.ops) {
      try {
        translate(op);
      } catch (Error& e) {
        e.add_context(label(op, "predict net"));
        throw;
      }
    }
    if (no_outputs) {
      MOKA_CHECK_KIND(File, !net.ops.empty(), file_, ": the predict net has neither operators nor outputs");
      for (std::string_view out : net.ops.back().outputs) graph_.add_output(value(out), std::string(out));
    }
    for (std::string_view out : net.external_outputs) graph_.add_output(value(out), std::string(out));
    for (Value* v : graph_.outputs())
      MOKA_CHECK_KIND(NotImplemented, v, file_, ": an output is not computed");
    spelling::drop_unused(graph_);
  }

 private:
  std::string label(const OperatorDef& op, const char* net) const {
    return cat("In operator ", op.type, op.name.empty() ? "" : cat(" '", op.name, "'"),
               op.outputs.empty() ? "" : cat(" -> '", op.outputs[0], "'"), " of the ", net, " of ", file_);
  }

  ForeignNode foreign(const OperatorDef& op) {
    MOKA_CHECK_KIND(NotImplemented, !op.has_nets, "operator ", op.type, " holds nets, which are not read");
    ForeignNode node;
    node.op = std::string(op.type);
    node.name = std::string(op.name);
    node.attributes = op.args;
    normalize(node);
    return node;
  }

  // External inputs that the init net fills are parameters; one that it fills with a dummy is the input when nothing else is.
  void declare_inputs(const NetDef& net) {
    std::set<std::string> inputs;
    for (std::string_view name : net.external_inputs)
      if (!filled_.count(std::string(name)) || options_.inputs.count(std::string(name)))
        inputs.insert(std::string(name));
    if (inputs.empty() && !net.external_inputs.empty() && dummies_.count(std::string(net.external_inputs[0])))
      inputs.insert(std::string(net.external_inputs[0]));
    for (std::string_view name : net.external_inputs) {
      const std::string key(name);
      if (values_.count(key)) continue;
      if (inputs.count(key)) {
        auto given = options_.inputs.find(key);
        values_[key] = graph_.add_input(key, given == options_.inputs.end() ? Type::tensor() : given->second);
      } else {
        parameter(key);
      }
    }
    for (const auto& [name, type] : options_.inputs)
      MOKA_CHECK_KIND(Value, inputs.count(name), file_, ": has no external input '", name,
                      "', whose type was given");
  }

  Value* parameter(const std::string& name) {
    const Tensor& tensor = filled_.at(name);
    if (!is_floating(tensor.dtype())) return values_[name] = build_.constant(Any(tensor));
    graph::State s;
    s.name = name;
    s.type = Type::tensor(tensor.dtype(), tensor.sizes());
    s.value = Any(tensor);
    s.parameter = true;
    graph_.states.emplace(name, s);
    Node* get = graph_.create_named(NodeKind::Get, name, {graph_.main()}, {}, 1);
    get->output()->type = s.type;
    build_.remember(get->output(), s.value);
    return values_[name] = get->output();
  }

  Value* value(std::string_view name) {
    if (auto i = values_.find(name); i != values_.end()) return i->second;
    const std::string key(name);
    if (filled_.count(key)) return parameter(key);  // not declared as external input, but there
    fail_kind(ErrorKind::File, file_, ": blob '", name, "' is used but neither an input nor made before");
  }

  void translate(const OperatorDef& op) {
    ForeignNode node = foreign(op);
    build_.source = {
        file_, 0, op.name.empty() && !op.outputs.empty() ? std::string(op.outputs[0]) : std::string(op.name)};
    for (std::string_view in : op.inputs) node.inputs.push_back(value(in));
    node.outputs = 1;
    for (size_t i = 1; i < op.outputs.size(); i++)
      if (used_.count(op.outputs[i])) node.outputs = static_cast<int>(i) + 1;
    if (Tensor filled; run_fill(node, filled))
      return bind(op, std::vector<Value*>{build_.constant(Any(filled))});
    std::string reasons;
    for (const spelling::Adapter& a : reading_adapters()) {
      if (a.op != op.type) continue;
      NodeReader reader(build_, node, Dialect::NetDef, 1);
      if (a.read(reader)) return bind(op, reader.outputs);
      if (!reader.why.empty()) reasons += cat("\n    ", op.type, ": ", reader.why);
    }
    const Table& table = Table::of(Dialect::NetDef);
    for (const spelling::Row* row : table.named(op.type, "", 1)) {
      spelling::Match match;
      std::string why;
      if (!read_row(*row, Dialect::NetDef, node, build_, match, why)) {
        reasons += cat("\n    as ", info(*row->op).schema.name, ": ", why);
        continue;
      }
      std::vector<Value*> made = build_.emit(*row->op, match.slots);
      if (!row->mapping.outputs.empty()) {
        std::vector<Value*> outputs(row->mapping.outputs.size());
        for (size_t i = 0; i < outputs.size(); i++)
          if (row->mapping.outputs[i] >= 0) outputs[i] = made[static_cast<size_t>(row->mapping.outputs[i])];
        made = outputs;
      }
      return bind(op, made);
    }
    if (!reasons.empty())
      fail_kind(ErrorKind::NotImplemented, "this form of ", op.type, " is not supported:", reasons);
    std::string near;
    for (const std::string& name : table.near(op.type))
      near += cat(near.empty() ? "; near it: " : ", ", name);
    fail_kind(ErrorKind::NotImplemented, "operator ", op.type, " is not known", near);
  }

  // An operator may write a blob again, its own input among them: the name then stands for the new value.
  void bind(const OperatorDef& op, std::span<Value* const> outputs) {
    for (size_t i = 0; i < op.outputs.size(); i++) {
      Value* v = i < outputs.size() ? outputs[i] : nullptr;
      if (!v) {
        MOKA_CHECK_KIND(NotImplemented, !used_.count(op.outputs[i]), "output ", i, " ('", op.outputs[i],
                        "') is not computed");
        continue;
      }
      values_[std::string(op.outputs[i])] = v;
      if (v->name.empty() && names_.insert(std::string(op.outputs[i])).second)
        v->name = std::string(op.outputs[i]);
    }
  }

  Graph& graph_;
  spelling::Builder build_;
  const LoadOptions& options_;
  std::string file_;
  std::map<std::string, Value*, std::less<>> values_;
  std::map<std::string, Tensor> filled_;
  std::set<std::string> dummies_, names_;
  std::set<std::string_view> used_;
};

std::unique_ptr<Graph> build(std::string_view init, std::string_view predict, std::string init_name,
                             std::string predict_name, const LoadOptions& options) {
  proto::Budget init_budget(std::move(init_name), init, options.limits),
      budget(predict_name, predict, options.limits);
  const NetDef init_net = read_net(init_budget, init), predict_net = read_net(budget, predict);
  auto out = std::make_unique<Graph>();
  Importer importer(*out, predict_name, options);
  importer.run_init(init_net, init_budget);
  importer.run_predict(predict_net);
  return out;
}

}  // namespace

std::unique_ptr<Graph> load(const Bytes& init_net, const Bytes& predict_net, const LoadOptions& options) {
  return build(init_net.text(), predict_net.text(), "init_net", "predict_net", options);
}

std::unique_ptr<Graph> load(const std::string& init_path, const std::string& predict_path,
                            const LoadOptions& options) {
  const Bytes init = Bytes::of_file(init_path, options.limits),
              predict = Bytes::of_file(predict_path, options.limits);
  return build(init.text(), predict.text(), init_path, predict_path, options);
}

std::unique_ptr<Graph> load_meta(const Bytes& meta_net, std::string_view name, const LoadOptions& options) {
  proto::Budget budget(std::string(name), meta_net.text(), options.limits);
  const MetaNetDef meta = read_meta_net(budget, meta_net.text());
  std::string_view init, predict;
  bool found = false;
  for (const auto& [key, net] : meta.nets) {
    // The names of predictor_consts.proto.
    if (key == "PREDICT_INIT_NET_TYPE" || key == "!!PREDICT_INIT_NET_TYPE" || key == "predict_init_net")
      init = net;
    if (key == "PREDICT_NET_TYPE" || key == "!!PREDICT_NET_TYPE" || key == "predict_net") {
      predict = net;
      found = true;
    }
  }
  MOKA_CHECK_KIND(File, found, name, ": has no predict net");
  return build(init, predict, cat(name, " (init net)"), cat(name, " (predict net)"), options);
}

}  // namespace moka::netdef
