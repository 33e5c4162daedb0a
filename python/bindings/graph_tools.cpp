// What tools ask of graphs: their text with its tensors, the stages of the pipelines.
// SPDX-License-Identifier: Apache-2.0
#include <nanobind/stl/string.h>

#include "moka/graph/graph.h"
#include "moka/passes/passes.h"
#include "moka/runtime/machine.h"
#include "moka/runtime/watch.h"
#include "python/bindings/graph.h"
#include "python/bindings/modules.h"
#include "python/bindings/tensor_caster.h"
#include "python/bindings/tensor_object.h"

namespace nb = nanobind;

namespace moka::python {

namespace {

nb::tuple text_and_tensors(const graph::Graph& g) {
  graph::TensorTable table;
  const std::string text = graph::print(g, &table);
  nb::dict tensors;
  for (const auto& [name, t] : table.tensors) tensors[name.c_str()] = nb::steal(wrap(t));
  return nb::make_tuple(text, tensors);
}

graph::Graph* parse_with_tensors(const std::string& text, const nb::dict& tensors) {
  graph::TensorTable table;
  for (auto [name, t] : tensors) table.tensors[nb::cast<std::string>(name)] = nb::cast<Tensor>(t);
  return graph::parse(text, &table).release();
}

// [(name of the pass, changes, the graph after it)]; the first is the graph as it came.
nb::list stages(const graph::Graph& g, bool optimize) {
  std::unique_ptr<graph::Graph> now = g.clone();
  nb::list out;
  auto add = [&](const char* name, int changes) {
    out.append(
        nb::make_tuple(name, changes, nb::cast(now->clone().release(), nb::rv_policy::take_ownership)));
  };
  add("", 0);
  for (const passes::Pass& pass : optimize ? passes::optimizing_passes() : passes::cleaning_passes()) {
    const int changes = pass.run(*now);
    graph::verify(*now);
    if (changes) add(pass.name, changes);
  }
  return out;
}

std::string place() {
  nb::gil_scoped_acquire held;  // backward passes run without it
  const graph::Source source = python_source();
  return source.file.empty() ? "" : cat(source.file, ":", source.line);
}

// What a thread calls between start() and stop(), and the parts that programs mark.
class Profile {
 public:
  void start(bool shapes, bool memory, bool places) {
    MOKA_CHECK(!watch_, "profile: it runs already");
    watch_ = std::make_unique<runtime::Watch>(trace_, shapes, memory, places ? place : nullptr);
  }
  void stop() {
    MOKA_CHECK(!watch_ || runtime::Watch::current() == watch_.get(),
               "profile: it must be stopped in the thread that started it");
    watch_.reset();
  }
  void add(const std::string& name, int64_t begin, int64_t end) {
    runtime::Trace::Event event;
    event.name = name;
    event.begin = begin;
    event.end = end;
    event.part = true;
    trace_.add(std::move(event));
  }
  runtime::Trace& trace() { return trace_; }

 private:
  runtime::Trace trace_;
  std::unique_ptr<runtime::Watch> watch_;
};

nb::list events(Profile& p) {
  nb::list out;
  for (const runtime::Trace::Event& e : p.trace().events())
    out.append(nb::make_tuple(e.name, e.kernel, e.place, e.shapes, e.begin, e.end, e.flop, e.bytes, e.made,
                              e.in_use, e.step, e.thread, e.part));
  return out;
}

std::string table(Profile& p, const std::string& by, int64_t most, bool limits) {
  MOKA_CHECK_KIND(Value, by == "operator" || by == "step", "table: by is 'operator' or 'step', got '", by,
                  "'");
  runtime::MachineLimits machine;
  if (limits) {
    nb::gil_scoped_release unlocked;
    machine = runtime::machine_limits();
  }
  return p.trace().table(by == "step" ? runtime::Trace::By::Step : runtime::Trace::By::Operator,
                         limits ? &machine : nullptr, static_cast<size_t>(std::max<int64_t>(0, most)));
}

}  // namespace

void profile_value(const Tensor& t, const char* what) {
  const runtime::Watch* watch = runtime::Watch::current();
  if (!watch) return;
  runtime::Trace::Event event;
  event.name = what;
  event.kernel = "value";
  if (watch->shapes) event.shapes = cat(info(t.dtype()).name, t.sizes());
  if (watch->place) event.place = watch->place();
  event.begin = event.end = runtime::trace_clock();
  watch->trace.add(std::move(event));
}

void bind_graph_tools(nb::module_& m) {
  m.def("_graph_text", text_and_tensors, nb::arg("graph"), "(text, {name: tensor that the text refers to}).");
  m.def("_parse_graph", parse_with_tensors, nb::rv_policy::take_ownership, nb::arg("text"),
        nb::arg("tensors"));
  m.def("_graph_stages", stages, nb::arg("graph"), nb::arg("optimize") = true,
        "[(pass, changes, graph after it)] of the passes that change something, the graph itself first.");
  nb::class_<Profile>(m, "_Profile")
      .def(nb::init<>())
      .def("start", &Profile::start, nb::arg("shapes") = true, nb::arg("memory") = true,
           nb::arg("places") = false)
      .def("stop", &Profile::stop)
      .def("add", &Profile::add, nb::arg("name"), nb::arg("begin"), nb::arg("end"),
           "Nanoseconds of _profile_clock.")
      .def(
          "events", events,
          "(name, kernel, place, shapes, begin, end, flop, bytes, made, in_use, step, thread, part) of each.")
      .def("clear", [](Profile& p) { p.trace().clear(); })
      .def("table", table, nb::arg("by") = "operator", nb::arg("most") = 0, nb::arg("limits") = true)
      .def("chrome_json", [](Profile& p) { return p.trace().chrome_json(); });
  m.def("_profile_clock", runtime::trace_clock);
  m.def("_machine_limits", [] {
    const runtime::MachineLimits limits = runtime::machine_limits();
    return nb::make_tuple(limits.threads, limits.flop_per_second, limits.bytes_per_second);
  });
}

}  // namespace moka::python
