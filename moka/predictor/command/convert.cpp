// `moka convert`: a model of any format that is read, written in any that is written.
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "moka/formats/netdef/netdef.h"
#include "moka/formats/onnx/onnx.h"
#include "moka/formats/package/package.h"
#include "moka/formats/safetensors/safetensors.h"
#include "moka/predictor/command/command.h"

namespace moka::command {

namespace {

std::map<std::string, Tensor> tensors_of(const graph::Graph& graph) {
  std::map<std::string, Tensor> out;
  for (const auto& [name, state] : graph.states)
    if (state.value.is_tensor()) out.emplace(name, state.value.tensor());
  return out;
}

}  // namespace

int convert(const ConvertArgs& args) {
  auto ends = [&](std::string_view ending) { return std::string_view(args.output).ends_with(ending); };
  if (!ends(".moka") && !ends(".onnx") && !ends(".pb") && !ends(".safetensors") && !ends(".txt"))
    throw UsageError{
        cat("convert: the ending of ", args.output, " is none of .moka, .onnx, .pb, .safetensors, .txt")};
  if (ends(".onnx") && std::string_view(args.model.path).ends_with(".onnx")) {
    const int opset =
        args.opset ? args.opset : onnx::opset_of(Bytes::of_file(args.model.path), args.model.path);
    onnx::convert(args.model.path, args.output, opset);
    std::printf("%s: %s\n", args.output.c_str(), human_bytes(Bytes::of_file(args.output).size()).c_str());
    return 0;
  }
  const Model model = load(args.model);
  if (ends(".moka")) package::write(args.output, model.program, model.main, {model.metadata, {}});
  else if (ends(".onnx"))
    onnx::save(model.graph(), args.output, {.opset = args.opset ? args.opset : onnx::default_opset});
  else if (ends(".pb")) netdef::save(model.graph(), init_net_of(args.output), args.output);
  else if (ends(".safetensors")) safetensors::write(args.output, tensors_of(model.graph()), model.metadata);
  else write_file(args.output, graph::print(model.graph()));
  std::printf("%s: %s\n", args.output.c_str(), human_bytes(Bytes::of_file(args.output).size()).c_str());
  return 0;
}

}  // namespace moka::command
