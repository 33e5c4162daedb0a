// Watching the calls of operators from Python: what counters of floating-point operations are made of.
// SPDX-License-Identifier: Apache-2.0
#include <nanobind/nanobind.h>

#include "moka/schema/frame.h"
#include "python/bindings/modules.h"
#include "python/bindings/size.h"
#include "python/bindings/tensor_object.h"

namespace nb = nanobind;

namespace moka::python {

namespace {
thread_local PyRef watcher;

nb::object sizes_of(const Tensor& t) {
  return t ? nb::steal(PyRef::steal(make_size(t.sizes())).release()) : nb::none();
}
nb::object shown(const Arg& a) {
  switch (a.tag) {
    case Tag::Tensor: return sizes_of(a.as_tensor());
    case Tag::Tensors: {
      nb::list all;
      for (const Tensor& t : a.as_tensors()) all.append(sizes_of(t));
      return std::move(all);
    }
    case Tag::Int: return nb::int_(a.as_int());
    case Tag::Bool: return nb::bool_(a.b);
    case Tag::Float: return nb::float_(a.as_double());
    case Tag::Ints: {
      nb::list all;
      for (int64_t i : a.as_ints()) all.append(i);
      return std::move(all);
    }
    default: return nb::none();
  }
}

// Asks the watcher what to do with the results of a call; the parts of a call that it takes are not shown to it.
void watch(Frame& f, uint32_t rest) {
  nb::object after;
  {
    GilHeld gil;
    nb::list args;
    for (int i = 0; i < f.count; i++) args.append(shown(f.args[i]));
    LayersOff off(layer::profile);
    after = nb::borrow(watcher.get())(info(f.op).schema.name.c_str(), args);
    if (!after.is_none()) {
      dispatch_layers(f, rest);
      nb::list outs;
      for (size_t i = 0; i < f.outs.size(); i++) outs.append(sizes_of(f.outs[i]));
      after(outs);
      return;
    }
  }
  dispatch_layers(f, rest);
}
}  // namespace

void bind_watch(nb::module_& m) {
  set_layer_handler(layer::profile, watch);
  m.def(
      "_watch_calls",
      [](nb::object callback) {
        nb::object before = watcher ? nb::borrow(watcher.get()) : nb::none();
        watcher = callback.is_none() ? PyRef() : PyRef::share(callback.ptr());
        if (watcher) thread_layers.forced |= layer::profile;
        else thread_layers.forced &= ~layer::profile;
        return before;
      },
      nb::arg("callback").none(),
      "Show each call of an operator of this thread to callback(name, arguments), tensors as their sizes; "
      "what it "
      "returns, unless None, is called with the sizes of the results. None ends it; gives what watched "
      "before.");
}

}  // namespace moka::python
