// SPDX-License-Identifier: Apache-2.0
#include "tests/attack/calls.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "moka/autograd/engine.h"
#include "moka/autograd/history.h"
#include "moka/schema/given.h"

namespace moka::attack {

namespace {
constexpr DType usual_types[] = {DType::F32, DType::F64, DType::I64, DType::Bool, DType::F16, DType::BF16,
                                 DType::I32, DType::U8,  DType::C64, DType::I8,   DType::C128};
constexpr std::string_view words[] = {
    "mean",      "sum",   "none",     "reflect", "constant", "replicate", "circular", "max",  "min",
    "prod",      "amax",  "bilinear", "nearest", "bicubic",  "floor",     "trunc",    "tanh", "ij",
    "xy",        "fro",   "nuc",      "ortho",   "backward", "left",      "linear",   "",     "ab,bc->ac",
    "...i,...i", "zeros", "border",   "same",    "valid",    "L",         "q"};

std::string described(const Arg& a) {
  if (a.tag == Tag::Tensors) {
    std::string out = "[";
    for (const Tensor& t : a.as_tensors())
      out += cat(out.size() > 1 ? ", " : "", t ? described(Arg(t)) : "None");
    return out + "]";
  }
  if (a.tag != Tag::Tensor) return cat(a);
  const Tensor& t = a.as_tensor();
  return cat(t, " strides ", t.strides(), autograd::requires_grad(t) ? " grad" : "");
}
}  // namespace

RandomCall::RandomCall(uint64_t number) : random_(number * 0x9E3779B97F4A7C15u + 1) {
  static const std::vector<const Op*> ops = all_ops();
  op_ = ops[number % ops.size()];
  dtype_ = usual_types[one_in(2) ? 0 : below(std::size(usual_types))];
  const Schema& schema = info(*op_).schema;
  std::vector<Arg> usual(schema.args.size());
  for (size_t i = 0; i < usual.size(); i++) usual[i] = schema.args[i].default_value.arg();
  const bool sampled = op_->samples.count > 0 && !one_in(5);
  if (sampled) from_sample(op_->samples[static_cast<int>(below(op_->samples.count))], usual);
  // At most a few arguments become strange, so that calls get past the first check.
  const int64_t count = static_cast<int64_t>(usual.size());
  const int64_t strange = sampled ? below(3) : count;
  std::vector<bool> changed(usual.size());
  for (int64_t i = 0; i < strange && count; i++)
    changed[static_cast<size_t>(sampled ? below(count) : i)] = true;
  for (size_t i = 0; i < usual.size(); i++)
    args_.push_back(
        argument(schema.args[i], usual[i], changed[i] && !(!sampled && one_in(3) && !usual[i].is_none())));
}

int64_t RandomCall::integer() {
  static constexpr int64_t edges[] = {std::numeric_limits<int64_t>::min(),
                                      std::numeric_limits<int64_t>::max(),
                                      int64_t(1) << 62,
                                      int64_t(1) << 40,
                                      int64_t(1) << 31,
                                      -(int64_t(1) << 31),
                                      (int64_t(1) << 31) - 1,
                                      65536,
                                      1000,
                                      -1000,
                                      100,
                                      17};
  return one_in(4) ? edges[below(std::size(edges))] : below(8) - 3;
}

double RandomCall::real() {
  static constexpr double inf = std::numeric_limits<double>::infinity();
  static constexpr double edges[] = {inf,    -inf,   std::numeric_limits<double>::quiet_NaN(),
                                     0,      -0.0,   1e308,
                                     -1e308, 1e-308, 5e-324,
                                     1e38,   3.5e38, 1e20,
                                     -1e20,  65504,  1,
                                     -1,     0.5,    2,
                                     1e-8};
  return one_in(3) ? edges[below(std::size(edges))] : static_cast<double>(below(2001)) / 500 - 2;
}

Tensor RandomCall::filled(const Dims& sizes, DType dtype, Domain domain, int limit) {
  Tensor wide = new_tensor(sizes, DType::F64);
  const bool edgy = one_in(4);
  for (int64_t i = 0; i < wide.numel(); i++) {
    double v = edgy && one_in(3) ? real() : static_cast<double>(below(2001)) / 1000 - 1;
    if (!edgy) {
      if (domain == Domain::Positive || domain == Domain::Probability) v = std::abs(v) * 0.9 + 0.05;
      else if (domain == Domain::Index) v = static_cast<double>(below(std::max(limit, 1)));
      else if (domain == Domain::Integer) v = std::round(v * 3);
      else if (domain == Domain::Boolean) v = v > 0;
      else if (is_integral(dtype)) v = std::round(v * 5);
    }
    wide.data<double>()[i] = v;
  }
  if (is_integral(dtype) ||
      dtype == DType::Bool) {  // converted here: what C++ leaves open is not the kernels' doing
    Tensor whole = new_tensor(sizes, DType::I64);
    for (int64_t i = 0; i < wide.numel(); i++) {
      const double v = wide.data<double>()[i];
      whole.data<int64_t>()[i] = edgy && one_in(6)    ? integer()
                                 : std::abs(v) < 1e15 ? static_cast<int64_t>(v)
                                                      : 0;
    }
    return to_dtype(whole, dtype);
  }
  return to_dtype(wide, dtype);
}

Tensor RandomCall::strange_view(const Tensor& t) {
  Dims sizes(t.sizes()), strides(t.strides());
  const int rank = t.dim();
  switch (below(4)) {
    case 0:  // dimensions in another order
      for (int d = 0; d + 1 < rank; d++) {
        const int other = d + static_cast<int>(below(rank - d));
        std::swap(sizes[d], sizes[other]);
        std::swap(strides[d], strides[other]);
      }
      break;
    case 1:  // every place the same
      for (int d = 0; d < rank; d++)
        if (one_in(2)) strides[d] = 0;
      break;
    case 2:  // every other row
      if (rank && sizes[0] > 1) {
        sizes[0] = sizes[0] / 2;
        strides[0] *= 2;
      }
      break;
    default: return t;
  }
  return strided_view(t, sizes, strides, t.impl()->offset);
}

Tensor RandomCall::tensor(const SampleTensor* like) {
  static constexpr int64_t sizes_of[] = {0, 1, 1, 2, 2, 3, 3, 4, 5, 8, 17, 33};
  Dims sizes;
  Domain domain = like ? like->domain : Domain::Real;
  DType dtype = dtype_;
  if (like && !one_in(8)) {
    for (int d = 0; d < like->ndim; d++) sizes.push_back(like->dims[d]);
    if (one_in(6) && !sizes.empty())
      sizes[static_cast<size_t>(below(static_cast<int64_t>(sizes.size())))] = below(4);
    if (one_in(12)) sizes.push_back(1 + below(2));
    if (one_in(12) && !sizes.empty()) sizes = Dims(std::span<const int64_t>(sizes).subspan(1));
    if (domain == Domain::Index) dtype = DType::I64;
    if (domain == Domain::Boolean) dtype = DType::Bool;
  } else {
    for (int64_t rank = below(5); rank > 0; rank--) sizes.push_back(sizes_of[below(std::size(sizes_of))]);
    domain = one_in(3) ? Domain::Index : Domain::Real;
  }
  if (one_in(10)) dtype = usual_types[below(std::size(usual_types))];
  if (one_in(60)) {
    static constexpr DType rare[] = {DType::String, DType::F8E4M3FN, DType::F4E2M1,
                                     DType::U4,     DType::I2,       DType::U64};
    dtype = rare[below(std::size(rare))];
    if (dtype == DType::String) return new_tensor(sizes, dtype);
  }
  Tensor t = filled(sizes, dtype, domain, like ? like->limit : 4);
  return one_in(4) ? strange_view(t) : t;
}

Arg RandomCall::ints(std::vector<int64_t> values) {
  ints_.push_back(std::move(values));
  return Arg(std::span<const int64_t>(ints_.back()));
}

void RandomCall::from_sample(const Sample& sample, std::vector<Arg>& args) {
  const Schema& schema = info(*op_).schema;
  int next = 0;
  if (sample.list) {
    lists_.emplace_back();
    for (const SampleTensor& s : sample.tensors) lists_.back().push_back(s.ndim < 0 ? Tensor() : tensor(&s));
    args[0] = Arg(std::span<const Tensor>(lists_.back()));
    next = sample.tensors.count;
  }
  for (size_t i = sample.list ? 1 : 0; i < args.size() && next < sample.tensors.count; i++) {
    const ArgType& type = schema.args[i].type;
    if (!type.is_tensor_like() || type.list) continue;
    const SampleTensor& s = sample.tensors[next++];
    if (s.ndim < 0) continue;
    tensors_.push_back(tensor(&s));
    args[i] = Arg(tensors_.back());
  }
  for (const SampleSetting& s : sample.settings) {
    const int at = schema.find_arg(s.name);
    if (at < 0) continue;
    Arg& a = args[static_cast<size_t>(at)];
    switch (s.type) {
      case SampleSetting::Int: a = Arg(static_cast<int64_t>(s.number)); break;
      case SampleSetting::Float: a = Arg(s.number); break;
      case SampleSetting::Bool: a = Arg(s.number != 0); break;
      case SampleSetting::String: a = Arg(s.text); break;
      case SampleSetting::Ints: a = ints({s.ints, s.ints + s.count}); break;
      case SampleSetting::None: a = Arg(); break;
    }
  }
}

Arg RandomCall::argument(const ArgDef& def, const Arg& usual, bool strange) {
  const ArgType& type = def.type;
  const bool needed = usual.is_none() && !type.optional && !def.has_default;
  if (!strange && !needed) {
    if (usual.tag == Tag::Int && type.list && type.kind == Kind::Int)
      return ints(std::vector<int64_t>(static_cast<size_t>(std::max(type.list_size, 1)), usual.i));
    return usual;
  }
  if (type.optional && one_in(4)) return Arg();
  if (type.list) {
    const size_t count = static_cast<size_t>(type.list_size && !one_in(6) ? type.list_size : below(5));
    if (type.kind == Kind::Int) {
      std::vector<int64_t> values(count);
      if (usual.tag == Tag::Ints && one_in(2)) {  // one number of a list that fits
        values.assign(usual.as_ints().begin(), usual.as_ints().end());
        if (!values.empty())
          values[static_cast<size_t>(below(static_cast<int64_t>(values.size())))] = integer();
      } else {
        for (int64_t& v : values) v = integer();
      }
      return ints(std::move(values));
    }
    if (type.kind == Kind::Float) {
      floats_.emplace_back(count);
      for (double& v : floats_.back()) v = real();
      return Arg(std::span<const double>(floats_.back()));
    }
    lists_.emplace_back();
    for (size_t i = 0; i < count; i++)
      lists_.back().push_back(type.optional_elements && one_in(3) ? Tensor() : tensor(nullptr));
    return Arg(std::span<const Tensor>(lists_.back()));
  }
  switch (type.kind) {
    case Kind::Tensor: tensors_.push_back(tensor(nullptr)); return Arg(tensors_.back());
    case Kind::Operand:
      if (one_in(2)) {
        tensors_.push_back(tensor(nullptr));
        return Arg(tensors_.back());
      }
      [[fallthrough]];
    case Kind::Number:
      if (one_in(8)) {
        floats_.push_back({real(), real()});
        return Arg(std::span<const double>(floats_.back()));
      }
      return one_in(2) ? Arg(integer()) : one_in(5) ? Arg(one_in(2)) : Arg(real());
    case Kind::Int: return Arg(integer());
    case Kind::Float: return Arg(one_in(4) ? static_cast<double>(integer()) : real());
    case Kind::Bool: return Arg(one_in(2));
    case Kind::String: return Arg(words[below(std::size(words))]);
    case Kind::DType: return Arg(usual_types[below(std::size(usual_types))]);
    case Kind::Device:
    case Kind::Generator: return Arg();
    case Kind::Any: return one_in(2) ? Arg(integer()) : Arg(real());
  }
  return Arg();
}

std::string RandomCall::text() const {
  const Schema& schema = info(*op_).schema;
  std::string out = schema.name + "(";
  for (size_t i = 0; i < args_.size(); i++)
    out += cat(i ? ", " : "", schema.args[i].name, "=", described(args_[i]));
  return out + ")";
}

void RandomCall::run() {
  const int count = static_cast<int>(args_.size());
  const bool differentiated = one_in(3), in_place = one_in(6) && count && args_[0].tag == Tag::Tensor;
  if (differentiated && !in_place) {
    auto want = [](const Tensor& t) {
      if (t && is_differentiable(t.dtype())) autograd::set_requires_grad(t, true);
    };
    for (const Tensor& t : tensors_) want(t);
    for (const auto& list : lists_)
      for (const Tensor& t : list) want(t);
  }
  check_args(*op_, args_.data(), count);
  Frame frame(*op_, args_.data(), count);
  if (writes_first(*op_) ? !args_.empty() && args_[0].tag == Tag::Tensor
                         : in_place && has_in_place_form(*op_)) {
    autograd::check_writable(args_[0].as_tensor(), "attack");
    frame.outs.resize(1);
    frame.outs[0] = args_[0].as_tensor();
    frame.given = 1;
  }
  call(frame);
  std::vector<autograd::Root> roots;
  for (size_t i = 0; i < frame.outs.size(); i++) {
    const Tensor& y = frame.outs[i];
    if (!y || !autograd::requires_grad(y)) continue;
    Tensor dy = new_tensor(y.sizes(), y.dtype());
    std::fill_n(static_cast<char*>(dy.raw_data()), dy.bytes(), 0);
    roots.push_back(autograd::root_of(y, dy));
  }
  if (!roots.empty()) autograd::backward(roots, {}, {});
}

}  // namespace moka::attack
