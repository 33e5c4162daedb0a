// Models of other formats for Python: ONNX and Caffe2's NetDef.
// SPDX-License-Identifier: Apache-2.0
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstring>

#include "moka/formats/netdef/netdef.h"
#include "moka/formats/onnx/onnx.h"
#include "moka/graph/graph.h"
#include "moka/tensor/meta.h"
#include "python/bindings/arguments.h"
#include "python/bindings/graph.h"
#include "python/bindings/modules.h"
#include "python/bindings/tensor_caster.h"

namespace nb = nanobind;

namespace moka::python {

namespace {

nb::bytes to_bytes(const std::string& s) { return nb::bytes(s.data(), s.size()); }

Bytes from_bytes(const nb::bytes& b) { return Bytes::copy({b.c_str(), b.size()}); }

// {"data": (moka.float32, [None, 3, "height", 224])}
netdef::LoadOptions netdef_options(const nb::dict& inputs) {
  netdef::LoadOptions out;
  for (auto [key, given] : inputs) {
    const std::string name = nb::isinstance<nb::str>(key) ? utf8(key.ptr()) : described(key.ptr());
    const auto wrong = [&](const char* what, nb::handle came) {
      fail_kind(ErrorKind::Type, "caffe2.load: input '", name, "': ", what, ", got ", described(came.ptr()));
    };
    if (!nb::isinstance<nb::tuple>(given) || nb::len(given) != 2)
      wrong("a pair (dtype, sizes) is needed", given);
    const nb::tuple pair = nb::borrow<nb::tuple>(given);
    const nb::object dtype = pair[0], sizes = pair[1];
    graph::Type type = graph::Type::tensor();
    type.has_dtype = !dtype.is_none();
    if (type.has_dtype && !to_dtype_value(dtype.ptr(), type.dtype))
      wrong("the dtype must be one such as moka.float32, or None", dtype);
    type.has_dims = !sizes.is_none();
    if (type.has_dims && !nb::isinstance<nb::list>(sizes) && !nb::isinstance<nb::tuple>(sizes))
      wrong("the sizes must be a list of numbers, names and None, or None", sizes);
    if (type.has_dims)
      for (nb::handle size : sizes) {
        graph::Dim d;
        if (nb::isinstance<nb::str>(size)) d.symbol = utf8(size.ptr());
        else if (!size.is_none() && !nb::try_cast<int64_t>(size, d.size)) wrong("a size is wrong", size);
        type.dims.push_back(d);
      }
    out.inputs.emplace(name, std::move(type));
  }
  return out;
}

// The same bytes as elements of another type of that width: how types that NumPy lacks come in and go out.
// [(name, type)]
nb::list ports(const std::vector<onnx::Deferred::Port>& all) {
  nb::list out;
  for (const onnx::Deferred::Port& p : all) out.append(nb::make_tuple(p.name, p.type.text()));
  return out;
}

Tensor reinterpret(const Tensor& t, const std::string& name) {
  DType dtype;
  MOKA_CHECK_KIND(Type, find_dtype(name, dtype), "reinterpret: there is no dtype ", name);
  MOKA_CHECK(item_size(dtype) == item_size(t.dtype()), "reinterpret: ", info(t.dtype()).name, " and ",
             info(dtype).name, " differ in width");
  check_has_values(t, "reinterpret");
  const Tensor from = as_contiguous(t);
  Tensor out = new_tensor(from.sizes(), dtype);
  if (out.numel()) std::memcpy(out.raw_data(), from.raw_data(), out.bytes());
  return out;
}

// Of what is a path or the bytes of a model called `name`.
template <class Model>
void init_model(Model* self, const nb::object& source, const std::string& name) {
  if (nb::isinstance<nb::bytes>(source)) new (self) Model(from_bytes(nb::cast<nb::bytes>(source)), name);
  else new (self) Model(nb::cast<std::string>(source));
}

}  // namespace

void bind_formats(nb::module_& m) {
  nb::class_<onnx::Source>(m, "_OnnxSource", "An ONNX model that can be read again.")
      .def("__init__", init_model<onnx::Source>, nb::arg("source"), nb::arg("name"))
      .def(
          "read", [](const onnx::Source& s) { return s.read().release(); }, nb::rv_policy::take_ownership)
      .def("leave", &onnx::Source::leave, "Pages of the files leave this process until they are read again.");
  nb::class_<onnx::Deferred>(m, "_OnnxDeferred", "An ONNX model that is read for the inputs of a run.")
      .def("__init__", init_model<onnx::Deferred>, nb::arg("source"), nb::arg("name"))
      .def_prop_ro("inputs", [](const onnx::Deferred& d) { return ports(d.inputs); })
      .def_prop_ro("outputs", [](const onnx::Deferred& d) { return ports(d.outputs); })
      .def_prop_ro("helps", [](const onnx::Deferred& d) { return d.helps(); })
      .def(
          "read_for",
          [](const onnx::Deferred& d, nb::args inputs) {
            std::vector<Any> in;
            for (nb::handle h : inputs) in.push_back(any_from_python(h));
            return d.read_for(in).release();
          },
          nb::rv_policy::take_ownership);
  m.def(
      "_onnx_load_training",
      [](const nb::object& source, int algorithm) {
        onnx::Training t =
            nb::isinstance<nb::bytes>(source)
                ? onnx::load_training(from_bytes(nb::cast<nb::bytes>(source)), "model", algorithm)
                : onnx::load_training(nb::cast<std::string>(source), algorithm);
        return nb::make_tuple(nb::cast(t.step.release(), nb::rv_policy::take_ownership),
                              nb::cast(t.initialization.release(), nb::rv_policy::take_ownership));
      },
      nb::arg("source"), nb::arg("algorithm"),
      "A step of a training algorithm, and the graph that initializes it or None.");
  m.def(
      "_onnx_save",
      [](const graph::Graph& g, int opset, const std::map<std::string, std::map<int, std::string>>& dynamic,
         const std::optional<std::string>& path, const std::map<std::string, std::string>& metadata,
         const std::vector<std::string>& functions, bool external_data, uint64_t external_threshold,
         bool parameters_as_inputs) -> nb::object {
        const onnx::ExportOptions options{.opset = opset,
                                          .dynamic_sizes = dynamic,
                                          .metadata = metadata,
                                          .functions = functions,
                                          .external_data = external_data,
                                          .external_threshold = external_threshold,
                                          .parameters_as_inputs = parameters_as_inputs};
        if (!path) return to_bytes(onnx::save(g, options));
        onnx::save(g, *path, options);
        return nb::none();
      },
      nb::arg("graph"), nb::arg("opset"), nb::arg("dynamic"), nb::arg("path") = nb::none(),
      nb::arg("metadata") = std::map<std::string, std::string>(),
      nb::arg("functions") = std::vector<std::string>(), nb::arg("external_data") = false,
      nb::arg("external_threshold") = 1024, nb::arg("parameters_as_inputs") = false);
  m.def(
      "_onnx_convert",
      [](const nb::object& source, int opset, const std::optional<std::string>& path) -> nb::object {
        if (!nb::isinstance<nb::bytes>(source) && path) {
          onnx::convert(nb::cast<std::string>(source), *path, opset);
          return nb::none();
        }
        const bool memory = nb::isinstance<nb::bytes>(source);
        const std::string name = memory ? "model" : nb::cast<std::string>(source);
        const Bytes bytes = memory ? from_bytes(nb::cast<nb::bytes>(source)) : Bytes::of_file(name);
        const std::string out = onnx::convert(bytes, name, opset);
        if (!path) return to_bytes(out);
        write_file(*path, out);
        return nb::none();
      },
      nb::arg("source"), nb::arg("opset"), nb::arg("path") = nb::none());
  m.def("_reinterpret", reinterpret, nb::arg("tensor"), nb::arg("dtype"));
  m.attr("_onnx_opsets") = nb::make_tuple(onnx::oldest_written_opset, onnx::latest_opset);

  m.def(
      "_netdef_load",
      [](const nb::bytes& init, const nb::bytes& predict, const nb::dict& inputs) {
        return netdef::load(from_bytes(init), from_bytes(predict), netdef_options(inputs)).release();
      },
      nb::rv_policy::take_ownership, nb::arg("init_net"), nb::arg("predict_net"), nb::arg("inputs"));
  m.def(
      "_netdef_load_files",
      [](const std::string& init, const std::string& predict, const nb::dict& inputs) {
        return netdef::load(init, predict, netdef_options(inputs)).release();
      },
      nb::rv_policy::take_ownership, nb::arg("init_net"), nb::arg("predict_net"), nb::arg("inputs"));
  m.def(
      "_netdef_save",
      [](const graph::Graph& g, const std::string& name) {
        const netdef::Pair pair = netdef::save(g, name);
        return nb::make_tuple(to_bytes(pair.init_net), to_bytes(pair.predict_net));
      },
      nb::arg("graph"), nb::arg("name"));
}

}  // namespace moka::python
