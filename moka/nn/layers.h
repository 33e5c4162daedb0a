// The layers that most networks are made of; parameters start as torch's do and have torch's names and shapes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "moka/nn/module.h"

namespace moka::nn {

// y = x W^T + b. [..., in] to [..., out]; weight [out, in], bias [out].
struct LinearModule : Module {
  LinearModule(int64_t in_features, int64_t out_features, bool bias = true);
  Tensor forward(const Tensor& input) override;
  Tensor weight, bias;
};
using Linear = Handle<LinearModule>;

// One number stands for all dimensions.
template <int N>
struct Each : std::array<int64_t, N> {
  Each(int64_t one) { this->fill(one); }
  Each(std::initializer_list<int64_t> all);
};

// Convolution of [n, in_channels, sizes...]; weight [out_channels, in_channels / groups, kernel...], bias [out_channels].
template <int N>
struct ConvModule : Module {
  struct Options {
    int64_t in_channels, out_channels;
    Each<N> kernel_size;
    Each<N> stride = 1, padding = 0, dilation = 1;
    int64_t groups = 1;
    bool bias = true;
  };
  explicit ConvModule(const Options& options);
  Tensor forward(const Tensor& input) override;
  Options options;
  Tensor weight, bias;
};
using Conv1d = Handle<ConvModule<1>>;
using Conv2d = Handle<ConvModule<2>>;
using Conv3d = Handle<ConvModule<3>>;

// (x - mean) / sqrt(var + eps) * weight + bias for each channel of [n, channels, ...]: of the batch in training, which the
// running averages follow with weight `momentum`, of these averages in evaluation.
struct BatchNormModule : Module {
  struct Options {
    int64_t num_features;
    double eps = 1e-5, momentum = 0.1;
    bool affine = true, track_running_stats = true;
  };
  explicit BatchNormModule(const Options& options);
  explicit BatchNormModule(int64_t num_features) : BatchNormModule(Options{num_features}) {}
  Tensor forward(const Tensor& input) override;
  Options options;
  Tensor weight, bias, running_mean, running_var, num_batches_tracked;
};
using BatchNorm1d = Handle<BatchNormModule>;
using BatchNorm2d = Handle<BatchNormModule>;
using BatchNorm3d = Handle<BatchNormModule>;

// Normalization over the last dimensions, which are normalized_shape.
struct LayerNormModule : Module {
  struct Options {
    Dims normalized_shape;
    double eps = 1e-5;
    bool affine = true;
  };
  explicit LayerNormModule(const Options& options);
  explicit LayerNormModule(int64_t size) : LayerNormModule(Options{Dims{size}}) {}
  Tensor forward(const Tensor& input) override;
  Options options;
  Tensor weight, bias;
};
using LayerNorm = Handle<LayerNormModule>;

// Rows of weight [num_embeddings, embedding_dim] at integer indices of any shape.
struct EmbeddingModule : Module {
  EmbeddingModule(int64_t num_embeddings, int64_t embedding_dim);
  Tensor forward(const Tensor& indices) override;
  Tensor weight;
};
using Embedding = Handle<EmbeddingModule>;

// Zeroes each element with probability p in training and scales the rest by 1 / (1 - p).
struct DropoutModule : Module {
  explicit DropoutModule(double p = 0.5);
  Tensor forward(const Tensor& input) override;
  double p;
};
using Dropout = Handle<DropoutModule>;

// A layer without parameters: a function with a name.
struct FunctionModule : Module {
  explicit FunctionModule(std::function<Tensor(const Tensor&)> function) : function(std::move(function)) {}
  Tensor forward(const Tensor& input) override { return function(input); }
  std::function<Tensor(const Tensor&)> function;
};
using Function = Handle<FunctionModule>;
Function ReLU();
Function GELU();
Function Sigmoid();
Function Tanh();
Function MaxPool2d(Each<2> kernel_size);  // the stride is the kernel's size
Function AvgPool2d(Each<2> kernel_size);
Function Flatten(int64_t start_dim = 1, int64_t end_dim = -1);

// Modules one after the other; their names are "0", "1", ...
struct SequentialModule : Module {
  SequentialModule() = default;
  template <class... M>
    requires(sizeof...(M) > 0)
  explicit SequentialModule(const Handle<M>&... modules) {
    (push_back(modules), ...);
  }
  template <class M>
  void push_back(const Handle<M>& module) {
    add_child(std::to_string(children().size()), module.shared());
  }
  Tensor forward(const Tensor& input) override;
};
using Sequential = Handle<SequentialModule>;

}  // namespace moka::nn
