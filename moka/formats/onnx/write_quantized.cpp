// Quantized arithmetic, spelled out in a graph with floats and casts, as QuantizeLinear and DequantizeLinear.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/formats/onnx/exporter_internal.h"
#include "moka/formats/spelling/conversions.h"
#include "moka/formats/spelling/table.h"

namespace moka::onnx {

using graph::Node;
using graph::Value;
using spelling::NodeWriter;
using spelling::WritingAdapter;

namespace {

const Node* made_by(const Value* v, std::string_view op) {
  const Node* n = v ? v->producer() : nullptr;
  return n && n->op_name() == op ? n : nullptr;
}
bool plain(const Node& n) {  // add and sub have a factor
  const Any* alpha = n.argument("alpha")->constant();
  return alpha && alpha->arg().is_number() && alpha->to_double() == 1;
}
bool is_number(const Value* v, double number) {
  Any found;
  return v && v->constant() && spelling::to_number(*v->constant(), found) && found.to_double() == number;
}
int first_opset_of(DType q) { return q == DType::U8 || q == DType::I8 || q == DType::I32 ? 10 : 21; }

// Scale and zero point of a quantized tensor x, both numbers or both vectors along one dimension.
struct Places {
  std::string scale, point;  // names in the file; no point: zero
  int64_t axis = -1;  // -1: one number
};

bool places_of(NodeWriter& n, const Value* x, Value* scale, const Value* point, DType q, DType real,
               Places& out) {
  DType have = real;
  Dims sizes;
  const int rank = spelling::rank(x);
  const Any* number = scale->constant();
  if (number && !number->arg().is_number()) number = nullptr;
  if (!number && (!spelling::has_dtype(scale, &have) || have != real || !spelling::fixed_sizes(scale, sizes)))
    return false;
  int64_t count = 1;
  for (size_t d = 0; d < sizes.size(); d++) {
    if (sizes[d] == 1) continue;
    if (out.axis >= 0 || rank < static_cast<int>(sizes.size())) return false;
    out.axis = static_cast<int64_t>(d) + rank - static_cast<int64_t>(sizes.size());
    count = sizes[d];
  }
  if (out.axis >= 0 && n.model.version() < 13) return false;
  Tensor points;
  if (point) {
    const Any* known = point->constant();
    Any one;
    if (!known) return false;
    std::vector<double> values;
    if (known->is_tensor() && known->tensor().numel() == count) {
      const Tensor t = as_contiguous(known->tensor());
      for (int64_t i = 0; i < count; i++) values.push_back(element_as_double(t, i));
    } else if (spelling::to_number(*known, one)) {
      values.assign(static_cast<size_t>(count), one.to_double());
    } else {
      return false;
    }
    double low = 0, high = 0;
    bool zero = true;
    for (double v : values) {
      zero = zero && v == 0;
      if (v != std::floor(v) || (v != 0 && (!range_of(q, low, high) || v < low || v > high))) return false;
    }
    if (!zero || q != DType::I32) {
      Tensor wide =
          out.axis < 0 ? new_tensor(Dims{}, DType::F64) : new_tensor(std::span(&count, 1), DType::F64);
      for (int64_t i = 0; i < count; i++) wide.data<double>()[i] = values[static_cast<size_t>(i)];
      points = to_dtype(wide, q);
    }
  }
  out.scale = number ? n.tensor(spelling::number_tensor(*number, real)) : n.model.name_of(scale);
  if (sizes.size() != (out.axis < 0 ? 0u : 1u))
    out.scale = n.add("Reshape", {out.scale, n.ints_input(out.axis < 0 ? Dims{} : Dims{-1})});
  if (points) out.point = n.tensor(points);
  return true;
}

bool finish(NodeWriter& n, std::string_view op, const std::string& x, const Places& p) {
  std::vector<std::string> inputs{x, p.scale};
  if (!p.point.empty()) inputs.push_back(p.point);
  std::vector<spelling::Attribute> attributes;
  if (p.axis >= 0) attributes.push_back({"axis", Any(p.axis)});
  return n.finish(op, std::move(inputs), std::move(attributes));
}

// to(clamp(round(x / scale) + point, least, greatest), integer)
bool quantize(NodeWriter& n) {
  DType q, real;
  double low, high;
  if (!spelling::has_dtype(n.node.output(), &q) || !range_of(q, low, high)) return false;
  const Node* clamp = made_by(n.value("input"), "clamp");
  if (!clamp || !is_number(clamp->argument("min"), low) || !is_number(clamp->argument("max"), high))
    return false;
  const Value* at = clamp->argument("input");
  const Node* add = made_by(at, "add");
  if (add && !plain(*add)) return false;
  const Node* round = made_by(add ? add->argument("input") : at, "round");
  const Value* point = add ? add->argument("other") : nullptr;
  if (add && !round) {
    round = made_by(add->argument("other"), "round");
    point = add->argument("input");
  }
  const Node* div = round ? made_by(round->argument("input"), "div") : nullptr;
  if (!div) return false;
  Value *x = div->argument("input"), *scale = div->argument("other");
  const int version = n.model.version();
  if (!spelling::has_dtype(x, &real) || (real != DType::F32 && !(real == DType::F16 && version >= 19)) ||
      version < first_opset_of(q))
    return false;
  Places p;
  if (!places_of(n, x, scale, point, q, real, p)) return false;
  if (p.point.empty()) {  // it says the type of the result
    Dims sizes;
    if (p.axis >= 0 && spelling::fixed_sizes(x, sizes)) sizes = {sizes[static_cast<size_t>(p.axis)]};
    else if (p.axis >= 0) return false;
    Tensor zeros =
        to_dtype(spelling::ints_tensor(Dims(p.axis >= 0 ? static_cast<size_t>(sizes[0]) : 1, int64_t(0))), q);
    p.point = n.tensor(p.axis >= 0 ? zeros : strided_view(zeros, Dims{}, Dims{}, 0));
  }
  return finish(n, "QuantizeLinear", n.model.name_of(x), p);
}

// (to(integer, real) - point) * scale
bool dequantize(NodeWriter& n) {
  DType q, real;
  if (!spelling::has_dtype(n.node.output(), &real) ||
      (real != DType::F32 && !(real == DType::F16 && n.model.version() >= 19)))
    return false;
  for (const char* side : {"input", "other"}) {
    Value *from = n.value(side), *scale = n.value(side[0] == 'i' ? "other" : "input");
    const Node* sub = made_by(from, "sub");
    if (sub && !plain(*sub)) continue;
    const Node* to = made_by(sub ? sub->argument("input") : from, "to");
    if (!to || !spelling::has_dtype(to->argument("input"), &q)) continue;
    double low, high;
    if ((q != DType::I32 && !range_of(q, low, high)) || n.model.version() < first_opset_of(q)) continue;
    if (q == DType::I32 && !sub && scale->constant() == nullptr) continue;  // some product of whole numbers
    Places p;
    if (!places_of(n, to->argument("input"), scale, sub ? sub->argument("other") : nullptr, q, real, p))
      continue;
    return finish(n, "DequantizeLinear", n.model.name_of(to->argument("input")), p);
  }
  return false;
}

constexpr WritingAdapter table[] = {
    {"to", 10, 0, quantize},
    {"mul", 10, 0, dequantize},
};

}  // namespace

std::span<const WritingAdapter> quantized_writers() { return table; }

}  // namespace moka::onnx
