// Which value of the graph a tensor of the recorded program shows. A graph has no memory: a write into a view becomes a
// new value of the whole, and whatever else shows that memory is cut out of it anew when it is read.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "moka/graph/graph.h"

namespace moka::capture {

class Memory {
 public:
  explicit Memory(graph::Graph& graph) : graph_(graph) {}

  // A tensor with memory of its own.
  void bind(const Tensor& t, graph::Value* value);
  // `t` is output number `output` of `node`, an operator that showed memory of its first argument, `of`.
  void bind_view(const Tensor& t, const Tensor& of, const graph::Node& node, int output, graph::Value* value);
  // `t` is what as_strided with these sizes and strides showed of `of`: of the memory, however `of` itself lies in it.
  void bind_strided(const Tensor& t, const Tensor& of, graph::Value* sizes, graph::Value* strides,
                    const graph::Source& source);
  // What `of` shows where `part` is written to its memory as as_strided shows it, from place `offset` on.
  graph::Value* strided_scatter(const Tensor& of, graph::Value* part, graph::Value* sizes,
                                graph::Value* strides, int64_t offset, const graph::Source& source);
  bool knows(const Tensor& t) const { return known_.count(t.impl()) != 0; }
  bool shows(const Tensor& t, const Tensor& of) const;  // the same memory, as far as the recording knows
  // What `t` shows now; `reader` is for messages, new nodes have `source`. It must be known.
  graph::Value* value(const Tensor& t, std::string_view reader, const graph::Source& source);
  // `t` shows from now on what `other` shows.
  void become(const Tensor& t, const Tensor& other);
  // Memory that some tensors share: the value of all of it, and how often it was written.
  struct Whole {
    Storage* storage;
    graph::Value* value;
    Dims sizes, strides;  // of the tensor that came first; it began at `offset`
    int64_t offset = 0;
    int version = 0;
    Tensor outer;  // found by the program, not made by it: what it is a constant of
    bool lost = false;  // tensors wrote to it that the recording cannot relate to it
  };
  std::shared_ptr<const Whole> whole(const Tensor& t) const { return known_.at(t.impl()).whole; }
  Whole& whole_of(const Tensor& t) { return *known_.at(t.impl()).whole; }
  void replace(graph::Value* old, graph::Value* now);  // everywhere
  bool shares(const Tensor& t) const;  // memory of a tensor that is known
  // `t` was written and shows `value` now.
  void write(const Tensor& t, graph::Value* value, std::string_view writer, const graph::Source& source);

 private:
  // One view: an operator with its arguments behind the first.
  struct View {
    const Op* op;
    std::vector<graph::Value*> arguments;
    int output, outputs;
    bool list;
    graph::Type type;
    int64_t start, length;  // of a part, along the operator's dimension
    bool overlaps = false;  // elements of it share memory: what is written to one changes others
  };
  struct Known {
    Tensor keep;  // the address stays taken while it is a key
    graph::Value* value;
    std::shared_ptr<Whole> whole;
    std::vector<View> path;  // from the whole
    int version = 0;  // of the whole when `value` was right
  };

  graph::Graph::Point at() { return {graph_.main(), nullptr}; }
  graph::Value* call(const Op& op, std::vector<graph::Value*> inputs, const graph::Type& type,
                     const graph::Source& source);
  graph::Value* show(const View& view, graph::Value* of, const graph::Source& source);
  graph::Value* put(const View& view, graph::Value* whole, graph::Value* part, std::string_view writer,
                    const graph::Source& source);
  // The way from the whole to a part of its memory.
  std::vector<View> strided_path(const Whole& whole, graph::Value* sizes, graph::Value* strides,
                                 int64_t offset);
  // The value of the whole, with `part` where the path leads.
  graph::Value* put_all(const Whole& whole, const std::vector<View>& path, graph::Value* part,
                        std::string_view writer, const graph::Source& source);
  graph::Value* number(int64_t n) { return graph_.constant(Any(n), at()); }

  graph::Graph& graph_;
  std::unordered_map<TensorImpl*, Known> known_;
  std::vector<std::shared_ptr<Whole>> wholes_;
};

}  // namespace moka::capture
