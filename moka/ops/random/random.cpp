// Operators that draw random numbers.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/random/random.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "moka/base/thread_local.h"
#include "moka/ops/complex/complex.h"
#include "moka/ops/define.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/kernels/memory_format.h"
#include "moka/ops/pointwise/pointwise.h"
#include "moka/ops/random/blocks.h"
#include "moka/ops/random/draws.h"
#include "moka/tensor/half.h"

namespace moka {

namespace {
Engine engine_of_streams = Engine::Philox;
MOKA_THREAD_LOCAL Generator* own_stream = nullptr;
}  // namespace
void set_thread_generator(Generator* own) { own_stream = own; }
Engine default_engine() { return engine_of_streams; }
void set_default_engine(Engine engine) {
  engine_of_streams = engine;
  default_generator().start(5489, engine);
}

Generator& default_generator() {
  if (own_stream) return *own_stream;
  static Generator* g = [] {
    Generator* made = new Generator(5489);
    add_ref(static_cast<Object*>(made));
    return made;
  }();
  return *g;
}

namespace {
Tensor parts_of(const Tensor& z) { return EagerReading::call(ops::view_as_real_op, z); }
void fill_uniform(const Tensor& out, Generator::Draw d, double from, double to) {
  if (is_complex(out.dtype())) return fill_uniform(parts_of(out), d, from, to);
  float low = static_cast<float>(from), width = static_cast<float>(to - from);
  fill_floating(
      out, d,
      [=, dtype = out.dtype()](int64_t first, int64_t last, int64_t n, float* p) {
        draw_uniform(d, first, last, n, low, width, p);
        keep_below(dtype, to, low, p + 4 * first, std::min(4 * last, n) - 4 * first);
      },
      [=](double u, double) { return from + (to - from) * u; });
}

void fill_normal(const Tensor& out, Generator::Draw d, double mean, double deviation) {
  if (is_complex(out.dtype())) {  // both parts share the variance; a real mean is that of the real parts
    Tensor parts = parts_of(out);
    fill_normal(parts, d, 0, deviation * 0.70710678118654752);
    Tensor re = EagerReading::call(ops::real_op, out);
    if (mean != 0) copy_elements(add(re, mean), re);
    return;
  }
  float m = static_cast<float>(mean), s = static_cast<float>(deviation);
  fill_floating(
      out, d,
      [=](int64_t first, int64_t last, int64_t n, float* p) { draw_normal(d, first, last, n, m, s, p); },
      [=](double u, double v) {
        return mean + deviation * std::sqrt(-2 * std::log(1 - u)) * std::cos(6.283185307179586 * v);
      });
}

Device device_of(const Frame& f, int i) { return f.has(i) ? f.args[i].device : Device{}; }

void shape_sized(Frame& f) { f.output(0, f.ints(0), named_type(f, 2, default_float()), device_of(f, 3)); }
// What an in-place call writes to, whose memory says in which order PyTorch would draw; else the new tensor.
const Tensor& target(const Frame& f) { return f.args[0].tag == Tag::Tensor ? f.tensor(0) : f.outs[0]; }
void fill_uniform(const Frame& f, int generator, double from, double to) {
  if (Generator::Twister m = twister_from(f, generator))
    return fill_uniform(f.outs[0], target(f), *m, from, to);
  fill_uniform(f.outs[0], draw_from(f, generator), from, to);
}
void fill_normal(const Frame& f, int generator, double mean, double deviation) {
  if (Generator::Twister m = twister_from(f, generator))
    return fill_normal(f.outs[0], target(f), *m, mean, deviation);
  fill_normal(f.outs[0], draw_from(f, generator), mean, deviation);
}
void run_rand(Frame& f) { fill_uniform(f, 1, 0, 1); }
void run_randn(Frame& f) { fill_normal(f, 1, 0, 1); }

void shape_randint(Frame& f) {
  MOKA_CHECK(f.integer(0) < f.integer(1),
             "randint: expects 'from' to be less than 'to', but got from=", f.integer(0),
             " >= to=", f.integer(1));
  f.output(0, f.ints(2), named_type(f, 4, DType::I64), device_of(f, 5));
}
void run_randint(Frame& f) {
  int64_t low = f.integer(0);
  uint64_t range = static_cast<uint64_t>(f.integer(1)) - static_cast<uint64_t>(low);
  const Tensor& out = f.outs[0];
  if (Generator::Twister m = twister_from(f, 3))
    return fill_integers(out, out, *m, low, range, wide_range(range));
  Tensor t = out.dtype() == DType::I64 ? out : new_tensor(out.sizes(), DType::I64);
  int64_t* p = t.data<int64_t>();
  for_blocks(2 * t.numel(), draw_from(f, 3), [&](int64_t i, int64_t count, const uint32_t* w) {
    for (int64_t k = 0; k * 2 < count; k++) {
      uint64_t bits = uint64_t(w[2 * k]) << 32 | w[2 * k + 1];
      // The high part of the product is uniform over the range to within 2^-64 of it (Lemire 2019).
      p[i / 2 + k] = low + static_cast<int64_t>((static_cast<unsigned __int128>(bits) * range) >> 64);
    }
  });
  if (!(t == out)) copy_elements(t, out);
}

void shape_randperm(Frame& f) {
  MOKA_CHECK(f.integer(0) >= 0, "randperm: n must not be negative, got ", f.integer(0));
  const int64_t sizes[] = {f.integer(0)};
  f.output(0, sizes, named_type(f, 2, DType::I64), device_of(f, 3));
}
void run_randperm(Frame& f) {
  const Tensor& out = f.outs[0];
  Tensor t = out.dtype() == DType::I64 ? out : new_tensor(out.sizes(), DType::I64);
  int64_t n = t.numel();
  int64_t* p = t.data<int64_t>();
  if (Generator::Twister m = twister_from(f, 1)) {
    fill_permutation({p, static_cast<size_t>(n)}, *m);
    if (!(t == out)) copy_elements(t, out);
    return;
  }
  std::iota(p, p + n, 0);
  Generator::Draw d = draw_from(f, 1);
  // Fisher and Yates; place i takes the words of block i.
  constexpr int64_t together = 256;
  uint32_t words[4 * together];
  for (int64_t last = n; last > 1;) {
    const int64_t first = std::max<int64_t>(last - together, 1);
    draw_words(d, first, last, words);
    while (last > first) {
      const int64_t i = --last;
      const uint32_t* w = words + 4 * (i - first);
      const uint64_t bits = uint64_t(w[0]) << 32 | w[1];
      const auto place = static_cast<unsigned __int128>(bits) * static_cast<uint64_t>(i + 1) >> 64;
      std::swap(p[i], p[static_cast<int64_t>(place)]);
    }
  }
  if (!(t == out)) copy_elements(t, out);
}

void shape_self(Frame& f) { f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype()); }
void run_uniform(Frame& f) {
  MOKA_CHECK(f.number(1) <= f.number(2), "uniform_: from ", f.number(1), " must not exceed to ", f.number(2));
  fill_uniform(f, 3, f.number(1), f.number(2));
}
void run_normal(Frame& f) {
  MOKA_CHECK(f.number(2) >= 0, "normal_: std must not be negative, got ", f.number(2));
  fill_normal(f, 3, f.number(1), f.number(2));
}

void run_bernoulli(Frame& f) {
  Tensor p = to_dtype(f.tensor(0), DType::F32);
  const float* probability = p.data<float>();
  Tensor out = new_tensor(f.outs[0].sizes(), DType::F32);
  float* y = out.data<float>();
  for (int64_t i = 0; i < p.numel(); i++)
    MOKA_CHECK(probability[i] >= 0 && probability[i] <= 1,
               "bernoulli: probabilities must lie in [0, 1], got ", probability[i], " at element ", i);
  if (Generator::Twister m = twister_from(f, 1)) return fill_bernoulli(f.outs[0], *m, f.tensor(0));
  for_blocks(p.numel(), draw_from(f, 1), [&](int64_t i, int64_t n, const uint32_t* w) {
    for (int64_t k = 0; k < n; k++) y[i + k] = unit(w[k]) < probability[i + k];
  });
  copy_elements(out, f.outs[0]);
}

void shape_dropout(Frame& f) {
  MOKA_CHECK_KIND(Value, f.number(1) >= 0 && f.number(1) <= 1, "dropout: p must lie in [0, 1], got ",
                  f.number(1));
  f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype());
  f.output(1, f.tensor(0).sizes(), DType::Bool);
}
// What is kept is multiplied by this: 1 / (1 - p), rounded as an element is.
template <class T>
T dropout_scale(DType dtype, double p) {
  const T scale = p < 1 ? T(1) / static_cast<T>(1 - p) : T(0);
  return dtype == DType::F16    ? static_cast<T>(float(Float16(float(scale))))
         : dtype == DType::BF16 ? static_cast<T>(float(BFloat16(float(scale))))
                                : scale;
}
void run_dropout(Frame& f) {
  const float p = static_cast<float>(f.number(1));
  Tensor x = to_dtype(f.tensor(0), f.tensor(0).dtype() == DType::F64 ? DType::F64 : DType::F32);
  Tensor y = x.dtype() == f.outs[0].dtype() ? f.outs[0] : new_tensor(x.sizes(), x.dtype());
  uint8_t* mask = f.outs[1].data<uint8_t>();
  Generator::Twister twister = twister_from(f, 2);
  if (twister) fill_bernoulli(f.outs[1], f.tensor(0), *twister, 1 - f.number(1));
  auto apply = [&]<class T>(const T* in, T* out) {
    const T scale = dropout_scale<T>(f.tensor(0).dtype(), f.number(1));
    if (twister) {
      for (int64_t i = 0; i < x.numel(); i++) out[i] = mask[i] ? in[i] * scale : 0;
      return;
    }
    for_blocks(x.numel(), draw_from(f, 2), [&](int64_t i, int64_t n, const uint32_t* w) {
      for (int64_t k = 0; k < n; k++) {
        bool keep = unit(w[k]) >= p;
        mask[i + k] = keep;
        out[i + k] = keep ? in[i + k] * scale : 0;
      }
    });
  };
  if (x.dtype() == DType::F64) apply(x.data<double>(), y.data<double>());
  else apply(x.data<float>(), y.data<float>());
  if (!(y == f.outs[0])) copy_elements(y, f.outs[0]);
  follow_format(f, f.tensor(0));
}

void shape_multinomial(Frame& f) {
  const Tensor& w = f.tensor(0);
  int64_t n = f.integer(1);
  MOKA_CHECK(w.dim() == 1 || w.dim() == 2, "multinomial: expected weights of 1 or 2 dimensions, got shape ",
             w.sizes());
  MOKA_CHECK(is_floating(w.dtype()), "multinomial: expected floating weights, got ", w.dtype());
  MOKA_CHECK(n > 0, "multinomial: num_samples must be positive, got ", n);
  MOKA_CHECK(w.size(-1) > 0 || (w.dim() == 2 && w.size(0) == 0),
             "multinomial: there are no categories to draw from, got weights of shape ", w.sizes());
  MOKA_CHECK(f.flag(2) || n <= w.size(-1),
             "multinomial: cannot sample n_sample > prob_dist.size(-1) samples without replacement: ", n,
             " samples of ", w.size(-1), " categories");
  Dims sizes(w.sizes());
  sizes.back() = n;
  exact_output(f, 0, sizes, DType::I64);
}
// Draws without replacement as PyTorch does: the categories whose exponential clocks ring first.
void race(const Tensor& weights, std::span<int64_t> out, Mersenne& m) {
  int64_t categories = weights.size(-1), rows = weights.numel() / categories;
  size_t n = out.size() / static_cast<size_t>(rows);
  std::vector<double> speed(static_cast<size_t>(weights.numel()));
  for (int64_t i = 0; i < weights.numel(); i++) {
    double w = weights.data<double>()[i];
    MOKA_CHECK(w >= 0 && std::isfinite(w), "multinomial: weights must be finite and not negative, got ", w,
               " for category ", i % categories);
    speed[static_cast<size_t>(i)] = w / -std::log1p(-m.uniform());
  }
  std::vector<int64_t> order(static_cast<size_t>(categories));
  for (int64_t r = 0; r < rows; r++) {
    const double* s = speed.data() + r * categories;
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + static_cast<int64_t>(n), order.end(),
                      [s](int64_t a, int64_t b) { return s[a] != s[b] ? s[a] > s[b] : a < b; });
    for (size_t k = 0; k < n; k++)
      MOKA_CHECK(s[order[k]] > 0, "multinomial: row ", r, " has fewer than ", n, " weights above 0");
    std::copy_n(order.begin(), n, out.begin() + r * static_cast<int64_t>(n));
  }
}
void run_multinomial(Frame& f) {
  Tensor w = to_dtype(f.tensor(0), DType::F64);
  int64_t categories = w.size(-1), rows = w.dim() == 2 ? w.size(0) : 1, n = f.integer(1);
  if (rows == 0) return;
  int64_t* out = f.outs[0].data<int64_t>();
  Generator::Twister twister = twister_from(f, 3);
  if (twister && (!f.flag(2) || n == 1)) return race(w, {out, static_cast<size_t>(rows * n)}, *twister);
  Generator::Draw d = twister ? Generator::Draw{} : draw_from(f, 3);
  std::vector<double> sum(static_cast<size_t>(categories));
  for (int64_t r = 0; r < rows; r++) {
    std::vector<double> left(w.data<double>() + r * categories, w.data<double>() + (r + 1) * categories);
    for (int64_t c = 0; c < categories; c++)
      MOKA_CHECK(left[static_cast<size_t>(c)] >= 0 && std::isfinite(left[static_cast<size_t>(c)]),
                 "multinomial: weights must be finite and not negative, got ", left[static_cast<size_t>(c)],
                 " for category ", c);
    for (int64_t k = 0; k < n; k++) {
      if (k == 0 || !f.flag(2)) std::partial_sum(left.begin(), left.end(), sum.begin());
      MOKA_CHECK(sum.back() > 0, "multinomial: the weights of row ", r, " leave nothing to draw (sum ",
                 sum.back(), ")");
      uint32_t words[4];
      if (!twister) Philox(d.seed, d.offset, static_cast<uint64_t>(r * n + k)).next(words);
      double target = (twister ? twister->uniform() : unit(words[0], words[1])) * sum.back();
      size_t pick = static_cast<size_t>(std::upper_bound(sum.begin(), sum.end(), target) - sum.begin());
      pick = std::min(pick, sum.size() - 1);
      while (left[pick] == 0 && pick > 0) pick--;
      out[r * n + k] = static_cast<int64_t>(pick);
      if (!f.flag(2)) left[pick] = 0;
    }
  }
}
}  // namespace

namespace ops {

#define MOKA_DRAW(name, text, kernel, onnx_map, netdef_map)                                             \
  constinit const Op name##_op {                                                                        \
    .schema = #name                                                                                     \
        "(int[] size, *, Generator? generator=None, DType? dtype=None, Device? device=None) -> Tensor", \
    .doc = text, .method = "function", .shape = shape_sized, .kernels = {KernelRow{"philox", kernel}},  \
    .derivative = none("it has no tensor arguments"), .onnx = onnx_map, .netdef = netdef_map,           \
    .effect = Effect::Random,                                                                           \
    .samples = {no_tensors().with("size", {2, 3}), no_tensors().with("size", {0})},                     \
  }
MOKA_DRAW(rand, "Uniform numbers in [0, 1).", run_rand,
          "RandomUniform(shape=size, high?=1.0, low?=0.0, dtype=dtype_code(dtype))",
          "UniformFill(shape=size, min=0.0, max=1.0)");
MOKA_DRAW(randn, "Normal numbers of mean 0 and deviation 1.", run_randn,
          "RandomNormal(shape=size, mean?=0.0, scale?=1.0, dtype=dtype_code(dtype))",
          "GaussianFill(shape=size, mean=0.0, std=1.0)");
#undef MOKA_DRAW

constinit const Op randint_op{
    .schema =
        "randint.low(int low, int high, int[] size, *, Generator? generator=None, DType? dtype=None, Device? "
        "device=None) -> Tensor",
    .doc = "Uniform integers in [low, high).",
    .method = "function",
    .shape = shape_randint,
    .kernels = {KernelRow{"philox", run_randint}},
    .derivative = none("it has no tensor arguments"),
    .onnx = none("ONNX draws no integers"),
    .netdef = none("UniformIntFill includes its upper end"),
    .effect = Effect::Random,
    .samples = {no_tensors().with("low", -2).with("high", 5).with("size", {2, 3}),
                no_tensors().with("low", 0).with("high", 1).with("size", {4})},
};
constinit const Op randperm_op{
    .schema =
        "randperm(int n, *, Generator? generator=None, DType? dtype=None, Device? device=None) -> Tensor",
    .doc = "A random permutation of 0 to n - 1.",
    .method = "function",
    .shape = shape_randperm,
    .kernels = {KernelRow{"philox", run_randperm}},
    .derivative = none("it has no tensor arguments"),
    .onnx = none("ONNX has no permutations"),
    .netdef = none("Caffe2 has no permutations"),
    .effect = Effect::Random,
    .samples = {no_tensors().with("n", 5), no_tensors().with("n", 0)},
};
constinit const Op uniform__op{
    .schema =
        "uniform_(Tensor input, Number from=0.0, Number to=1.0, *, Generator? generator=None) -> Tensor",
    .doc = "Sets every element to a uniform number in [from, to).",
    .method = "method",
    .shape = shape_self,
    .kernels = {KernelRow{"philox", run_uniform}},
    .derivative = {wrt("input", [](auto dy) { return mul(dy, 0); })},
    .onnx = none("an in-place write; graphs see its value"),
    .netdef = none("an in-place write; graphs see its value"),
    .effect = Effect::Random,
    .samples = {shape(2, 3), shape(0)},
};
constinit const Op normal__op{
    .schema =
        "normal_(Tensor input, Number mean=0.0, Number std=1.0, *, Generator? generator=None) -> Tensor",
    .doc = "Sets every element to a normal number.",
    .method = "method",
    .shape = shape_self,
    .kernels = {KernelRow{"philox", run_normal}},
    .derivative = {wrt("input", [](auto dy) { return mul(dy, 0); })},
    .onnx = none("an in-place write; graphs see its value"),
    .netdef = none("an in-place write; graphs see its value"),
    .effect = Effect::Random,
    .samples = {shape(2, 3), shape(0)},
};
constinit const Op bernoulli_op{
    .schema = "bernoulli(Tensor input, *, Generator? generator=None) -> Tensor",
    .doc = "1 with the probability given by each element, else 0.",
    .shape =
        [](Frame& f) {
          check_no_overlap(f, 0);  // an output given keeps its type: 0 and 1 are in all
          const Tensor& p = f.tensor(0);
          f.output(0, p.sizes(), f.given & 1 ? f.outs[0].dtype() : p.dtype());
        },
    .kernels = {KernelRow{"philox", run_bernoulli}},
    .derivative = {wrt("input", [](auto dy) { return mul(dy, 0); })},
    .onnx = Format{{.map = "Bernoulli(input)", .since = 15}},
    .netdef = none("Caffe2 has no such operator"),
    .effect = Effect::Random,
    .samples = {shape(2, 3).in(Domain::Probability).no_gradient(), shape(0)},
};
constinit const Op native_dropout_op{
    .schema =
        "native_dropout(Tensor input, float p, *, Generator? generator=None) -> (Tensor output, Tensor mask)",
    .doc =
        "Zeroes each element with probability p and scales the rest by 1 / (1 - p); the mask is true where "
        "kept.",
    .method = "function",
    .shape = shape_dropout,
    .kernels = {KernelRow{"philox", run_dropout}},
    .derivative = {wrt(
        "input", [](auto dy, auto, auto p, auto, auto, auto mask) { return dropout_backward(dy, mask, p); })},
    .onnx = none("written as Dropout by an adapter: inference drops nothing"),
    .netdef = "Dropout(input, ratio=p) -> (output, mask)",
    .effect = Effect::Random,
    .samples = {shape(2, 3).with("p", 0.5).no_gradient(), shape(4).with("p", 0.0)},
};
struct DropoutBackward {
  constexpr auto operator()(auto dy, auto mask, auto p) const { return where(mask, dy / (1 - p), 0); }
};
constinit const Op dropout_backward_op{
    .schema = "dropout_backward(Tensor dy, Tensor mask, float p) -> Tensor",
    .doc = "dy / (1 - p) where mask holds, 0 elsewhere.",
    .method = "none",
    .formula = pointwise<DropoutBackward, 2>(DTypeRule::Floating, 2),
    .derivative = {wrt("dy",
                       [](auto ddx, auto, auto mask, auto p) { return dropout_backward(ddx, mask, p); })},
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {shapes({2, 3}, {2, 3}).in(Domain::Boolean, 1).with("p", 0.5),
                shapes({0}, {0}).with("p", 1.0)},
};
constinit const Op multinomial_op{
    .schema =
        "multinomial(Tensor input, int num_samples, bool replacement=False, *, Generator? generator=None) -> "
        "Tensor",
    .doc = "Indices drawn with probabilities proportional to the weights of each row.",
    .shape = shape_multinomial,
    .kernels = {KernelRow{"philox", run_multinomial}},
    .derivative = none("the result holds indices"),
    .onnx = none("ONNX draws from logarithms: written with Log"),
    .netdef = none("Caffe2 has no such operator"),
    .effect = Effect::Random,
    .samples = {shape(2, 3).in(Domain::Positive).with("num_samples", 2),
                shape(4).in(Domain::Positive).with("num_samples", 1)},
};

}  // namespace ops
}  // namespace moka

MOKA_OP_TABLE(random, MOKA_RANDOM_OPS)
