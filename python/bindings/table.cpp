// The operator table as Python data: tests in every mode, coverage and documentation read it.
// SPDX-License-Identifier: Apache-2.0
#include <nanobind/stl/string.h>

#include "moka/schema/frame.h"
#include "python/bindings/modules.h"

namespace nb = nanobind;

namespace moka::python {

namespace {
nb::str text(std::string_view s) { return nb::str(s.data(), s.size()); }

nb::dict format(const Format& f) {
  nb::dict d;
  nb::list rows;
  for (const Spelling& s : f.rows) {
    nb::dict row;
    row["map"] = text(s.map);
    row["since"] = s.since;
    row["until"] = s.until;
    row["domain"] = text(s.domain);
    rows.append(row);
  }
  d["rows"] = rows;
  d["none"] = text(f.none);
  d["gradient"] = text(f.gradient);
  return d;
}

const char* domain_name(Domain d) {
  static const char* const names[] = {"real",    "positive", "unit",     "probability",
                                      "integer", "boolean",  "distinct", "index"};
  return names[static_cast<int>(d)];
}

nb::dict sample(const Sample& s) {
  nb::dict d;
  nb::list tensors;
  for (const SampleTensor& t : s.tensors) {
    if (t.ndim < 0) {
      tensors.append(nb::none());
      continue;
    }
    nb::list dims;
    for (int i = 0; i < t.ndim; i++) dims.append(int(t.dims[i]));
    tensors.append(nb::make_tuple(nb::tuple(dims), domain_name(t.domain), t.limit));
  }
  d["tensors"] = tensors;
  nb::dict settings;
  for (const SampleSetting& v : s.settings) {
    nb::object value = nb::none();
    switch (v.type) {
      case SampleSetting::Int: value = nb::int_(static_cast<int64_t>(v.number)); break;
      case SampleSetting::Float: value = nb::float_(v.number); break;
      case SampleSetting::Bool: value = nb::bool_(v.number != 0); break;
      case SampleSetting::String: value = text(v.text); break;
      case SampleSetting::Ints: {
        nb::list list;
        for (int i = 0; i < v.count; i++) list.append(int(v.ints[i]));
        value = list;
        break;
      }
      case SampleSetting::None: break;
    }
    settings[text(v.name)] = value;
  }
  d["settings"] = settings;
  d["differentiable"] = s.differentiable;
  d["list"] = s.list;
  return d;
}
}  // namespace

nb::dict describe_op(const Op& op) {
  const Schema& s = info(op).schema;
  nb::dict d;
  d["name"] = s.name;
  d["base"] = s.base;
  d["schema"] = s.text();
  d["doc"] = text(op.doc);
  d["method"] = text(op.method);
  d["composite"] = static_cast<bool>(op.body);  // perhaps only for derivatives, beside kernels
  d["kind"] = op.formula ? "formula" : op.view ? "view" : op.body ? "body" : "kernel";
  d["random"] = op.effect == Effect::Random;
  nb::list args;
  for (const ArgDef& a : s.args) {
    nb::dict arg;
    arg["name"] = a.name;
    arg["type"] = cat(a.type);
    arg["tensor"] = a.type.is_tensor_like();
    arg["keyword_only"] = a.keyword_only;
    arg["has_default"] = a.has_default;
    args.append(arg);
  }
  d["args"] = args;
  nb::list outs;
  for (const ArgDef& o : s.outs) outs.append(nb::make_tuple(o.name, cat(o.type)));
  d["outs"] = outs;
  nb::list wrt;
  nb::dict constants;
  int gradients = 0;
  std::string_view unwritten;
  for (const Derivative& row : op.derivative.rows) {
    if (!row.constant.empty() && row.names.empty()) unwritten = row.constant;
    if (row.constant.empty()) wrt.append(text(row.names));
    else if (!row.names.empty()) constants[text(row.names)] = text(row.constant);
    gradients = std::max(gradients, row.gradients);
  }
  d["derivative"] = wrt;
  d["gradients"] = gradients;     // outputs that have one; of a Tensor[] all parts
  d["constants"] = constants;     // names of floating outputs without one: why
  d["no_derivative"] = text(unwritten.empty() ? op.derivative.none : unwritten);
  d["onnx"] = format(op.onnx);
  d["netdef"] = format(op.netdef);
  nb::list samples;
  for (const Sample& one : op.samples) samples.append(sample(one));
  d["samples"] = samples;
  d["formula"] = op.formula ? nb::object(text(op.formula.text())) : nb::none();
  nb::list kernels;
  for (const KernelRow& row : info(op).rows) kernels.append(text(row.name));
  for (const KernelRow& row : op.kernels) kernels.append(text(row.name));
  d["kernels"] = kernels;
  return d;
}

}  // namespace moka::python
