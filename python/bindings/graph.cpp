// Graphs, tracing and execution for Python.
// SPDX-License-Identifier: Apache-2.0
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <map>

#include "moka/differentiate/gradients.h"
#include "moka/graph/dictionary.h"
#include "moka/graph/graph.h"
#include "moka/graph/interpret.h"
#include "moka/passes/passes.h"
#include "moka/predictor/page.h"
#include "moka/runtime/executable.h"
#include "moka/runtime/trace.h"
#include "python/bindings/graph.h"
#include "python/bindings/modules.h"
#include "python/bindings/tensor_caster.h"
#include "python/bindings/tensor_object.h"

namespace nb = nanobind;

namespace moka::python {

namespace {
nb::list value_names(std::span<graph::Value* const> values) {
  nb::list out;
  for (graph::Value* v : values) out.append(v->name);
  return out;
}

// Nodes as dictionaries, for drawing and inspection; values are numbered in order of appearance.
nb::list describe_nodes(const graph::Graph& g) {
  nb::list out;
  std::map<const graph::Value*, int> ids;
  auto id = [&](const graph::Value* v) { return ids.emplace(v, static_cast<int>(ids.size())).first->second; };
  for (graph::Value* v : g.inputs()) id(v);
  for (graph::Node* n : *g.main()) {
    nb::dict d;
    d["op"] = nb::str(n->op_name().data(), n->op_name().size());
    d["kind"] = graph::node_kind_name(n->kind);
    d["name"] = n->name;
    nb::list inputs, outputs, types, names;
    for (graph::Value* v : n->inputs()) inputs.append(id(v));
    for (graph::Value* v : n->outputs()) {
      outputs.append(id(v));
      types.append(v->type.text());
      names.append(v->name);
    }
    d["output_names"] = names;
    d["inputs"] = inputs;
    d["outputs"] = outputs;
    d["types"] = types;
    d["file"] = n->source.file;
    d["line"] = n->source.line;
    d["scope"] = n->source.scope;
    out.append(d);
  }
  return out;
}

void name_outputs(graph::Graph& g, const std::vector<std::string>& names) {
  MOKA_CHECK(names.size() == g.outputs().size(), "output names: expected ", g.outputs().size(), ", got ",
             names.size());
  g.output_names = names;
}

// A copy whose results are the values of these names, wherever in the main block they are made.
graph::Graph* with_outputs(const graph::Graph& g, const std::vector<std::string>& names) {
  std::unique_ptr<graph::Graph> out = g.clone();
  std::map<std::string, graph::Value*, std::less<>> values;
  for (graph::Value* v : out->inputs()) values.emplace(v->name, v);
  for (graph::Node* n : *out->main()) {
    if (n->kind == graph::NodeKind::Get) values.emplace(n->name, n->output());
    for (graph::Value* v : n->outputs())
      if (!v->name.empty()) values.emplace(v->name, v);
  }
  for (size_t i = 0; i < out->outputs().size(); i++)
    values.insert_or_assign(out->output_names[i], out->outputs()[i]);
  std::vector<graph::Value*> wanted;
  for (const std::string& name : names) {
    auto found = values.find(name);
    MOKA_CHECK_KIND(Value, found != values.end(), "there is no value '", name, "' in graph ", out->name);
    wanted.push_back(found->second);
  }
  while (!out->outputs().empty()) out->remove_output(static_cast<int>(out->outputs().size()) - 1);
  for (size_t i = 0; i < names.size(); i++) out->add_output(wanted[i], names[i]);
  passes::remove_dead(*out);
  return out.release();
}

graph::Graph* gradients_of(const graph::Graph& g, const std::vector<std::string>& names) {
  std::unique_ptr<graph::Graph> out = g.clone();
  MOKA_CHECK_KIND(Value, !out->outputs().empty(), "gradients: graph ", out->name, " has no results");
  std::vector<graph::Value*> xs;
  for (const std::string& name : names) {
    graph::Value* found = nullptr;
    for (graph::Value* v : out->inputs())
      if (v->name == name) found = v;
    for (graph::Node* n : *out->main())
      if (!found && n->kind == graph::NodeKind::Get && n->name == name) found = n->output();
    MOKA_CHECK_KIND(Value, found, "gradients: graph ", out->name, " has no input or state '", name, "'");
    xs.push_back(found);
  }
  const std::vector<graph::Value*> made =
      differentiate::gradients(*out, {out->main()}, out->outputs()[0], xs);
  while (!out->outputs().empty()) out->remove_output(static_cast<int>(out->outputs().size()) - 1);
  for (size_t i = 0; i < names.size(); i++) out->add_output(made[i], names[i]);
  passes::remove_dead(*out);
  return out.release();
}

// What must hold of sizes: (text, whether the user declared it, file, line, scope, the error where it does not).
nb::list conditions(const graph::Graph& g) {
  nb::list out;
  for (const graph::Node* n : *g.main())
    if (auto note = n->notes.find("condition"); note != n->notes.end() && note->second.tag() == Tag::String)
      out.append(nb::make_tuple(any_to_python(note->second), n->notes.count("declared") != 0, n->source.file,
                                n->source.line, n->source.scope, any_to_python(*n->input(2)->constant())));
  return out;
}

// A state that no node needs to read; one that is there gets the value.
void set_state(graph::Graph& g, const std::string& name, const Tensor& value, bool parameter) {
  auto [at, fresh] = g.states.try_emplace(name);
  at->second.value = Any(value);
  if (!fresh) return;
  at->second.name = name;
  at->second.type = graph::type_of(Arg(value));
  at->second.parameter = parameter;
}

// How often the states that no node writes were written by others, in all.
int64_t states_version(const graph::Graph& g) {
  int64_t sum = 0;
  for (const auto& [name, state] : g.states)
    if (!state.written && state.value.is_tensor()) sum += state.value.tensor().version();
  return sum;
}

// Dtype and sizes of every input that is a tensor, a name or None where a size is open; None for others.
nb::list input_dims(const graph::Graph& g) {
  nb::list out;
  for (const graph::Value* v : g.inputs()) {
    if (v->type.kind != graph::TypeKind::Tensor || !v->type.has_dims || !v->type.has_dtype) {
      out.append(nb::none());
      continue;
    }
    nb::list dims;
    for (const graph::Dim& d : v->type.dims)
      if (d.fixed()) dims.append(d.size);
      else if (d.symbol.empty()) dims.append(nb::none());
      else dims.append(d.symbol);
    out.append(nb::make_tuple(any_to_python(Any(v->type.dtype)), dims));
  }
  return out;
}

// Names and types of all values that can be asked for.
nb::list named_values(const graph::Graph& g) {
  nb::list out;
  auto add = [&](const graph::Value* v, const std::string& name) {
    if (!name.empty()) out.append(nb::make_tuple(name, v->type.text()));
  };
  for (const graph::Value* v : g.inputs()) add(v, v->name);
  for (const graph::Node* n : *g.main())
    for (const graph::Value* v : n->outputs()) add(v, n->kind == graph::NodeKind::Get ? n->name : v->name);
  return out;
}

nb::list interpret(const graph::Graph& g, const nb::list& inputs, const nb::dict& states,
                   const nb::object& write) {
  std::vector<Any> given;
  for (nb::handle h : inputs) given.push_back(any_from_python(h));
  graph::StateAccess access;
  access.get = [&](const std::string& name) {
    MOKA_CHECK_KIND(Value, states.contains(name.c_str()), "there is no state '", name, "'");
    return any_from_python(states[name.c_str()]);
  };
  access.set = [&](const std::string& name, const Any& value) { write(name, any_to_python(value)); };
  access.python = run_segment;
  nb::list out;
  for (const Any& a : graph::interpret(g, given, access)) out.append(any_to_python(a));
  return out;
}

}  // namespace

Any any_from_python(nb::handle o) {
  if (o.is_none()) return {};
  if (is_tensor(o.ptr())) return Any(unwrap(o.ptr()));
  if (PyBool_Check(o.ptr())) return Any(o.ptr() == Py_True);
  if (PyLong_Check(o.ptr())) return Any(nb::cast<int64_t>(o));
  if (PyFloat_Check(o.ptr())) return Any(nb::cast<double>(o));
  if (PyUnicode_Check(o.ptr())) return Any(nb::cast<std::string>(o));
  DType dtype;
  if (to_dtype_value(o.ptr(), dtype)) return Any(dtype);
  if (PyList_Check(o.ptr()) || PyTuple_Check(o.ptr())) {
    std::vector<Any> items;
    bool ints = true, tensors = true;
    for (nb::handle item : o) {
      items.push_back(any_from_python(item));
      ints &= items.back().tag() == Tag::Int;
      tensors &= items.back().is_tensor();
    }
    if (!items.empty() && ints) {
      Dims d;
      for (const Any& i : items) d.push_back(i.to_int());
      return Any(d);
    }
    if (!items.empty() && tensors) {
      std::vector<Tensor> list;
      for (const Any& i : items) list.push_back(i.tensor());
      return Any(std::span<const Tensor>(list));
    }
    return Any(std::span<const Any>(items));
  }
  if (PyDict_Check(o.ptr())) {  // {"keys": tensor, "values": tensor}, as moka.onnx makes them
    nb::dict d = nb::borrow<nb::dict>(o);
    if (d.size() == 2 && d.contains("keys") && d.contains("values")) {
      const Any keys = any_from_python(d["keys"]), values = any_from_python(d["values"]);
      return Any(Ref<Object>::share(new graph::Dictionary(keys.tensor(), values.tensor())));
    }
  }
  fail_kind(ErrorKind::Type, "a graph takes tensors, numbers, strings and lists of them, got ",
            Py_TYPE(o.ptr())->tp_name);
}

nb::object any_to_python(const Any& a) {
  switch (a.tag()) {
    case Tag::None: return nb::none();
    case Tag::Tensor: return nb::steal(wrap(a.tensor()));
    case Tag::Int: return nb::int_(a.to_int());
    case Tag::Float: return nb::float_(a.to_double());
    case Tag::Bool: return nb::bool_(a.to_bool());
    case Tag::DType: return nb::steal(dtype_object(a.dtype()));
    case Tag::Device: return nb::steal(device_object(a.arg().device));
    case Tag::String: return nb::str(a.string().data(), a.string().size());
    case Tag::Object:
      if (const graph::Dictionary* d = graph::dictionary_of(a.arg())) {
        nb::dict out;
        nb::object keys = nb::steal(wrap(d->keys)).attr("tolist")(),
                   values = nb::steal(wrap(d->values)).attr("tolist")();
        for (size_t i = 0; i < nb::len(keys); i++) out[keys[i]] = values[i];
        return out;
      }
      break;
    default: break;
  }
  nb::list out;
  if (a.tag() == Tag::Ints)
    for (int64_t i : a.ints()) out.append(i);
  else if (a.tag() == Tag::Floats)
    for (double d : a.arg().as_floats()) out.append(d);
  else if (a.tag() == Tag::Tensors)
    for (const Tensor& t : a.tensors()) out.append(nb::steal(wrap(t)));
  else if (a.tag() == Tag::List)
    for (const Any& item : a.list()) out.append(any_to_python(item));
  else
    fail_kind(ErrorKind::NotImplemented, "a graph's result of type ", a.arg().object->type_name(),
              " has no Python form");
  return out;
}

namespace {
// Ctrl-C, and what other handlers raise.
void check_signals() {
  nb::gil_scoped_acquire locked;
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
}
nb::list run_executable(const runtime::Executable& e, const nb::args& inputs,
                        const runtime::RunOptions& options) {
  std::vector<Any> in;
  for (nb::handle h : inputs) in.push_back(any_from_python(h));
  std::vector<Any> out;
  {
    nb::gil_scoped_release unlocked;
    out = e.run(in, options);
  }
  nb::list list;
  for (const Any& a : out) list.append(any_to_python(a));
  return list;
}
}  // namespace

void bind_graph(nb::module_& m) {
  nb::class_<graph::Graph>(
      m, "Graph", "A program in single assignment form; str() gives its text, docs/ir.md the grammar.")
      .def("__str__", [](const graph::Graph& g) { return graph::print(g); })
      .def("__repr__", [](const graph::Graph& g) { return graph::print(g); })
      .def_prop_ro("name", [](const graph::Graph& g) { return g.name; })
      .def_prop_ro("inputs", [](const graph::Graph& g) { return value_names(g.inputs()); })
      .def_prop_ro("outputs", [](const graph::Graph& g) { return g.output_names; })
      .def_prop_ro("input_types",
                   [](const graph::Graph& g) {
                     nb::list out;
                     for (graph::Value* v : g.inputs()) out.append(v->type.text());
                     return out;
                   })
      .def_prop_ro("states",
                   [](const graph::Graph& g) {
                     nb::dict d;
                     for (const auto& [name, s] : g.states) d[name.c_str()] = any_to_python(s.value);
                     return d;
                   })
      .def_prop_ro("parameters",
                   [](const graph::Graph& g) {
                     nb::list out;
                     for (const auto& [name, s] : g.states)
                       if (s.parameter) out.append(name);
                     return out;
                   })
      .def_prop_ro("metadata",
                   [](const graph::Graph& g) {
                     nb::dict d;
                     for (const auto& [k, v] : g.metadata) d[k.c_str()] = v;
                     return d;
                   })
      .def_prop_ro("written_states",
                   [](const graph::Graph& g) {
                     nb::list out;
                     for (const auto& [name, s] : g.states)
                       if (s.written) out.append(name);
                     return out;
                   })
      .def_prop_ro("conditions", conditions)
      .def_prop_ro("input_dims", input_dims)
      .def("_states_version", states_version)
      .def("_set_state", set_state, nb::arg("name"), nb::arg("value"), nb::arg("parameter"))
      .def("nodes", describe_nodes, "Every node of the main block as a dictionary.")
      .def(
          "clone", [](const graph::Graph& g) { return g.clone().release(); }, nb::rv_policy::take_ownership)
      .def(
          "page", [](const graph::Graph& g, const std::string& title) { return graph_page(g, title); },
          nb::arg("title") = "",
          "The graph as the text of one HTML page, to look at in a browser: modules fold, search, types, "
          "constants.")
      .def("verify", [](const graph::Graph& g) { graph::verify(g); })
      .def("with_outputs", with_outputs, nb::rv_policy::take_ownership, nb::arg("names"),
           "A copy whose results are the values of these names.")
      .def(
          "gradients", gradients_of, nb::rv_policy::take_ownership, nb::arg("names"),
          "A copy whose results are the gradients of the sum of its first result by the inputs and states of "
          "these names.")
      .def("values", named_values, "Names and types of the values of the main block, in order.")
      .def_prop_ro("output_types",
                   [](const graph::Graph& g) {
                     nb::list out;
                     for (graph::Value* v : g.outputs()) out.append(v->type.text());
                     return out;
                   })
      .def(
          "set_state",
          [](graph::Graph& g, const std::string& name, nb::handle value) {
            auto state = g.states.find(name);
            MOKA_CHECK_KIND(Value, state != g.states.end(), "graph ", g.name, " has no state '", name, "'");
            Any given = any_from_python(value);
            const graph::Type type = graph::type_of(given.arg());
            MOKA_CHECK_KIND(Type, graph::fits(type, state->second.type), "state '", name, "' is ",
                            state->second.type.text(), ", got ", type.text());
            state->second.value = std::move(given);
          },
          nb::arg("name"), nb::arg("value"))
      .def("name_outputs", name_outputs)
      .def("freeze", passes::freeze_states,
           "Reads of states that nothing writes become constants; returns how many.")
      .def("fold_constants", [](graph::Graph& g) { return passes::fold_constants(g); })
      .def("share_common", passes::share_common)
      .def("remove_dead", passes::remove_dead)
      .def("decompose", passes::decompose)
      .def("fold_batch_norm", passes::fold_batch_norm)
      .def("fuse_activation", passes::fuse_activation);
  m.def(
      "parse_graph", [](const std::string& text) { return graph::parse(text).release(); },
      nb::rv_policy::take_ownership, nb::arg("text"), "Reads the text form.");

  m.def("_interpret", interpret, nb::arg("graph"), nb::arg("inputs"), nb::arg("states"), nb::arg("write"));

  nb::class_<runtime::Executable>(m, "Executable",
                                  "A graph that runs; any number of threads may run it at the same time.")
      .def(
          "__init__",
          [](runtime::Executable* self, graph::Graph& g, bool optimize, bool in_place) {
            if (!optimize) {
              new (self) runtime::Executable(g);
              return;
            }
            const std::unique_ptr<graph::Graph> copy = in_place ? nullptr : g.clone();
            graph::Graph& fast = copy ? *copy : g;
            passes::optimize(fast);
            new (self) runtime::Executable(fast);
          },
          nb::arg("graph"), nb::arg("optimize") = false, nb::arg("in_place") = false,
          "optimize: rewrite a copy for speed, with the states as they are now; results may differ in the "
          "last bits. in_place: rewrite the graph itself, so that weights go as they are packed.")
      .def("run", [](const runtime::Executable& e,
                     nb::args inputs) { return run_executable(e, inputs, {.poll = check_signals}); })
      .def(
          "run_within",
          [](const runtime::Executable& e, double seconds, nb::args inputs) {
            MOKA_CHECK_KIND(Value, seconds > 0, "run: the timeout must be above 0 seconds, got ", seconds);
            const auto limit = std::chrono::duration<double>(std::min(seconds, 1e9));
            return run_executable(
                e, inputs,
                {.deadline = std::chrono::steady_clock::now() +
                             std::chrono::duration_cast<std::chrono::steady_clock::duration>(limit),
                 .poll = check_signals});
          },
          "run, with TimeoutError once it takes longer than so many seconds; looked at between steps.")
      .def(
          "takes",
          [](const runtime::Executable& e, nb::args inputs) {
            std::vector<Any> in;
            for (nb::handle h : inputs) in.push_back(any_from_python(h));
            return e.takes(in);
          },
          "Whether types, shapes and equally named sizes of these inputs fit.")
      .def(
          "profile",
          [](const runtime::Executable& e, nb::args inputs) {
            std::vector<Any> in;
            for (nb::handle h : inputs) in.push_back(any_from_python(h));
            runtime::Trace trace;
            e.run(in, {.trace = &trace});
            return trace.chrome_json();
          },
          "Runs once and returns the time of every step as Chrome trace JSON.")
      .def("state",
           [](const runtime::Executable& e, const std::string& name) { return any_to_python(e.state(name)); })
      .def("set_state", [](runtime::Executable& e, const std::string& name,
                           nb::handle value) { e.set_state(name, any_from_python(value)); })
      .def_prop_ro(
          "graph", [](const runtime::Executable& e) { return e.graph().clone().release(); },
          nb::rv_policy::take_ownership)
      .def_prop_ro("plan_count", [](const runtime::Executable& e) { return e.plan_count(); });
}

}  // namespace moka::python
