// Fourier transforms of one dimension as DFT, which has real and imaginary part in a last dimension of size 2.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/formats/onnx/exporter_internal.h"
#include "moka/formats/spelling/conversions.h"

namespace moka::onnx {

using graph::Node;
using graph::Value;
using spelling::NodeWriter;
using spelling::WritingAdapter;

namespace {

// view_as_real(fft_c2c(view_as_complex(pair))) or view_as_real(fft_r2c(real)), as split_complex leaves them.
bool transform(NodeWriter& n) {
  const Node* made = n.value("input")->producer();
  const bool half = made && made->op_name() == "fft_r2c";
  if (!half && !(made && made->op_name() == "fft_c2c")) return n.declines("complex values");
  const NodeWriter t(n.model, *made);
  const Node* whole = t.value("input")->producer();
  Dims dims;
  if (!t.ints("dim", dims) || dims.size() != 1) return n.declines("its dimension is not known");
  if (!half && !(whole && whole->op_name() == "view_as_complex")) return n.declines("complex values");
  const std::string x = half ? n.add("Unsqueeze", {t.name("input"), n.ints_input(Dims{-1})})
                             : NodeWriter(n.model, *whole).name("input");
  const int rank = t.rank("input");
  const int64_t axis = spelling::wrap(dims[0], rank);
  const bool inverse = !t.constant("forward")->to_bool();
  double factor = t.constant("scale")->arg().as_double();
  if (inverse) {  // DFT divides by the number of points then
    const graph::Dim& points = t.value("input")->type.dims[static_cast<size_t>(axis)];
    if (!points.fixed()) return n.declines("the number of points is not known");
    factor *= static_cast<double>(points.size);
  }
  std::vector<spelling::Attribute> attributes;
  if (inverse) attributes.push_back({"inverse", Any(int64_t(1))});
  if (half) attributes.push_back({"onesided", Any(int64_t(1))});
  std::vector<std::string> inputs{x};
  if (n.model.version() < 20) attributes.push_back({"axis", Any(axis)});
  else inputs.insert(inputs.end(), {"", n.tensor(spelling::number_tensor(Any(axis), DType::I64))});
  if (std::fabs(factor - 1) < 1e-12) return n.finish("DFT", inputs, attributes);
  DType type;
  if (!spelling::has_dtype(n.node.output(), &type)) return n.declines("its type is not known");
  return n.finish("Mul",
                  {n.add("DFT", inputs, attributes), n.tensor(spelling::number_tensor(Any(factor), type))});
}

// What `transform` says when it comes to the real form.
bool said_later(NodeWriter&) { return true; }

constexpr WritingAdapter table[] = {
    {"view_as_real", 17, 0, transform},
    {"view_as_complex", 17, 0, said_later},
    {"fft_c2c", 17, 0, said_later},
    {"fft_r2c", 17, 0, said_later},
};

}  // namespace

std::span<const WritingAdapter> signal_writers() { return table; }

}  // namespace moka::onnx
