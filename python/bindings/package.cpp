// .moka packages for Python.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/package/package.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>

#include "moka/graph/graph.h"
#include "python/bindings/modules.h"

namespace nb = nanobind;

namespace moka::python {

void bind_package(nb::module_& m) {
  m.def(
      "_package_save",
      [](const graph::Graph& g, const std::string& path, std::map<std::string, std::string> metadata,
         const std::map<std::string, nb::bytes>& files) {
        package::Extras extras;
        extras.metadata = std::move(metadata);
        for (const auto& [name, data] : files) extras.files[name] = std::string(data.c_str(), data.size());
        package::write(path, g, extras);
      },
      nb::arg("graph"), nb::arg("path"), nb::arg("metadata"), nb::arg("files"),
      "Writes a package; the old file stays until the new one is whole.");
  m.def(
      "_package_load",
      [](const std::string& path) {
        package::Package p = package::read(path);
        std::unique_ptr<graph::Graph> g = std::move(p.program.graphs.at(p.main));
        return nb::make_tuple(nb::cast(g.release(), nb::rv_policy::take_ownership), p.metadata);
      },
      nb::arg("path"), "(graph, metadata) of a package's main method.");
  m.def(
      "_program_save",
      [](const std::map<std::string, const graph::Graph*>& graphs, const std::string& main,
         const std::string& path, std::map<std::string, std::string> metadata,
         const std::map<std::string, nb::bytes>& files) {
        package::Extras extras;
        extras.metadata = std::move(metadata);
        for (const auto& [name, data] : files) extras.files[name] = std::string(data.c_str(), data.size());
        graph::Program program;
        for (const auto& [name, g] : graphs) {
          program.graphs[name] = g->clone();
          program.graphs[name]->name = name;
        }
        package::write(path, program, main, extras);
      },
      nb::arg("graphs"), nb::arg("main"), nb::arg("path"), nb::arg("metadata"), nb::arg("files"),
      "Writes a package of graphs by name; the old file stays until the new one is whole.");
  m.def(
      "_program_load",
      [](const std::string& path) {
        package::Package p = package::read(path);
        nb::dict graphs;
        for (auto& [name, g] : p.program.graphs)
          graphs[name.c_str()] = nb::cast(g.release(), nb::rv_policy::take_ownership);
        return nb::make_tuple(graphs, p.main, p.metadata);
      },
      nb::arg("path"), "(graphs by name, name of the main one, metadata) of a package.");
}

}  // namespace moka::python
