// The arrays that a model is run on: files by name or in order, or made up.
// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cstdio>

#include "moka/formats/npy/npy.h"
#include "moka/formats/onnx/onnx.h"
#include "moka/predictor/command/command.h"

namespace moka::command {

namespace {

std::string names_of(const std::vector<Port>& ports) {
  std::string out;
  for (const Port& p : ports) out += cat(out.empty() ? "" : ", ", p.name);
  return out;
}

// Numbers of the declared type; a conversion is said aloud.
Tensor fit_type(Tensor t, const Port& port) {
  if (port.type.kind != graph::TypeKind::Tensor || !port.type.has_dtype || t.dtype() == port.type.dtype)
    return t;
  std::fprintf(stderr, "moka: input %s: converted from %s to %s\n", port.name.c_str(),
               std::string(moka::info(t.dtype()).name).c_str(),
               std::string(moka::info(port.type.dtype).name).c_str());
  return to_dtype(t, port.type.dtype);
}

// The same numbers in every run: a small linear congruential generator (Knuth, MMIX).
Tensor random_tensor(const Port& port, int64_t batch) {
  const graph::Type& type = port.type;
  if (type.kind != graph::TypeKind::Tensor || !type.has_dtype || !type.has_dims)
    throw UsageError{cat("--random: the model does not say the shape of ", port.name, " (", type.text(),
                         "); give it with --input")};
  Dims sizes;
  for (size_t d = 0; d < type.dims.size(); d++) {
    const graph::Dim& dim = type.dims[d];
    sizes.push_back(dim.fixed() ? dim.size : d == 0 && batch ? batch : 1);
  }
  Tensor numbers = new_tensor(sizes, DType::F32);
  uint64_t state = 1;
  for (int64_t i = 0; i < numbers.numel(); i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    numbers.data<float>()[i] = is_floating(type.dtype) ? static_cast<float>(state >> 40) * 0x1p-23f - 1
                                                       : static_cast<float>(state >> 63);
  }
  return to_dtype(numbers, type.dtype);
}

}  // namespace

std::vector<std::string> assign_files(const std::vector<std::string>& given, const std::vector<Port>& ports,
                                      const char* option) {
  std::vector<std::string> out(ports.size());
  size_t next = 0;
  for (const std::string& text : given) {
    size_t index = ports.size();
    std::string file = text;
    if (const size_t equals = text.find('='); equals != text.npos)
      for (size_t i = 0; i < ports.size(); i++)
        if (ports[i].name == std::string_view(text).substr(0, equals)) {
          index = i;
          file = text.substr(equals + 1);
        }
    if (const size_t equals = text.find('='); index == ports.size() && equals != text.npos &&
                                              text.find('/') > equals && ::access(text.c_str(), F_OK) != 0)
      throw UsageError{cat(option, " ", text, ": the model has no '", text.substr(0, equals), "'; it has ",
                           names_of(ports))};
    if (index == ports.size()) {
      while (next < ports.size() && !out[next].empty()) next++;
      index = next;
    }
    if (index == ports.size())
      throw UsageError{cat(option, " ", text, ": the model has only ", ports.size(), ": ", names_of(ports))};
    if (!out[index].empty()) throw UsageError{cat(option, ": two files for ", ports[index].name)};
    out[index] = file;
  }
  return out;
}

namespace {
Any read_input(const std::string& file, const Port& port) {
  if (!file.ends_with(".pb")) return Any(fit_type(npy::read(file), port));
  return onnx::read_value(Bytes::of_file(file), file, port.type);
}
}  // namespace

std::vector<Any> read_inputs(const ArrayArgs& args, const std::vector<Port>& ports, const char* command) {
  if (args.inputs.empty() && !args.random && !ports.empty())
    throw UsageError{
        cat(command, ": no --input was given; name arrays with -i FILE.npy, or ask for --random ones")};
  const std::vector<std::string> files = assign_files(args.inputs, ports, "--input");
  std::vector<Any> inputs;
  for (size_t i = 0; i < ports.size(); i++) {
    const bool may_be_missing = ports[i].type.kind == graph::TypeKind::Optional;
    if (files[i].empty() && may_be_missing) {
      inputs.emplace_back();
      continue;
    }
    if (files[i].empty() && !args.random)
      throw UsageError{cat(command, ": no --input for ", ports[i].name, " (", ports[i].type.text(), ")")};
    inputs.push_back(files[i].empty() ? Any(random_tensor(ports[i], args.batch))
                                      : read_input(files[i], ports[i]));
  }
  return inputs;
}

}  // namespace moka::command
