// ONNX models become graphs and graphs become ONNX models.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moka/formats/files.h"
#include "moka/graph/graph.h"

namespace moka::onnx {

inline constexpr int latest_opset = 28;
inline constexpr int oldest_written_opset = 9, default_opset = 18;

// The graph has the model's names: inputs, outputs, parameters (states of the graph), symbolic sizes; the scope of a
// node's source is its name in the file. Errors name the file, the node and what does not fit.
std::unique_ptr<graph::Graph> load(const std::string& path, const Limits& limits = {});
// `name` stands for the file in messages. Tensors kept outside the model cannot be found: there is no folder.
std::unique_ptr<graph::Graph> load(const Bytes& bytes, std::string_view name, const Limits& limits = {});

class ExternalData;
// A model that can be read again. Its files stay mapped, so that it is the same model each time, whatever becomes of their
// names; that takes no memory but for bytes that came in memory.
class Source {
 public:
  explicit Source(const std::string& path, const Limits& limits = {});
  Source(Bytes bytes, std::string_view name, const Limits& limits = {});
  std::unique_ptr<graph::Graph> read() const;
  // Pages of the files leave this process until somebody reads them again: for when the weights are packed.
  void leave() const;

 private:
  Bytes bytes_;
  std::string name_;
  Limits limits_;
  std::shared_ptr<const ExternalData> external_;
};

// A model whose graph can be made for the inputs of a run: its file leaves ranks or sizes open on which the graph depends, or
// gives one name to sizes that differ. A path is read anew each time.
class Deferred {
 public:
  explicit Deferred(const std::string& path, const Limits& limits = {});
  Deferred(Bytes bytes, std::string_view name, const Limits& limits = {});

  struct Port {
    std::string name;
    graph::Type type;
  };
  std::vector<Port> inputs, outputs;  // as the file says them
  bool helps() const { return open_ && known_; }  // more may be known when inputs come
  // For inputs of these ranks, sizes left open; where that is not enough, for these sizes alone. An input that
  // contradicts the file has the file's type.
  std::unique_ptr<graph::Graph> read_for(std::span<const Any> values) const;

 private:
  void look(const Bytes& bytes);
  Bytes bytes_;
  std::string name_;
  Limits limits_;
  bool in_memory_ = false;
  bool open_ = false;  // some input's rank or sizes are not in the file
  bool known_ = false;  // every operator is known
};

// One of the model's training algorithms (TrainingInfoProto). `step` takes the inputs of the model and of the algorithm and
// gives the outputs of both; what it updates are written states. `initialization`, which has no inputs, gives the states
// their first values: its outputs have their names. Null where the file has none.
struct Training {
  std::unique_ptr<graph::Graph> step, initialization;
};
Training load_training(const std::string& path, int algorithm = 0, const Limits& limits = {});
Training load_training(const Bytes& bytes, std::string_view name, int algorithm = 0,
                       const Limits& limits = {});

struct ExportOptions {
  int opset = default_opset;  // 9 to latest_opset
  std::string producer = "moka";
  // Sizes of inputs that may vary: input name -> dimension -> the name of the size.
  std::map<std::string, std::map<int, std::string>> dynamic_sizes;
  std::map<std::string, std::string> metadata;  // beside what the graph has
  // Module paths whose nodes become a function each; its calls are nodes of domain moka.modules.
  std::vector<std::string> functions;
  // Tensors in PATH.data instead of the model: where asked for, and where the model would have more than 2 GiB.
  bool external_data = false;
  uint64_t external_threshold = 1024;  // bytes; smaller tensors stay in the model
  bool parameters_as_inputs = false;  // as files of IR 3 and older have them
};
// The bytes of a ModelProto, at most 2 GiB. NotImplemented names every operator that the opset cannot say.
std::string save(const graph::Graph& graph, const ExportOptions& options = {});
void save(const graph::Graph& graph, const std::string& path, const ExportOptions& options = {});
// A model in another opset, 9 to latest_opset. Names, weights and nodes that mean the same there stay as they are; others
// are said in that opset's way. NotImplemented names a node that it cannot say. From a path, tensors beside the model go
// into a file beside `target`.
std::string convert(const Bytes& bytes, std::string_view name, int opset, const Limits& limits = {});
void convert(const std::string& path, const std::string& target, int opset, const Limits& limits = {});
int opset_of(const Bytes& bytes, std::string_view name, const Limits& limits = {});

// One value in a file of its own, as the test data of ONNX have it: a TensorProto, SequenceProto, OptionalProto or MapProto,
// whichever the type says.
Any read_value(const Bytes& bytes, std::string_view name, const graph::Type& type, const Limits& limits = {});
std::string write_value(const Any& value, std::string_view name, const graph::Type& type);

int ir_version_of(int opset);  // the oldest that may carry it

}  // namespace moka::onnx
