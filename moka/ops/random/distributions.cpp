// Draws from further distributions, in place and like other tensors, and the dropouts of whole channels.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>

#include "moka/ops/creation/creation.h"
#include "moka/ops/define.h"
#include "moka/ops/kernels/memory_format.h"
#include "moka/ops/parts.h"
#include "moka/ops/random/draws.h"
#include "moka/ops/random/random.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/tensor/meta.h"

namespace moka::ops {

namespace {
// ---- like another tensor
// What draw(sizes, type, device) gives in the shape of x; its dimensions lie in memory in the order of x's, and numbers
// are drawn in that order.
template <class Draw>
Tensor drawn_like(const Tensor& x, const Any& dtype, const Any& device, Draw draw) {
  const Any type = dtype.is_none() ? Any(x.dtype()) : dtype,
            place = device.is_none() ? Any(x.device()) : device;
  const Dims strides =
      has_plain_strides(x) || !x.has_storage() ? Dims() : format_strides("preserve_format", x, "like");
  if (strides.empty() || strides == contiguous_strides(x.sizes())) return draw(x.sizes(), type, place);
  const Dims order = memory_order(x.sizes(), strides);
  Dims sizes;
  for (int64_t d : order) sizes.push_back(x.size(static_cast<int>(d)));
  return permute_inverse(draw(sizes, type, place), order);
}
using Sizes = std::span<const int64_t>;
Tensor uniform_like(const Tensor& x, const Any& generator, const Any& dtype, const Any& device) {
  return drawn_like(x, dtype, device, [&](Sizes sizes, const Any& type, const Any& place) {
    return rand(sizes, generator, type, place).tensor();
  });
}
Tensor normal_like(const Tensor& x, const Any& generator, const Any& dtype, const Any& device) {
  return drawn_like(x, dtype, device, [&](Sizes sizes, const Any& type, const Any& place) {
    return randn(sizes, generator, type, place).tensor();
  });
}
Tensor integers_like(const Tensor& x, int64_t low, int64_t high, const Any& generator, const Any& dtype,
                     const Any& device) {
  return drawn_like(x, dtype, device, [&](Sizes sizes, const Any& type, const Any& place) {
    return randint(low, high, sizes, generator, type, place).tensor();
  });
}
Tensor integers_below_like(const Tensor& x, int64_t high, const Any& generator, const Any& dtype,
                           const Any& device) {
  return integers_like(x, 0, high, generator, dtype, device);
}

// ---- normal
void check_deviations(const Tensor& std) {
  if (is_meta(std)) return;
  Tensor s = to_dtype(std, DType::F64);
  for (int64_t i = 0; i < s.numel(); i++)
    MOKA_CHECK(!(s.data<double>()[i] < 0), "normal expects all elements of std >= 0.0, got ",
               s.data<double>()[i]);
}
Tensor normal_about(const Tensor& mean, const Any& std, const Any& generator) {
  MOKA_CHECK(is_floating(mean.dtype()), "normal: expected a floating mean, got ", mean.dtype());
  Dims sizes(mean.sizes());
  if (std.is_tensor()) {
    check_deviations(std.tensor());
    sizes = broadcast_shape(sizes, std.tensor().sizes(), "normal");
  } else {
    MOKA_CHECK(std.to_double() >= 0, "normal expects std >= 0.0, but found std ", std.to_double());
  }
  Tensor z = randn(sizes, generator, mean.dtype(), mean.device()).tensor();
  // The numbers are constants to gradients, as in PyTorch.
  if (std.is_tensor()) return add(mul(z, detach(std.tensor())), detach(mean));
  return add(mul(z, std.to_double()), detach(mean));
}
Tensor normal_wide(double mean, const Tensor& std, const Any& generator) {
  check_deviations(std);
  Tensor z = randn(std.sizes(), generator, std.dtype(), std.device()).tensor();
  return add(mul(z, detach(std)), mean);
}
Tensor normal_of_size(double mean, double std, std::span<const int64_t> size, const Any& generator,
                      const Any& dtype, const Any& device) {
  MOKA_CHECK(std >= 0, "normal expects std >= 0.0, but found std ", std);
  return add(mul(randn(size, generator, dtype, device).tensor(), std), mean);
}

void shape_self(Frame& f) { f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype()); }
void shape_floating_self(Frame& f) {
  MOKA_CHECK(is_floating(f.tensor(0).dtype()), f.name(), ": defined for floating types, got ",
             f.tensor(0).dtype());
  shape_self(f);
}

// Poisson: products of uniforms below 10, else the transformed rejection PTRS (Hörmann, The transformed rejection method
// for generating Poisson random variables, Insurance: Mathematics and Economics 12, 1993).
double poisson_number(ElementDraws& words, double rate) {
  if (rate == 0) return 0;
  if (rate < 10) {
    double limit = std::exp(-rate), product = words.next();
    int64_t k = 0;
    for (; product > limit; k++) product *= words.next();
    return static_cast<double>(k);
  }
  double root = std::sqrt(rate), logarithm = std::log(rate);
  double b = 0.931 + 2.53 * root, a = -0.059 + 0.02483 * b;
  double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4), accepted = 0.9277 - 3.6224 / (b - 2);
  for (;;) {
    double u = words.next() - 0.5, v = words.next(), s = 0.5 - std::fabs(u);
    double k = std::floor((2 * a / s + b) * u + rate + 0.43);
    if (s >= 0.07 && v <= accepted) return k;
    if (k < 0 || (s < 0.013 && v > s)) continue;
    if (std::log(v) + std::log(inverse_alpha) - std::log(a / (s * s) + b) <=
        -rate + k * logarithm - std::lgamma(k + 1))
      return k;
  }
}
void run_poisson(Frame& f) {
  Tensor rates = to_dtype(f.tensor(0), DType::F64);
  const double* rate = rates.data<double>();
  for (int64_t i = 0; i < rates.numel(); i++)
    MOKA_CHECK(rate[i] >= 0, "poisson: invalid Poisson rate, expected rate to be non-negative, got ",
               rate[i]);
  fill_each(f.outs[0], f.outs[0], f, 1, [&](ElementDraws& w, int64_t i) {
    return rate[i] < 1e15 ? poisson_number(w, rate[i])
                          : rate[i];  // counts beyond that exceed double's integers
  });
}

void run_exponential(Frame& f) {
  double rate = f.number(1);
  MOKA_CHECK(rate > 0, "exponential_ expects lambda > 0.0, but found lambda=", rate);
  fill_each(f.outs[0], f.tensor(0), f, 2,
            [rate](ElementDraws& w, int64_t) { return -std::log(w.next_from_above()) / rate; });
}
void run_geometric(Frame& f) {
  double p = f.number(1);
  MOKA_CHECK(p > 0 && p < 1, "geometric_ expects p to be in (0, 1), but got p=", p);
  double scale = 1 / std::log1p(-p);
  fill_each(f.outs[0], f.tensor(0), f, 2,
            [scale](ElementDraws& w, int64_t) { return std::ceil(std::log(w.next()) * scale); });
}
void run_log_normal(Frame& f) {
  double mean = f.number(1), deviation = f.number(2);
  MOKA_CHECK(deviation > 0, "log_normal_ expects std > 0.0, but found std=", deviation);
  fill_each(f.outs[0], f.tensor(0), f, 3,
            [=](ElementDraws& w, int64_t) { return std::exp(mean + deviation * w.normal()); });
}
void run_cauchy(Frame& f) {
  double median = f.number(1), width = f.number(2);
  MOKA_CHECK(width > 0, "cauchy_ expects sigma > 0.0, but found sigma=", width);
  fill_each(f.outs[0], f.tensor(0), f, 3, [=](ElementDraws& w, int64_t) {
    return median + width * std::tan(3.141592653589793 * (w.next() - 0.5));
  });
}

// ---- random_: integers in [from, to), which the type must hold
int64_t largest_integer(DType t) {
  switch (t) {
    case DType::Bool: return 1;
    case DType::U8: return 255;
    case DType::I8: return 127;
    case DType::I16: return 32767;
    case DType::U16: return 65535;
    case DType::I32: return INT32_MAX;
    case DType::U32: return UINT32_MAX;
    case DType::F16: return int64_t(1) << 11;
    case DType::BF16: return int64_t(1) << 8;
    case DType::F32: return int64_t(1) << 24;
    case DType::F64: return int64_t(1) << 53;
    default: return INT64_MAX;
  }
}
// Integers in [low, low + count); a count of 0 stands for 2^64.
void fill_integers(const Frame& f, int generator, int64_t low, uint64_t count, bool wide) {
  const Tensor& out = f.outs[0];
  if (Generator::Twister m = twister_from(f, generator))
    return fill_integers(out, f.tensor(0), *m, low, count, wide);
  Generator::Draw d = draw_from(f, generator);
  Tensor t = out.dtype() == DType::I64 && out.is_contiguous() ? out : new_tensor(out.sizes(), DType::I64);
  int64_t* p = t.data<int64_t>();
  for_blocks(2 * t.numel(), d, [&](int64_t i, int64_t n, const uint32_t* w) {
    for (int64_t k = 0; k * 2 < n; k++) {
      uint64_t bits = uint64_t(w[2 * k]) << 32 | w[2 * k + 1];
      uint64_t part =
          count ? static_cast<uint64_t>((static_cast<unsigned __int128>(bits) * count) >> 64) : bits;
      p[i / 2 + k] = static_cast<int64_t>(static_cast<uint64_t>(low) + part);
    }
  });
  if (!(t == out)) copy_elements(t, out);
}
void run_random(Frame& f) {
  DType t = f.outs[0].dtype();
  fill_integers(f, 1, 0, static_cast<uint64_t>(largest_integer(t)) + 1, t == DType::I64 || t == DType::F64);
}
void fill_between(Frame& f, int64_t from, int64_t to, int generator) {
  MOKA_CHECK(from < to, "random_ expects 'from' to be less than 'to', but got from=", from, " >= to=", to);
  DType t = f.outs[0].dtype();
  if (is_integral(t) || t == DType::Bool) {
    int64_t top = largest_integer(t);
    bool is_signed = family(t) == DTypeClass::Signed;
    const int64_t bottom = is_signed ? -top - 1 : 0;
    MOKA_CHECK(from >= bottom && from <= top, "random_: from is out of bounds for ", t, ": ", from);
    MOKA_CHECK(to - 1 >= bottom && to - 1 <= top, "random_: to - 1 is out of bounds for ", t, ": ", to - 1);
  }
  uint64_t count = static_cast<uint64_t>(to) - static_cast<uint64_t>(from);
  fill_integers(f, generator, from, count, wide_range(count));
}
void run_random_to(Frame& f) { fill_between(f, 0, f.integer(1), 2); }
void run_random_from(Frame& f) {
  if (f.has(2)) return fill_between(f, f.integer(1), f.integer(2), 3);
  int64_t from = f.integer(1), top = largest_integer(f.outs[0].dtype());
  MOKA_CHECK(from <= top, "random_: from ", from, " lies above the range of ", f.outs[0].dtype());
  uint64_t count = static_cast<uint64_t>(top) - static_cast<uint64_t>(from) + 1;
  fill_integers(f, 3, from, count, wide_range(count));
}

// ---- bernoulli
void shape_bernoulli_in_place(Frame& f) {
  if (f.args[1].tag == Tag::Tensor)
    MOKA_CHECK(is_floating(f.tensor(1).dtype()), "bernoulli_: probabilities must be floating, got ",
               f.tensor(1).dtype());
  shape_self(f);
}
void check_probability(double p, std::string_view op) {
  MOKA_CHECK(p >= 0 && p <= 1, op, " expects p to be in [0, 1], but got p=", p);
}
void run_bernoulli_with(Frame& f) {
  if (Generator::Twister m = twister_from(f, 2)) {
    if (f.args[1].tag != Tag::Tensor) {
      check_probability(f.number(1), f.name());
      return fill_bernoulli(f.outs[0], f.tensor(0), *m, f.number(1));
    }
    Tensor p = to_dtype(f.tensor(1), DType::F64);
    for (int64_t i = 0; i < p.numel(); i++) check_probability(p.data<double>()[i], f.name());
    return fill_bernoulli(f.outs[0], *m, f.tensor(1));
  }
  Tensor p = new_tensor(f.outs[0].sizes(), DType::F32);
  if (f.args[1].tag == Tag::Tensor) copy_elements(f.tensor(1), p);
  else std::fill_n(p.data<float>(), p.numel(), static_cast<float>(f.number(1)));
  const float* probability = p.data<float>();
  for (int64_t i = 0; i < p.numel(); i++) check_probability(probability[i], f.name());
  Tensor out = new_tensor(p.sizes(), DType::Bool);
  bool* y = out.data<bool>();
  for_blocks(p.numel(), draw_from(f, 2), [&](int64_t i, int64_t n, const uint32_t* w) {
    for (int64_t k = 0; k < n; k++) y[i + k] = unit(w[k]) < probability[i + k];
  });
  copy_elements(out, f.outs[0]);
}

// ---- dropouts
void check_rate(double p, std::string_view op) {
  MOKA_CHECK(p >= 0 && p <= 1, op, " probability has to be between 0 and 1, but got ", p);
}
// 1 where kept; of the size [batch, channels, 1, ...] for whole channels.
Tensor kept(const Tensor& x, double p, bool channels) {
  Dims sizes(x.sizes());
  if (channels) {
    MOKA_CHECK(x.dim() >= 2, "feature dropout requires at least 2 dimensions in the input, got shape ",
               x.sizes());
    for (size_t d = 2; d < sizes.size(); d++) sizes[d] = 1;
  }
  return bernoulli_p(empty(sizes, x.dtype()), 1 - p);
}
Tensor drop(const Tensor& x, double p, bool train) {
  check_rate(p, "dropout");
  if (!train || p == 0 || x.numel() == 0) return x;
  return op_results(native_dropout, x, p)[0];
}
Tensor drop_channels(const Tensor& x, double p, bool train) {
  check_rate(p, "dropout");
  if (!train || p == 0 || x.numel() == 0) return x;
  if (p == 1) return mul(x, zeros_like(x));
  return mul(x, div(kept(x, p, true), 1 - p));
}
// Self-normalizing: mean and variance are kept (Klambauer, Unterthiner, Mayr, Hochreiter: Self-normalizing neural
// networks, 2017).
Tensor drop_alpha(const Tensor& x, double p, bool train, bool channels) {
  check_rate(p, "dropout");
  if (!train || p == 0 || x.numel() == 0) return x;
  if (p == 1) return mul(x, zeros_like(x));
  constexpr double alpha = 1.7580993408473766;
  double a = 1 / std::sqrt((alpha * alpha * p + 1) * (1 - p));
  Tensor noise = kept(x, p, channels);
  Tensor shift = add(mul(sub(noise, 1), alpha * a), alpha * a * p);
  return add(mul(x, mul(noise, a)), shift);
}
Tensor drop_alpha_elements(const Tensor& x, double p, bool train) { return drop_alpha(x, p, train, false); }
Tensor drop_alpha_channels(const Tensor& x, double p, bool train) { return drop_alpha(x, p, train, true); }
}  // namespace

#define MOKA_RANDOM_PARTS(name, signature, text, where, function, gradient, ...)                            \
  constinit const Op name##_op {                                                                            \
    .schema = signature, .doc = text, .method = where, .body = parts<function>(), .derivative = gradient,   \
    .onnx = none("written as its parts"), .netdef = none("written as its parts"), .effect = Effect::Random, \
    .samples = {__VA_ARGS__},                                                                               \
  }
MOKA_RANDOM_PARTS(
    rand_like,
    "rand_like(Tensor input, *, Generator? generator=None, DType? dtype=None, Device? device=None) -> "
    "Tensor",
    "Uniform numbers in [0, 1) in the shape of input.", "function", uniform_like,
    none("the numbers do not depend on input"), shape(2, 3), shape(0));
MOKA_RANDOM_PARTS(
    randn_like,
    "randn_like(Tensor input, *, Generator? generator=None, DType? dtype=None, Device? device=None) -> "
    "Tensor",
    "Normal numbers of mean 0 and deviation 1 in the shape of input.", "function", normal_like,
    none("the numbers do not depend on input"), shape(2, 3), shape(0));
MOKA_RANDOM_PARTS(
    randint_like,
    "randint_like(Tensor input, int high, *, Generator? generator=None, DType? dtype=None, Device? "
    "device=None) -> Tensor",
    "Uniform integers in [0, high) in the shape of input.", "function", integers_below_like,
    none("the numbers do not depend on input"), shape(2, 3).with("high", 5), shape(0).with("high", 1));
MOKA_RANDOM_PARTS(
    randint_like_low,
    "randint_like.low(Tensor input, int low, int high, *, Generator? generator=None, DType? dtype=None, "
    "Device? device=None) -> Tensor",
    "Uniform integers in [low, high) in the shape of input.", "function", integers_like,
    none("the numbers do not depend on input"), shape(2, 3).with("low", -2).with("high", 5),
    shape(0).with("low", 0).with("high", 1));
MOKA_RANDOM_PARTS(normal, "normal(Tensor mean, Operand std=1.0, *, Generator? generator=None) -> Tensor",
                  "Normal numbers with the given means and deviations.", "function", normal_about,
                  none("the numbers are constants to gradients"), shape(2, 3),
                  shapes({2, 1}, {3}).in(Domain::Positive, 1));
MOKA_RANDOM_PARTS(normal_float_tensor,
                  "normal.float_Tensor(Number mean, Tensor std, *, Generator? generator=None) -> Tensor",
                  "Normal numbers with one mean and the given deviations.", "function", normal_wide,
                  none("the numbers are constants to gradients"),
                  shape(2, 3).in(Domain::Positive).with("mean", 1.0), shape(0).with("mean", 0));
MOKA_RANDOM_PARTS(
    normal_size,
    "normal.float_float(Number mean, Number std, int[] size, *, Generator? generator=None, DType? "
    "dtype=None, Device? device=None) -> Tensor",
    "Normal numbers of one mean and deviation in the given size.", "function", normal_of_size,
    none("it has no tensor arguments"), no_tensors().with("mean", 1.0).with("std", 2.0).with("size", {2, 3}),
    no_tensors().with("mean", 0).with("std", 0).with("size", {0}));
#undef MOKA_RANDOM_PARTS

constinit const Op poisson_op{
    .schema = "poisson(Tensor input, Generator? generator=None) -> Tensor",
    .doc = "Poisson numbers with the given rates.",
    .method = "function",
    .shape = shape_floating_self,
    .kernels = {KernelRow{"philox", run_poisson}},
    .derivative = {wrt("input", [](auto dy) { return mul(dy, 0); })},
    .onnx = none("ONNX has no such operator"),
    .netdef = none("Caffe2 has no such operator"),
    .effect = Effect::Random,
    .samples = {shape(2, 3).in(Domain::Positive), shape(0)},
};

#define MOKA_FILL_DRAW(name, signature, text, check, kernel, ...)                        \
  constinit const Op name##_op {                                                         \
    .schema = signature, .doc = text, .method = "method", .shape = check,                \
    .kernels = {KernelRow{"philox", kernel}},                                            \
    .derivative = {wrt("input", [](auto dy) { return mul(dy, 0); })},                    \
    .onnx = none("an in-place write; graphs see its value"),                             \
    .netdef = none("an in-place write; graphs see its value"), .effect = Effect::Random, \
    .samples = {__VA_ARGS__},                                                            \
  }
MOKA_FILL_DRAW(exponential_,
               "exponential_(Tensor input, Number lambd=1.0, *, Generator? generator=None) -> Tensor",
               "Sets every element to an exponential number of rate lambd.", shape_floating_self,
               run_exponential, shape(2, 3), shape(0).with("lambd", 2.0));
MOKA_FILL_DRAW(geometric_, "geometric_(Tensor input, Number p, *, Generator? generator=None) -> Tensor",
               "Sets every element to the number of trials up to the first success of probability p.",
               shape_self, run_geometric, shape(2, 3).with("p", 0.5), shape(0).with("p", 0.1));
MOKA_FILL_DRAW(
    log_normal_,
    "log_normal_(Tensor input, Number mean=1.0, Number std=2.0, *, Generator? generator=None) -> Tensor",
    "Sets every element to e to the power of a normal number.", shape_floating_self, run_log_normal,
    shape(2, 3), shape(0));
MOKA_FILL_DRAW(
    cauchy_,
    "cauchy_(Tensor input, Number median=0.0, Number sigma=1.0, *, Generator? generator=None) -> Tensor",
    "Sets every element to a number of the Cauchy distribution.", shape_floating_self, run_cauchy,
    shape(2, 3), shape(0));
MOKA_FILL_DRAW(random_, "random_(Tensor input, *, Generator? generator=None) -> Tensor",
               "Sets every element to any integer from 0 up that its type holds exactly.", shape_self,
               run_random, shape(2, 3), shape(0));
MOKA_FILL_DRAW(random__to, "random_.to(Tensor input, int to, *, Generator? generator=None) -> Tensor",
               "Sets every element to an integer in [0, to).", shape_self, run_random_to,
               shape(2, 3).with("to", 5), shape(0).with("to", 1));
MOKA_FILL_DRAW(random__from,
               "random_.from(Tensor input, int from, int? to, *, Generator? generator=None) -> Tensor",
               "Sets every element to an integer in [from, to).", shape_self, run_random_from,
               shape(2, 3).with("from", -2).with("to", 5), shape(0).with("from", 0).with("to", 1));
MOKA_FILL_DRAW(bernoulli_, "bernoulli_(Tensor input, Operand p=0.5, *, Generator? generator=None) -> Tensor",
               "Sets every element to 1 with probability p, else to 0.", shape_bernoulli_in_place,
               run_bernoulli_with, shape(2, 3).with("p", 0.25), shape(0));
#undef MOKA_FILL_DRAW

constinit const Op bernoulli_p_op{
    .schema = "bernoulli.p(Tensor input, float p, *, Generator? generator=None) -> Tensor",
    .doc = "1 with probability p, else 0, in the shape of input.",
    .shape = shape_self,
    .kernels = {KernelRow{"philox", run_bernoulli_with}},
    .derivative = {wrt("input", [](auto dy) { return mul(dy, 0); })},
    .onnx = none("written as Bernoulli of a constant"),
    .netdef = none("Caffe2 has no such operator"),
    .effect = Effect::Random,
    .samples = {shape(2, 3).with("p", 0.25).no_gradient(), shape(0).with("p", 1.0)},
};

#define MOKA_DROPOUT(name, text, function)                                                                   \
  constinit const Op name##_op {                                                                             \
    .schema = #name "(Tensor input, float p, bool train) -> Tensor", .doc = text, .method = "function",      \
    .body = parts<function>(), .onnx = none("written as its parts"), .netdef = none("written as its parts"), \
    .effect = Effect::Random,                                                                                \
    .samples = {shape(2, 3, 2).with("p", 0.5).with("train", true),                                           \
                shape(2, 3).with("p", 0.5).with("train", false)},                                            \
  }
MOKA_DROPOUT(dropout, "In training zeroes elements with probability p and scales the rest by 1 / (1 - p).",
             drop);
MOKA_DROPOUT(feature_dropout, "In training zeroes whole channels with probability p and scales the rest.",
             drop_channels);
MOKA_DROPOUT(alpha_dropout, "Dropout that keeps mean and variance of standard normal inputs.",
             drop_alpha_elements);
MOKA_DROPOUT(feature_alpha_dropout, "alpha_dropout of whole channels.", drop_alpha_channels);
#undef MOKA_DROPOUT

}  // namespace moka::ops
