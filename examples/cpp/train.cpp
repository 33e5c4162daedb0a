// Trains the demo's network in C++: the same layers, loss, optimizer and schedule as examples/demo, the same names in the
// weights file, so that Python reads what this writes and the other way round.
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>
#include <string>

#include "moka/formats/safetensors/safetensors.h"
#include "moka/nn/nn.h"

namespace F = moka::functional;
namespace nn = moka::nn;
namespace optim = moka::optim;
using moka::Tensor;

struct SmallNet : nn::Module {
  nn::Conv2d conv1, conv2;
  nn::BatchNorm2d norm1, norm2;
  nn::Linear hidden, output;

  explicit SmallNet(int64_t image_size, int64_t classes = 10, int64_t channels = 16)
      : conv1({.in_channels = 1, .out_channels = channels, .kernel_size = 3, .padding = 1, .bias = false}),
        conv2({.in_channels = channels,
               .out_channels = 2 * channels,
               .kernel_size = 3,
               .padding = 1,
               .bias = false}),
        norm1(channels),
        norm2(2 * channels),
        hidden(2 * channels * (image_size / 4) * (image_size / 4), 128),
        output(128, classes) {
    register_module("conv1", conv1);
    register_module("norm1", norm1);
    register_module("conv2", conv2);
    register_module("norm2", norm2);
    register_module("hidden", hidden);
    register_module("output", output);
  }

  Tensor forward(const Tensor& images) override {
    Tensor x = F::max_pool2d(F::relu(norm1(conv1(images))), 2);
    x = F::max_pool2d(F::relu(norm2(conv2(x))), 2);
    return output(F::relu(hidden(F::flatten(x, 1))));
  }
};

double accuracy(SmallNet& net, const Tensor& images, const Tensor& labels) {
  net.eval();
  nn::NoGrad off;
  Tensor right = F::eq(F::argmax(net.forward(images), 1), labels);
  net.train();
  return moka::element_as_double(F::mean(F::to(right, moka::DType::F64)), 0);
}

int main(int count, char** words) try {
  if (count < 2) {
    std::printf(
        "usage: train DATA.safetensors [--weights FILE] [--out FILE] [--epochs N] [--batch N] [--rate R]\n\n"
        "DATA holds images [n, 1, s, s] (float32), labels [n] (int64), test_images and test_labels;\n"
        "data.py writes Fashion-MNIST so. --weights starts from a file instead of random numbers.\n");
    return 2;
  }
  std::string weights, out;
  int64_t epochs = 1, batch = 128;
  double rate = 0.1;
  for (int i = 2; i + 1 < count; i += 2) {
    const std::string option = words[i];
    if (option == "--weights") weights = words[i + 1];
    else if (option == "--out") out = words[i + 1];
    else if (option == "--epochs") epochs = std::atoll(words[i + 1]);
    else if (option == "--batch") batch = std::atoll(words[i + 1]);
    else if (option == "--rate") rate = std::atof(words[i + 1]);
    else throw moka::Error(moka::ErrorKind::Value, "train: there is no option " + option);
  }
  auto data = moka::safetensors::read(words[1]).tensors;
  const Tensor images = data.at("images"), labels = data.at("labels");
  const int64_t steps = (images.size(0) + batch - 1) / batch;

  nn::manual_seed(0);
  SmallNet net(images.size(2));
  if (!weights.empty()) nn::load(net, weights);
  optim::SGD optimizer(net.parameters(),
                       {.lr = rate, .momentum = 0.9, .weight_decay = 5e-4, .nesterov = true});
  optim::Schedule schedule =
      optim::OneCycleLR(optimizer, {.max_lr = rate, .total_steps = epochs * steps, .pct_start = 0.25});
  for (int64_t epoch = 0; epoch < epochs; epoch++) {
    for (int64_t step = 0; step < steps; step++) {
      const int64_t first = step * batch, last = std::min(first + batch, images.size(0));
      optimizer.zero_grad();
      Tensor loss =
          F::cross_entropy(net.forward(F::slice(images, 0, first, last)), F::slice(labels, 0, first, last));
      nn::backward(loss);
      optimizer.step();
      schedule.step();
      if (step % 10 == 0 || step + 1 == steps)
        std::printf("epoch %lld step %lld loss %.6f\n", static_cast<long long>(epoch),
                    static_cast<long long>(step), moka::element_as_double(loss, 0));
    }
    std::printf("epoch %lld accuracy %.4f\n", static_cast<long long>(epoch),
                accuracy(net, data.at("test_images"), data.at("test_labels")));
  }
  if (!out.empty()) nn::save(net, out);
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
