// The extension module moka._C.
// SPDX-License-Identifier: Apache-2.0
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include "moka/autograd/record.h"
#include "moka/backends/load.h"
#include "moka/base/cpu.h"
#include "moka/base/parallel.h"
#include "moka/ops/all.h"
#include "moka/ops/creation/unset.h"
#include "moka/ops/random/generator.h"
#include "moka/tensor/allocator.h"
#include "python/bindings/autograd.h"
#include "python/bindings/calls.h"
#include "python/bindings/classes.h"
#include "python/bindings/convert.h"
#include "python/bindings/modules.h"
#include "python/bindings/overrides.h"

namespace nb = nanobind;
using namespace moka;
using namespace moka::python;

NB_MODULE(_C, m) {
  register_all_ops();
  register_backends();
  autograd::install();
  PyObject* module = m.ptr();
  if (init_classes(module) < 0 || init_tensor_type(module) < 0 || init_autograd(module) < 0 ||
      init_batch(module) < 0 || init_forward(module) < 0 || init_overrides(module) < 0 ||
      init_operators(module) < 0)
    throw nb::python_error();
  if (PyModule_AddFunctions(module, creation_functions) < 0 ||
      PyModule_AddFunctions(module, autograd_functions) < 0)
    throw nb::python_error();

  nb::register_exception_translator([](const std::exception_ptr& p, void*) {
    try {
      std::rethrow_exception(p);
    } catch (const Error&) {
      set_python_error();
    }
  });

  m.def("set_num_threads", set_num_threads, nb::arg("n"), "Threads that large operations use.");
  m.def("get_num_threads", num_threads, "Threads that large operations use.");
  m.def(
      "get_default_dtype", [] { return nb::steal(dtype_object(default_float())); },
      "The type of floating results of integers.");
  m.def("set_default_dtype", [](nb::handle d) {
    DType dtype;
    if (!to_dtype_value(d.ptr(), dtype))
      throw Error(ErrorKind::Type,
                  cat("set_default_dtype: expected a dtype such as moka.float64, got ", described(d.ptr())));
    set_default_float(dtype);
  });
  m.def(
      "manual_seed",
      [m](nb::handle seed) {
        if (!PyLong_Check(seed.ptr()))
          throw Error(ErrorKind::Type,
                      cat("manual_seed: the seed must be an int, got ", described(seed.ptr())));
        const uint64_t bits =
            PyLong_AsUnsignedLongLongMask(seed.ptr());  // negative seeds are as good as others
        if (PyErr_Occurred()) throw nb::python_error();
        default_generator().set_seed(bits);
        return nb::object(m.attr("default_generator"));
      },
      nb::arg("seed"), "Starts the default random stream again; returns its Generator.");
  m.def(
      "_draw_as_torch", [](bool on) { set_default_engine(on ? Engine::Mersenne : Engine::Philox); },
      nb::arg("on"),
      "Whether streams made from now on, and the default one, give the numbers that torch gives.");
  m.def(
      "_thread_generator",
      [](nb::handle own) { set_thread_generator(own.is_none() ? nullptr : generator_value(own.ptr())); },
      nb::arg("own").none(),
      "Makes `own`, which must be kept alive, the default stream of this thread; None goes back.");
  m.def("_draws_as_torch", [] { return default_engine() == Engine::Mersenne; });
  m.def("seed_state", [] {
    auto s = default_generator().state();
    return std::make_pair(s.seed, s.offset);
  });
  m.def("_cpu_isa", [] { return isa_name(isa()); }, "The instruction set that kernels use.");
  m.def("_memory_stats", [] {
    AllocatorStats s = cpu_allocator().stats();
    nb::dict d;
    d["allocations"] = s.allocations;
    d["system_calls"] = s.system_calls;
    d["bytes_in_use"] = s.bytes_in_use;
    d["peak_bytes"] = s.peak_bytes;
    d["bytes_cached"] = s.bytes_cached;
    return d;
  });
  m.def("_release_cache", [] { cpu_allocator().release_cache(); });
  m.def("_fail_allocation_after", fail_allocation_after, nb::arg("n"), nb::arg("forever") = false);
  m.def("_fill_unset", fill_unset, nb::arg("on"));
  m.def("_fill_allocations", fill_allocations, nb::arg("byte"));
  m.def(
      "_op_table",
      [] {
        nb::list out;
        for (const Op* op : all_ops()) out.append(describe_op(*op));
        return out;
      },
      "Every operator as a dictionary: schema, doc, derivative, formats, samples.");
  m.attr("__version__") = MOKA_VERSION;
  bind_all(m);
}
