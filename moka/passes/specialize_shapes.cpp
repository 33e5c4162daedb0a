// Input types are made exact and all types inferred anew, so that sizes fold and kernels can be chosen.
// decompose first; fold_constants afterwards turns the sizes into constants.
// SPDX-License-Identifier: Apache-2.0
#include "moka/graph/builtins.h"
#include "moka/passes/passes.h"

namespace moka::passes {

using namespace graph;

namespace {
class Specializer {
 public:
  explicit Specializer(Graph& graph) : graph_(graph) {}
  int changed = 0;

  void block(Block& b) {
    for (Node* n : b) {
      std::vector<Type> before;
      for (Value* v : n->outputs()) before.push_back(v->type);
      node(*n);
      for (size_t i = 0; i < before.size(); i++) changed += !(n->outputs()[i]->type == before[i]);
    }
  }

 private:
  void node(Node& n) {
    switch (n.kind) {
      case NodeKind::Op: {
        std::vector<Type> types = infer_types(*n.op, n.inputs());
        for (size_t i = 0; i < types.size() && i < static_cast<size_t>(n.data_outputs()); i++)
          narrow(n.outputs()[i], types[i]);
        break;
      }
      case NodeKind::Builtin:
      case NodeKind::Tuple:
      case NodeKind::Unpack: infer_types(n); break;
      case NodeKind::List:
        if (!n.inputs().empty()) infer_types(n);
        break;
      case NodeKind::Get: {
        auto it = graph_.states.find(n.name);
        if (it != graph_.states.end())
          narrow(n.output(0), it->second.written || it->second.value.is_none() ? it->second.type
                                                                               : type_of(it->second.value));
        break;
      }
      case NodeKind::If:
        for (const auto& b : n.blocks()) block(*b);
        for (size_t i = 0; i < n.outputs().size(); i++)
          n.outputs()[i]->type = join(n.block(0)->results()[i]->type, n.block(1)->results()[i]->type);
        break;
      case NodeKind::Loop: loop(n); break;
      default: break;
    }
  }

  // What inference cannot see stays as it was declared.
  static void narrow(Value* v, const Type& type) {
    bool vague = type.kind == TypeKind::Any || (type.kind == TypeKind::Tensor && !type.has_dims &&
                                                v->type.kind == TypeKind::Tensor && v->type.has_dims);
    if (!vague) v->type = type;
  }

  // Carried types are those that hold for the start and for every later iteration.
  void loop(Node& n) {
    Block& body = *n.block(0);
    size_t carried = n.outputs().size();
    for (size_t i = 0; i < carried; i++)
      if (body.params()[i + 1]->type.kind != TypeKind::Token)
        body.params()[i + 1]->type = n.inputs()[i + 2]->type;
    for (int round = 0; round < 8; round++) {
      block(body);
      bool stable = true;
      for (size_t i = 0; i < carried; i++) {
        Value* param = body.params()[i + 1];
        Type both = join(param->type, body.results()[i + 1]->type);
        if (round == 6) both = both == param->type ? both : Type();  // a type that grows for ever
        if (both == param->type) continue;
        param->type = both;
        stable = false;
      }
      if (stable) break;
    }
    for (size_t i = 0; i < carried; i++) n.outputs()[i]->type = body.params()[i + 1]->type;
  }

  Graph& graph_;
};
}  // namespace

int specialize_shapes(Graph& graph, const std::map<std::string, Type>& inputs) {
  for (const auto& [name, type] : inputs) {
    Value* input = nullptr;
    for (Value* v : graph.inputs())
      if (v->name == name) input = v;
    MOKA_CHECK_KIND(Value, input, "specialize_shapes: graph '", graph.name, "' has no input '", name, "'");
    MOKA_CHECK_KIND(Value, fits(type, input->type), "specialize_shapes: input '", name, "' is ",
                    input->type.text(), ", which ", type.text(), " does not fit");
    // A named size that gets a number gets it everywhere.
    if (type.kind == TypeKind::Tensor && input->type.kind == TypeKind::Tensor && input->type.has_dims &&
        type.has_dims)
      for (size_t i = 0; i < type.dims.size(); i++)
        if (const std::string symbol = input->type.dims[i].symbol; !symbol.empty() && type.dims[i].fixed())
          for (Value* other : graph.inputs())
            for (Dim& d : other->type.dims)
              if (d.symbol == symbol) d = type.dims[i];
    input->type = type;
  }
  Specializer s(graph);
  s.block(*graph.main());
  return s.changed;
}

}  // namespace moka::passes
