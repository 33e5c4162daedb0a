// `moka info`: what goes into a model, what comes out, what it is made of and what it costs.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>

#include "moka/formats/json.h"
#include "moka/passes/passes.h"
#include "moka/predictor/command/command.h"
#include "moka/predictor/cost.h"
#include "moka/predictor/page.h"

namespace moka::command {

namespace {

struct Sizes {
  int64_t parameters = 0, parameter_elements = 0, parameter_bytes = 0;
  int64_t buffers = 0, buffer_bytes = 0, constant_bytes = 0;
};

// Tensors that several states share count once.
Sizes measure(const graph::Graph& graph) {
  Sizes out;
  std::map<const void*, bool> seen;
  for (const auto& [name, state] : graph.states) {
    if (!state.value.is_tensor()) continue;
    const Tensor& t = state.value.tensor();
    if (!t.has_storage() || (t.bytes() && !seen.emplace(t.raw_data(), true).second)) continue;
    const auto bytes = static_cast<int64_t>(t.bytes());
    if (state.parameter) {
      out.parameters++;
      out.parameter_elements += t.numel();
      out.parameter_bytes += bytes;
    } else {
      out.buffers++;
      out.buffer_bytes += bytes;
    }
  }
  for (const graph::Node* node : *graph.main())
    if (node->kind == graph::NodeKind::Constant && node->constant.is_tensor())
      out.constant_bytes += static_cast<int64_t>(node->constant.tensor().bytes());
  return out;
}

std::string output_name(const graph::Graph& graph, size_t i) {
  if (i < graph.output_names.size() && !graph.output_names[i].empty()) return graph.output_names[i];
  const std::string& name = graph.outputs()[i]->name;
  return name.empty() ? cat("output", i) : name;
}

void print_ports(const char* title, const std::vector<std::pair<std::string, std::string>>& ports) {
  std::printf("%s\n", title);
  size_t width = 0;
  for (const auto& [name, type] : ports) width = std::max(width, name.size());
  for (const auto& [name, type] : ports)
    std::printf("  %-*s  %s\n", static_cast<int>(width), name.c_str(), type.c_str());
}

void append_ports(std::string& out, const char* key,
                  const std::vector<std::pair<std::string, std::string>>& ports) {
  out += cat(",\"", key, "\":[");
  for (size_t i = 0; i < ports.size(); i++) {
    out += i ? ",{\"name\":" : "{\"name\":";
    append_json_string(out, ports[i].first);
    out += ",\"type\":";
    append_json_string(out, ports[i].second);
    out += '}';
  }
  out += ']';
}

// What reading the model and running it need: the operators of the file, and those that the rewrites make of
// them.
int print_operators(const Model& model, const Cost& cost) {
  std::map<std::string, OperatorCost> all = cost.operators;
  const std::unique_ptr<graph::Graph> optimized = passes::inline_calls(model.program, model.main);
  passes::optimize(*optimized);
  all.merge(measure_cost(*optimized).operators);
  for (const auto& [name, op] : all) std::printf("%s\n", name.c_str());
  return 0;
}

}  // namespace

int info(const InfoArgs& args) {
  const Model model = load(args.model);
  const graph::Graph& graph = model.graph();
  std::vector<std::pair<std::string, std::string>> inputs, outputs;
  for (const graph::Value* v : graph.inputs()) inputs.emplace_back(v->name, v->type.text());
  for (size_t i = 0; i < graph.outputs().size(); i++)
    outputs.emplace_back(output_name(graph, i), graph.outputs()[i]->type.text());
  const Cost cost = measure_cost(graph);
  const Sizes sizes = measure(graph);

  if (args.ops) return print_operators(model, cost);
  if (!args.page.empty()) {
    write_file(args.page, graph_page(graph, args.model.path));
    std::printf("%s: the graph of %s, to open in a browser\n", args.page.c_str(), args.model.path.c_str());
    return 0;
  }
  if (args.json) {
    std::string out = "{\"file\":";
    append_json_string(out, args.model.path);
    out += cat(",\"format\":\"", model_format_name(model.format), "\",\"graph\":");
    append_json_string(out, graph.name);
    append_ports(out, "inputs", inputs);
    append_ports(out, "outputs", outputs);
    out += ",\"operators\":{";
    bool first = true;
    for (const auto& [name, op] : cost.operators) {
      if (!std::exchange(first, false)) out += ',';
      append_json_string(out, name);
      out += cat(":{\"count\":", op.count, ",\"flop\":", op.flop, "}");
    }
    out += cat("},\"nodes\":", cost.nodes, ",\"flop\":", cost.flop,
               ",\"flop_complete\":", cost.complete ? "true" : "false", ",\"parameters\":", sizes.parameters,
               ",\"parameter_elements\":", sizes.parameter_elements,
               ",\"parameter_bytes\":", sizes.parameter_bytes, ",\"buffers\":", sizes.buffers,
               ",\"buffer_bytes\":", sizes.buffer_bytes, ",\"constant_bytes\":", sizes.constant_bytes,
               ",\"metadata\":{");
    first = true;
    for (const auto& [key, value] : model.metadata) {
      if (!std::exchange(first, false)) out += ',';
      append_json_string(out, key);
      out += ':';
      append_json_string(out, value);
    }
    std::printf("%s}}\n", out.c_str());
    return 0;
  }

  std::printf("%s: %s, graph %s\n", args.model.path.c_str(), model_format_name(model.format),
              graph.name.c_str());
  print_ports("inputs", inputs);
  print_ports("outputs", outputs);
  std::printf("operators: %s\n", with_commas(cost.nodes).c_str());
  std::vector<std::pair<std::string, OperatorCost>> order(cost.operators.begin(), cost.operators.end());
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.second.flop > b.second.flop; });
  size_t width = 0;
  for (const auto& [name, op] : order) width = std::max(width, name.size());
  for (const auto& [name, op] : order)
    std::printf("  %-*s  %5s  %10s FLOP\n", static_cast<int>(width), name.c_str(),
                with_commas(op.count).c_str(), human_count(static_cast<double>(op.flop)).c_str());
  std::printf("parameters: %s in %s tensors, %s", with_commas(sizes.parameter_elements).c_str(),
              with_commas(sizes.parameters).c_str(),
              human_bytes(static_cast<uint64_t>(sizes.parameter_bytes)).c_str());
  if (sizes.buffers)
    std::printf("; buffers: %s", human_bytes(static_cast<uint64_t>(sizes.buffer_bytes)).c_str());
  if (sizes.constant_bytes)
    std::printf("; constants: %s", human_bytes(static_cast<uint64_t>(sizes.constant_bytes)).c_str());
  std::printf("\narithmetic: %s%sFLOP for one run%s%s\n", cost.complete ? "" : "at least ",
              human_count(static_cast<double>(cost.flop)).append(cost.flop < 1000 ? " " : "").c_str(),
              cost.free_sizes ? ", free sizes taken as 1" : "",
              cost.complete ? "" : " (some shapes are not known)");
  for (const auto& [key, value] : model.metadata) std::printf("%s: %s\n", key.c_str(), value.c_str());
  return 0;
}

}  // namespace moka::command
