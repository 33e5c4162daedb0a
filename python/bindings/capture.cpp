// Recording Python programs as graphs: where they are, sizes that are followed, parts that stay Python.
// SPDX-License-Identifier: Apache-2.0
#include "moka/capture/trace/trace.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "moka/runtime/executable.h"
#include "python/bindings/convert.h"
#include "python/bindings/graph.h"
#include "python/bindings/modules.h"
#include "python/bindings/tensor_caster.h"
#include "python/bindings/tensor_object.h"

namespace nb = nanobind;

namespace moka::python {

namespace {
std::string package_folder;

// A number of a recorded program: what it is, and the value of the graph behind it.
struct TracedNumber {
  graph::Value* value;
};
PyObject* number_type = nullptr;  // moka.jit.numbers.SizeNumber

PyObject* size_number(const Tensor& t, int dim) {
  capture::Tracer* tracer = capture::Tracer::current();
  graph::Value* v = tracer && number_type ? tracer->size(t, dim) : nullptr;
  if (!v) return nullptr;
  nb::object made = nb::borrow(number_type)(t.size(dim), TracedNumber{v});
  return made.release().ptr();
}
graph::Value* operand(capture::Tracer& tracer, nb::handle o) {
  nb::object value = nb::getattr(o, "value", nb::none());
  return value.is_none() ? tracer.literal(nb::cast<int64_t>(o)) : nb::cast<TracedNumber&>(value).value;
}

void generalize(graph::Graph& g, const std::vector<graph::Graph*>& others,
                const std::vector<std::tuple<int, int, std::string>>& names) {
  capture::SizeNames by_place;
  for (const auto& [input, dim, name] : names) by_place[{input, dim}] = name;
  capture::generalize(g, others, by_place);
}

using Rule = std::tuple<int, int, std::string, int64_t, int64_t, int64_t, int64_t>;
void check_sizes(graph::Graph& g, const std::vector<Rule>& rules) {
  std::vector<capture::SizeRule> all;
  for (const auto& [input, dim, name, factor, offset, least, most] : rules)
    all.push_back({input, dim, name, factor, offset, least, most});
  capture::check_sizes(g, all);
}

PyObject* segment_runner = nullptr;  // moka.jit.segments

// Inputs are tensors and followed sizes; only those become operands of the node.
void call_python(const std::string& name, const nb::list& inputs, std::vector<Tensor> results) {
  capture::Tracer* tracer = capture::Tracer::current();
  MOKA_CHECK(tracer, "nothing records");
  std::vector<graph::Value*> values;
  for (nb::handle h : inputs)
    values.push_back(is_tensor(h.ptr()) ? tracer->value(unwrap(h.ptr())) : operand(*tracer, h));
  tracer->call_python(name, values, results);
}

nb::object untraced(const nb::callable& function, const nb::args& args) {
  capture::Tracer::Paused paused;
  return function(*args);
}

std::string place(const graph::Source& s) {
  if (s.file.empty()) return s.scope.empty() ? "" : cat(" (in ", s.scope, ")");
  return cat(" (", s.file, ":", s.line, s.scope.empty() ? "" : ", in ", s.scope, ")");
}
}  // namespace

graph::Source python_source() {
  graph::Source s;
  PyFrameObject* frame = PyThreadState_GetFrame(PyThreadState_Get());
  while (frame) {
    PyCodeObject* code = PyFrame_GetCode(frame);
    const char* file = PyUnicode_AsUTF8(code->co_filename);
    bool inside = file && !package_folder.empty() && std::string_view(file).starts_with(package_folder);
    if (!inside && file) {
      std::string_view name = file;
      size_t slash = name.rfind('/');
      s.file = std::string(slash == std::string_view::npos ? name : name.substr(slash + 1));
      s.line = PyFrame_GetLineNumber(frame);
    }
    Py_DECREF(code);
    PyFrameObject* back = inside ? PyFrame_GetBack(frame) : nullptr;
    Py_DECREF(frame);
    frame = back;
  }
  return s;
}

std::vector<Any> run_segment(std::string_view name, std::span<const Any> inputs) {
  nb::gil_scoped_acquire locked;
  MOKA_CHECK(segment_runner, "python: segment '", name, "' is not known; import moka.jit");
  nb::list given;
  for (const Any& a : inputs) given.append(any_to_python(a));
  nb::object results = nb::borrow(segment_runner)(nb::str(name.data(), name.size()), given);
  std::vector<Any> out;
  for (nb::handle h : results) out.push_back(any_from_python(h));
  return out;
}

bool is_followed(const Tensor& t) {
  if (!(thread_layers.forced & layer::capture)) return false;
  capture::Tracer* tracer = capture::Tracer::current();
  return tracer && tracer->varies(t);
}

void check_not_capturing(const Tensor& t, const char* what) {
  check_not_batched(t, what);
  if (thread_layers.forced & layer::profile) profile_value(t, what);
  if (!is_followed(t)) return;
  const capture::Tracer* tracer = capture::Tracer::current();
  fail(what, ": the value of ", t, " is asked for while a trace records", place(tracer->here()),
       ": the graph would keep it as a constant. Compute with tensors (where, masked operators) instead of "
       "Python branches, take the branch outside the traced function, or put it into a function marked "
       "moka.jit.ignore, which stays Python");
}

void follow_new(const Tensor& t) {
  if (capture::Tracer* tracer = capture::Tracer::current()) tracer->own(t);
}

void follow_geometry(const Tensor& x, const Tensor& source) {
  if (!(thread_layers.forced & layer::capture)) return;
  if (capture::Tracer* tracer = capture::Tracer::current()) tracer->become(x, source);
}

void bind_capture(nb::module_& m) {
  capture::install();
  capture::set_source_provider(python_source);
  m.def("_set_package_folder", [](std::string folder) { package_folder = std::move(folder); });

  nb::class_<capture::Tracer>(m, "_Tracer")
      .def(nb::init<std::string>())
      .def("add_input", &capture::Tracer::add_input)
      .def("add_state", &capture::Tracer::add_state)
      .def("begin", &capture::Tracer::begin)
      .def_rw("follows_sizes", &capture::Tracer::follows_sizes)
      .def("push_scope", &capture::Tracer::push_scope)
      .def("pop_scope", &capture::Tracer::pop_scope)
      .def(
          "finish",
          [](capture::Tracer& t, const nb::list& outputs, const std::vector<std::string>& names) {
            std::vector<capture::Tracer::Result> results;
            for (nb::handle h : outputs)
              if (is_tensor(h.ptr())) results.push_back({unwrap(h.ptr()), nullptr});
              else results.push_back({Tensor(), operand(t, h)});
            return t.finish(results, names).release();
          },
          nb::rv_policy::take_ownership);
  nb::class_<TracedNumber>(m, "_TracedNumber");
  followed_size = size_number;
  m.def("_set_size_number", [](nb::handle type) { number_type = type.inc_ref().ptr(); });
  m.def("_compute_size", [](const std::string& name, nb::handle a, nb::handle b, int64_t is) -> nb::object {
    capture::Tracer* tracer = capture::Tracer::current();
    if (!tracer) return nb::none();
    return nb::cast(TracedNumber{tracer->compute(name, operand(*tracer, a), operand(*tracer, b), is)});
  });
  m.def("_answer_size", [](const std::string& name, nb::handle a, nb::handle b, bool is) {
    if (capture::Tracer* tracer = capture::Tracer::current())
      tracer->answer(name, operand(*tracer, a), operand(*tracer, b), is);
  });
  m.def("_is_tracing", [] { return capture::Tracer::current() != nullptr; });
  m.def("_generalize", generalize);
  m.def("_check_sizes", check_sizes, nb::arg("graph"), nb::arg("rules"));
  m.def("_untraced", untraced, nb::arg("function"), nb::arg("args"),
        "What function(*args) gives; nothing of it is recorded.");
  m.def("_call_python", call_python, nb::arg("name"), nb::arg("inputs"), nb::arg("results"));
  m.def("_set_segment_runner", [](nb::handle function) {
    segment_runner = function.inc_ref().ptr();
    runtime::set_python_runner(run_segment);
  });
}

}  // namespace moka::python
