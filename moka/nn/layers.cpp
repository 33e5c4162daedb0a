// SPDX-License-Identifier: Apache-2.0
#include "moka/nn/layers.h"

#include <algorithm>
#include <cmath>

#include "moka/nn/arguments.h"
#include "moka/ops/activation/activation.h"
#include "moka/ops/convolution/convolution.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/indexing/indexing.h"
#include "moka/ops/linear/linear.h"
#include "moka/ops/normalization/normalization.h"
#include "moka/ops/pointwise/pointwise.h"
#include "moka/ops/pooling/pooling.h"
#include "moka/ops/random/random.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::nn {

namespace {
// A checked call.
template <class Call, class... A>
Tensor run(const Call&, const A&... a) {
  return functional::call_one(Call::op(), {Arg(a)...});
}

// Uniform in +-1 / sqrt(fan_in), as torch starts weights and biases of products.
Tensor uniform(const Dims& sizes, int64_t fan_in) {
  MOKA_CHECK_KIND(Value, fan_in >= 0, "a layer's sizes must not be negative, got ", fan_in, " inputs");
  const double bound = fan_in ? 1 / std::sqrt(static_cast<double>(fan_in)) : 0;
  return add(mul(rand(sizes), 2 * bound), -bound);
}
}  // namespace

LinearModule::LinearModule(int64_t in_features, int64_t out_features, bool with_bias) {
  weight = register_parameter("weight", uniform({out_features, in_features}, in_features));
  bias = register_parameter("bias", with_bias ? uniform({out_features}, in_features) : Tensor());
}
Tensor LinearModule::forward(const Tensor& input) { return run(linear, input, weight, bias); }

template <int N>
Each<N>::Each(std::initializer_list<int64_t> all) {
  MOKA_CHECK_KIND(Value, all.size() == N || all.size() == 1, "expected ", N, " numbers or one, got ",
                  all.size());
  if (all.size() == 1) this->fill(*all.begin());
  else std::copy(all.begin(), all.end(), this->begin());
}
template struct Each<1>;
template struct Each<2>;
template struct Each<3>;

template <int N>
ConvModule<N>::ConvModule(const Options& o) : options(o) {
  MOKA_CHECK_KIND(Value, o.groups > 0 && o.in_channels % o.groups == 0 && o.out_channels % o.groups == 0,
                  "Conv", N, "d: in_channels ", o.in_channels, " and out_channels ", o.out_channels,
                  " must be divisible by groups ", o.groups);
  Dims sizes{o.out_channels, o.in_channels / o.groups};
  int64_t fan_in = sizes[1];
  for (int64_t k : o.kernel_size) {
    sizes.push_back(k);
    fan_in *= k;
  }
  weight = this->register_parameter("weight", uniform(sizes, fan_in));
  bias = this->register_parameter("bias", o.bias ? uniform({o.out_channels}, fan_in) : Tensor());
}
template <int N>
Tensor ConvModule<N>::forward(const Tensor& input) {
  auto all = [](const Each<N>& e) { return std::span<const int64_t>(e); };
  const Options& o = options;
  auto convolve = [&](const auto& conv) {
    return run(conv, input, weight, bias, all(o.stride), all(o.padding), all(o.dilation), o.groups);
  };
  if constexpr (N == 1) return convolve(conv1d);
  else if constexpr (N == 2) return convolve(conv2d);
  else return convolve(conv3d);
}
template struct ConvModule<1>;
template struct ConvModule<2>;
template struct ConvModule<3>;

BatchNormModule::BatchNormModule(const Options& o) : options(o) {
  const Dims channels{o.num_features};
  weight = register_parameter("weight", o.affine ? Tensor(ones(channels)) : Tensor());
  bias = register_parameter("bias", o.affine ? Tensor(zeros(channels)) : Tensor());
  if (!o.track_running_stats) return;
  running_mean = register_buffer("running_mean", Tensor(zeros(channels)));
  running_var = register_buffer("running_var", Tensor(ones(channels)));
  num_batches_tracked = register_buffer("num_batches_tracked", new_tensor({}, DType::I64));
  *num_batches_tracked.data<int64_t>() = 0;
}
Tensor BatchNormModule::forward(const Tensor& input) {
  MOKA_CHECK(input, "BatchNorm: the input is an undefined tensor");
  MOKA_CHECK(input.dim() >= 2 && input.size(1) == options.num_features, "BatchNorm: the layer has ",
             options.num_features, " channels, but the input has shape ", input.sizes(),
             ", read as [batch, channels, ...]");
  if (!is_training() && running_mean)
    return run(batch_norm, input, weight, bias, running_mean, running_var, options.eps);
  const std::vector<Tensor> parts =
      functional::call_several(batch_norm_train.op(), {Arg(input), Arg(weight), Arg(bias), Arg(options.eps)});
  if (is_training() && running_mean) {
    NoGrad off;
    ++*num_batches_tracked.data<int64_t>();
    auto follow = [&](const Tensor& running, const Tensor& seen) {
      copy_elements(add(mul(running, 1 - options.momentum), mul(seen, options.momentum)), running);
      running.raise_version();
    };
    follow(running_mean, parts[1]);
    follow(running_var, parts[3]);
  }
  return parts[0];
}

LayerNormModule::LayerNormModule(const Options& o) : options(o) {
  weight = register_parameter("weight", o.affine ? Tensor(ones(o.normalized_shape)) : Tensor());
  bias = register_parameter("bias", o.affine ? Tensor(zeros(o.normalized_shape)) : Tensor());
}
Tensor LayerNormModule::forward(const Tensor& input) {
  return run(layer_norm, input, options.normalized_shape, weight, bias, options.eps);
}

EmbeddingModule::EmbeddingModule(int64_t num_embeddings, int64_t embedding_dim) {
  weight = register_parameter("weight", randn(Dims{num_embeddings, embedding_dim}));
}
Tensor EmbeddingModule::forward(const Tensor& indices) { return run(embedding, weight, indices); }

DropoutModule::DropoutModule(double p) : p(p) {
  MOKA_CHECK_KIND(Value, p >= 0 && p <= 1, "Dropout: p must be in 0 to 1, got ", p);
}
Tensor DropoutModule::forward(const Tensor& input) { return run(dropout, input, p, is_training()); }

Function ReLU() {
  return Function([](const Tensor& x) { return run(relu, x); });
}
Function GELU() {
  return Function([](const Tensor& x) { return run(gelu, x); });
}
Function Sigmoid() {
  return Function([](const Tensor& x) { return run(sigmoid, x); });
}
Function Tanh() {
  return Function([](const Tensor& x) { return run(tanh, x); });
}
Function MaxPool2d(Each<2> size) {
  return Function([size](const Tensor& x) { return run(max_pool2d, x, std::span<const int64_t>(size)); });
}
Function AvgPool2d(Each<2> size) {
  return Function([size](const Tensor& x) { return run(avg_pool2d, x, std::span<const int64_t>(size)); });
}
Function Flatten(int64_t start_dim, int64_t end_dim) {
  return Function([=](const Tensor& x) { return run(flatten, x, start_dim, end_dim); });
}

Tensor SequentialModule::forward(const Tensor& input) {
  Tensor x = input;
  for (const auto& [name, module] : children()) x = module->forward(x);
  return x;
}

}  // namespace moka::nn
